"""A cable from the output to the input, seen by a live stream: :class:`Loopback` plays a probe and records."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]

SETTLE_S = 0.3
"""Silence before the probe: the first blocks of a stream that has just begun belong to no one."""


class Loopback:
    """An audio backend around another, for measuring a round trip through a live stream.

    The stream works as always; but what is played is the probe, and what the stream would have played is recorded. The
    probe therefore travels output device, cable, input device, engine, once: the latency a live stream declares in all.

    Parameters
    ----------
    backend : Backend
        The devices, joined by a cable or a virtual loop.
    probe : ndarray, shape (samples,)
        What to play, on every channel.
    sample_rate : int
        Rate of the probe and the stream, in hertz.
    longest_s : float
        Longest round trip to record, in seconds.

    Attributes
    ----------
    xruns : int
        Under- and overflows reported while the probe was in the air.
    """

    def __init__(self, backend: Any, probe: Audio, sample_rate: int, longest_s: float) -> None:
        self._backend = backend
        settle, tail = round(SETTLE_S * sample_rate), round(longest_s * sample_rate)
        self._settle = settle
        self._play: Audio = np.concatenate([np.zeros(settle, np.float32), probe, np.zeros(tail, np.float32)])
        self._heard: Audio = np.zeros_like(self._play)
        self._seconds = len(self._play) / sample_rate
        self._handler: Any = None
        self._at = 0
        self.xruns = 0

    def __getattr__(self, name: str) -> Any:
        """Be the backend inside in everything that is not measured."""
        return getattr(self._backend, name)

    def start(self, handler: Any) -> None:
        """Start the backend with this object between it and the stream's handler, from the probe's beginning."""
        self._handler = handler
        self._at = self.xruns = 0
        self._heard[:] = 0.0
        self._backend.start(self)

    @property
    def latency_samples(self) -> int:
        """As the stream's handler says."""
        return int(self._handler.latency_samples)

    def callback(self, indata: Audio, outdata: Audio, xruns: int) -> None:
        """Let the stream work, record its output's first channel, play the probe instead."""
        self._handler.callback(indata, outdata, xruns)
        at = self._at
        place = self._heard[at : at + len(outdata)]
        place[:] = outdata[: len(place), 0]
        outdata[: len(place)] = self._play[at : at + len(place), np.newaxis]
        outdata[len(place) :] = 0.0
        self._at = at + len(outdata)
        self.xruns += xruns

    def wait_idle(self, timeout_s: float) -> bool:
        """As the stream's handler does."""
        return bool(self._handler.wait_idle(timeout_s))

    def finished(self, reason: str) -> None:
        """Pass it on."""
        self._handler.finished(reason)

    def lost(self, reason: str) -> None:
        """Pass it on."""
        self._handler.lost(reason)

    def wait(self) -> bool:
        """Wait until the whole probe has been played and recorded; False if the devices stop calling before."""
        deadline = time.monotonic() + 3.0 * self._seconds + 5.0
        while self._at < len(self._play):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    @property
    def heard(self) -> Audio:
        """What was recorded, from the moment the probe began; shape (samples,)."""
        return self._heard[self._settle :]
