"""How a signal is cut into frames: :class:`Framing`, and :class:`Framer` for a stream of blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rtae.base import Frames, check_integer

FRAME_S = 0.03
"""A frame is the shortest power of two that lasts this long: long enough for the period of a low voice."""

OVERLAP = 4
"""Hops in a frame."""

SHORTEST_FRAME = 16


@dataclass(frozen=True)
class Framing:
    """Frames of one length, a hop apart, the first of them centred on the first sample.

    Frame ``k`` spans the samples from ``k * hop - frame / 2`` up to and without ``k * hop + frame / 2``; what lies
    before or after the signal counts as zeros. A signal of ``n > 0`` samples has ``1 + n // hop`` frames, one of none
    has none. These are the frames of ``librosa.stft(center=True, pad_mode="constant")``.

    Attributes
    ----------
    sample_rate : int
        Hertz.
    frame, hop : int
        Samples.
    """

    sample_rate: int
    frame: int
    hop: int

    @classmethod
    def of_rate(cls, sample_rate: int) -> Framing:
        """Return the framing used at a sample rate: 43 ms frames at 48 kHz (2048 samples), a quarter of it the hop.

        Raises
        ------
        ParameterError
            If the rate is no positive integer.
        """
        rate = check_integer("sample_rate", sample_rate, 1)
        frame = max(SHORTEST_FRAME, 1 << math.ceil(math.log2(FRAME_S * rate)))
        return cls(rate, frame, frame // OVERLAP)

    @property
    def bins(self) -> int:
        """Frequencies of a spectrum: ``frame / 2 + 1``, the last at half the sample rate."""
        return self.frame // 2 + 1

    def count(self, samples: int) -> int:
        """Return the number of frames of a signal."""
        return 1 + samples // self.hop if samples else 0

    def times_s(self, frames: int) -> NDArray[np.float64]:
        """Return the centre of each of the first ``frames`` frames in seconds, ``k * hop / sample_rate``."""
        return np.arange(frames, dtype=np.float64) * (self.hop / self.sample_rate)

    def frequencies_hz(self) -> NDArray[np.float64]:
        """Return the frequency of each bin, ``k * sample_rate / frame``."""
        return np.arange(self.bins, dtype=np.float64) * (self.sample_rate / self.frame)


def finite(audio: NDArray[np.floating]) -> Frames:
    """Return samples as float32, those that are not finite as zeros."""
    return np.asarray(np.nan_to_num(audio.astype(np.float32), posinf=0.0, neginf=0.0))


class Framer:
    """Cuts a stream of blocks into the frames of a :class:`Framing`.

    Parameters
    ----------
    framing : Framing
        The frames.
    channels : int
        Channels of the blocks.
    """

    def __init__(self, framing: Framing, channels: int) -> None:
        self._framing = framing
        self._edge: Frames = np.zeros((framing.frame // 2, channels), np.float32)
        self._rest = self._edge
        self._seen = 0

    def process(self, block: Frames) -> Frames:
        """Take a block (n, channels) and return the frames it completes, (frames, channels, frame), to be read only."""
        self._seen += len(block)
        return self._cut(block)

    def flush(self) -> Frames:
        """Return the frames that reach past the end."""
        return self._cut(self._edge if self._seen else self._edge[:0])

    def _cut(self, block: Frames) -> Frames:
        frame, hop = self._framing.frame, self._framing.hop
        signal = np.concatenate([self._rest, block])
        count = max(0, (len(signal) - frame) // hop + 1)
        self._rest = signal[count * hop :]
        if not count:
            return np.zeros((0, signal.shape[1], frame), np.float32)
        return sliding_window_view(signal, frame, axis=0)[::hop][:count]
