"""The wavelet scalogram: fine in time where the tones are high, fine in frequency where they are low."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtae.analysis.framing import finite
from rtae.base import check_integer
from rtae.errors import MissingDependencyError, ParameterError

WAVELET = "cmor1.5-1.0"
"""Complex Morlet wavelet of bandwidth 1.5 and centre frequency 1, in PyWavelets' notation."""

VOICES = 6
"""Frequencies an octave."""

LOWEST_HZ, HIGHEST_HZ = 40.0, 16_000.0
HIGHEST_SHARE = 0.4
"""Highest frequency as a share of the sample rate, where that is lower."""

MOST_COLUMNS = 2048

_HALF_WIDTH = 8.0
"""PyWavelets lets the wavelet end at 8 from its centre, in units of the scale."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Scalogram:
    """Magnitude of the wavelet transform.

    Attributes
    ----------
    amplitude : ndarray
        Float32 of shape (frequencies, columns): root mean square over a column of ``2 |W| / sqrt(scale)``, ``W`` being
        ``pywt.cwt``'s; a sine of amplitude a has a at its frequency.
    frequencies_hz : ndarray
        From low to high, :data:`VOICES` an octave.
    column_s : float
        Seconds from one column to the next; column k begins at ``k * column_s``.
    """

    amplitude: NDArray[np.float32]
    frequencies_hz: NDArray[np.float64]
    column_s: float


def scale_frequencies_hz(sample_rate: int) -> NDArray[np.float64]:
    """Return the frequencies of a scalogram at a sample rate, from low to high."""
    highest = min(HIGHEST_HZ, HIGHEST_SHARE * sample_rate)
    lowest = min(LOWEST_HZ, highest / 2)
    return np.asarray(lowest * 2.0 ** (np.arange(math.floor(VOICES * math.log2(highest / lowest)) + 1) / VOICES))


def scalogram(audio: ArrayLike, sample_rate: int) -> Scalogram:
    """Return the scalogram of a signal of shape (n,) that fits into memory.

    It is computed in overlapping pieces whose middles do not know of their edges, hence in memory of a few times the
    signal's, and averaged to at most :data:`MOST_COLUMNS` columns.

    Raises
    ------
    ParameterError
        If it is not a signal of one channel.
    MissingDependencyError
        If PyWavelets is not installed.
    """
    try:
        import pywt
    except ImportError:
        raise MissingDependencyError("no scalogram without PyWavelets; run pip install 'rtae[analysis]'") from None
    rate = check_integer("sample_rate", sample_rate, 1)
    signal = finite(np.asarray(audio)).astype(np.float64)
    if signal.ndim != 1:
        raise ParameterError(f"a scalogram is of one channel, (samples,); got {signal.shape}")
    frequencies = scale_frequencies_hz(rate)
    scales = pywt.central_frequency(WAVELET) * rate / frequencies
    column = max(1, math.ceil(len(signal) / MOST_COLUMNS))
    amplitude = np.zeros((len(frequencies), math.ceil(len(signal) / column)), np.float32)
    chunk = max(1, _CHUNK // column) * column
    for scale, row in zip(scales, amplitude, strict=True):
        margin = math.ceil(_HALF_WIDTH * scale) + 2
        for start in range(0, len(signal), chunk):
            first, last = max(0, start - margin), min(len(signal), start + chunk)
            piece = signal[first : last + margin]
            found, _ = pywt.cwt(piece, [scale], WAVELET, 1 / rate, method="fft")
            power = np.square(np.abs(found[0, start - first : last - first])) * (4.0 / scale)
            means = [np.add.reduceat(part, np.arange(0, len(power), column)) for part in (power, np.ones(len(power)))]
            row[start // column : start // column + len(means[0])] = np.sqrt(means[0] / means[1])
    return Scalogram(amplitude, frequencies, column / rate)
