"""Thin adapters to voice-agent frameworks, each an extra of its own: ``pipecat``, ``livekit``."""
