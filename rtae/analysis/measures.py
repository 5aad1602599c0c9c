"""The measures of a frame, and :class:`Meter`, which takes them from a stream of blocks.

Definitions are those of librosa 0.11 with ``center=True`` and its other defaults (McFee et al., "librosa: Audio and
music signal analysis in Python", 2015), whose values they are tested to give.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import rfft
from scipy.signal import get_window

from rtae.analysis.framing import Framer, Framing, finite
from rtae.base import Frames, check_integer
from rtae.errors import ParameterError, StreamStateError

MEASURES = {
    "envelope": "amplitude envelope",
    "rms": "RMS level",
    "zero_crossing_rate": "zero-crossing rate",
    "centroid_hz": "spectral centroid, Hz",
    "bandwidth_hz": "spectral bandwidth, Hz",
    "rolloff_hz": "spectral roll-off, Hz",
}
"""Name of each measure and what it is called on a page."""

ROLLOFF_SHARE = 0.85
"""Share of the magnitude below the roll-off frequency."""

INAUDIBLE = 1e-10
"""Samples smaller than this count as zeros when the sign is looked at."""

_FRAMES_AT_ONCE = 64
_SMALLEST = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Measured:
    """Consecutive frames of a signal.

    Attributes
    ----------
    values : dict of ndarray
        Each of :data:`MEASURES`, float32 of shape (frames, channels). ``envelope`` is the largest magnitude of a sample
        in the frame; ``rms`` the root of the mean square; ``zero_crossing_rate`` the changes of sign per sample;
        ``centroid_hz`` the mean of the frequencies weighted by the magnitude spectrum, ``bandwidth_hz`` the root of
        their weighted mean squared distance from it, ``rolloff_hz`` the lowest frequency below and at which 85 % of the
        magnitude lies. The last three are 0 for silence.
    spectrum : ndarray
        Short-time Fourier transform, complex64 of shape (frames, channels, bins): periodic Hann window, not scaled.
    """

    values: dict[str, NDArray[np.float32]]
    spectrum: NDArray[np.complex64]


class Meter:
    """Measures a stream of blocks.

    The frames do not depend on how the stream is cut into blocks.

    Parameters
    ----------
    sample_rate : int
        Hertz.
    channels : int, optional
        Channels of the blocks.

    Attributes
    ----------
    framing : Framing
        The frames.
    channels : int
        As given.

    Raises
    ------
    ParameterError
        If one of them is no positive integer.
    """

    def __init__(self, sample_rate: int, channels: int = 1) -> None:
        self.framing: Framing = Framing.of_rate(sample_rate)
        self.channels: int = check_integer("channels", channels, 1)
        # Whether the sign changed is framed along with the samples: the change at a block's edge must not be lost.
        self._framer = Framer(self.framing, 2 * channels)
        self._negative: NDArray[np.bool_] | None = None
        self._window = get_window("hann", self.framing.frame).astype(np.float32)
        self._frequencies = self.framing.frequencies_hz()
        self._ended = False

    def process(self, block: ArrayLike) -> Iterator[Measured]:
        """Take a block of shape (n, channels), or (n,) of one channel; yield the frames it completes, a few at a time.

        Samples that are not finite count as zeros. The block has been taken when the iteration ends.

        Raises
        ------
        ParameterError
            If the block is not audio of this shape.
        StreamStateError
            If the stream is at its end.
        """
        if self._ended:
            raise StreamStateError("process() after flush(): the stream is at its end; make another Meter")
        frames = np.asarray(block)
        if frames.dtype.kind != "f":
            raise ParameterError(f"audio must be float in -1..1, got {frames.dtype}; divide integers by full scale")
        if frames.ndim == 1:
            frames = frames[:, np.newaxis]
        if frames.ndim != 2 or frames.shape[1] != self.channels:
            raise ParameterError(f"block must have shape (n, {self.channels}), got {np.shape(block)}")
        return self._process(finite(frames))

    def flush(self) -> Iterator[Measured]:
        """Yield the frames that reach past the end of the stream.

        Raises
        ------
        StreamStateError
            If the stream is at its end already.
        """
        if self._ended:
            raise StreamStateError("flush() after flush(): the stream is at its end; make another Meter")
        self._ended = True
        return self._measured(self._framer.flush())

    def _process(self, audio: Frames) -> Iterator[Measured]:
        step = _FRAMES_AT_ONCE * self.framing.hop
        for start in range(0, len(audio), step):
            part = audio[start : start + step]
            yield from self._measured(self._framer.process(np.concatenate([part, self._crossings(part)], axis=1)))

    def _crossings(self, audio: Frames) -> Frames:
        """Return 1 where a sample's sign is not that of the sample before, else 0."""
        negative = audio < -INAUDIBLE
        before = negative[:1] if self._negative is None else self._negative
        self._negative = negative[-1:]
        changed = np.not_equal(negative, np.concatenate([before, negative[:-1]]))
        return np.asarray(changed, np.float32)

    def _measured(self, frames: Frames) -> Iterator[Measured]:
        if not len(frames):
            return
        audio, crossings = frames[:, : self.channels], frames[:, self.channels :, 1:]
        spectrum = rfft(audio * self._window)
        values = {
            "envelope": np.abs(audio).max(axis=2),
            "rms": np.sqrt(np.square(audio).mean(axis=2)),
            "zero_crossing_rate": crossings.sum(axis=2) / self.framing.frame,
            **spectral_measures(np.abs(spectrum), self._frequencies),
        }
        yield Measured({name: np.asarray(value, np.float32) for name, value in values.items()}, spectrum)


def spectral_measures(
    magnitude: NDArray[np.float32], frequencies_hz: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return centroid, bandwidth and roll-off of magnitude spectra of shape (..., bins), each of shape (...)."""
    total = magnitude.sum(axis=-1, dtype=np.float64)
    weights = magnitude / np.where(total < _SMALLEST, 1.0, total)[..., np.newaxis]
    centroid = weights @ frequencies_hz
    distance = np.square(frequencies_hz - centroid[..., np.newaxis])
    cumulative = np.cumsum(magnitude, axis=-1, dtype=np.float64)
    last = np.argmax(cumulative >= ROLLOFF_SHARE * cumulative[..., -1:], axis=-1)
    return {
        "centroid_hz": centroid,
        "bandwidth_hz": np.sqrt((weights * distance).sum(axis=-1)),
        "rolloff_hz": frequencies_hz[last],
    }


def measure(audio: ArrayLike, sample_rate: int) -> Measured:
    """Measure a whole signal that fits into memory.

    Parameters
    ----------
    audio : array_like, shape (n, channels) or (n,)
        Float samples.
    sample_rate : int
        Hertz.

    Raises
    ------
    ParameterError
        If it is not audio.
    """
    array = np.asarray(audio)
    if array.ndim not in (1, 2):
        raise ParameterError(f"audio must have shape (samples, channels) or (samples,), got {array.shape}")
    channels = 1 if array.ndim == 1 else array.shape[1]
    meter = Meter(sample_rate, channels)
    parts = [*meter.process(array), *meter.flush()]
    empty = np.zeros((0, channels), np.float32)
    return Measured(
        {name: np.concatenate([empty, *(part.values[name] for part in parts)]) for name in MEASURES},
        np.concatenate([np.zeros((0, channels, meter.framing.bins), np.complex64), *(part.spectrum for part in parts)]),
    )
