"""A desktop program around :class:`rtae.LiveStream`: ``python -m rtae_desktop``."""
