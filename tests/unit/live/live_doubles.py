"""Processors under test control."""

from __future__ import annotations

import threading

import numpy as np

from rtae.processor import DelayLine, StreamProcessor


class Gated(StreamProcessor):
    """Delays and scales; `gate` holds the worker while it is clear (then `held` is set), `error` is raised once set."""

    def __init__(self, delay: int = 0, gain: float = 1.0, channels: int = 1, sample_rate: int = 48_000) -> None:
        super().__init__(sample_rate, channels, delay)
        self.gain = np.float32(gain)
        self.gate = threading.Event()
        self.gate.set()
        self.held = threading.Event()
        self.error: Exception | None = None
        self._line = DelayLine(delay, channels)

    def _process(self, frames, out) -> None:
        if not self.gate.is_set():
            self.held.set()
            assert self.gate.wait(30.0)
        if self.error is not None:
            raise self.error
        self._line.process(frames, out)
        np.multiply(out, self.gain, out=out)

    def _reset(self) -> None:
        self._line.reset()
