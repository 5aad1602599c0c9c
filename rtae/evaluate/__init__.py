"""Quality, latency and time of denoisers, measured side by side: ``rtae eval``."""
