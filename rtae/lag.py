"""Lag between two signals: normalised cross-correlation, and its peak to a fraction of a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

PRE_EMPHASIS = 0.97
"""Makes speech nearly white, hence the peak of its correlation narrow."""

_REACH = 16
_GRID = 32


def cross_correlation(
    given: NDArray[np.floating], output: NDArray[np.floating], earliest: int, count: int
) -> NDArray[np.float64]:
    """Correlate two pre-emphasised signals, normalised by their energies.

    Parameters
    ----------
    given, output : ndarray, shape (n,) and (m,)
        What went in and what came out.
    earliest : int
        First lag, in samples; may be negative.
    count : int
        Number of lags.

    Returns
    -------
    ndarray, shape (count,)
        From -1 to 1 at lags ``earliest .. earliest + count - 1``; zeros if either signal is constant.
    """
    size = next_fast_len(len(given) + max(len(output), len(given)) + abs(earliest) + count, real=True)
    spectra = [rfft(_pre_emphasised(signal), size) for signal in (given, output)]
    energies = [float(np.sum(np.square(_pre_emphasised(signal)))) for signal in (given, output)]
    if not all(energies):
        return np.zeros(count)
    correlation = irfft(np.conj(spectra[0]) * spectra[1], size) / np.sqrt(energies[0] * energies[1])
    return np.asarray(correlation[np.arange(earliest, earliest + count) % size], np.float64)


def refined_peak(correlation: NDArray[np.floating], index: int) -> float:
    """Locate a maximum between samples by band-limited (Hann-windowed sinc) interpolation.

    Parameters
    ----------
    correlation : ndarray, shape (n,)
        A correlation; outside it counts as zero.
    index : int
        Where its samples are largest.

    Returns
    -------
    float
        Position of the maximum, at most one sample away from ``index``.
    """
    around = np.arange(index - _REACH, index + _REACH + 1)
    inside = (around >= 0) & (around < len(correlation))
    values = np.where(inside, correlation[np.clip(around, 0, len(correlation) - 1)], 0.0)
    offsets = np.linspace(-1.0, 1.0, 2 * _GRID + 1)
    distance = offsets[:, np.newaxis] - np.arange(-_REACH, _REACH + 1)
    kernel = np.sinc(distance) * np.where(np.abs(distance) < _REACH, 0.5 + 0.5 * np.cos(np.pi * distance / _REACH), 0.0)
    fine = kernel @ values
    best = int(np.argmax(fine))
    if not 0 < best < len(fine) - 1:
        return index + float(offsets[best])
    # Between the points of the fine grid the maximum is as good as a parabola's.
    before, here, after = fine[best - 1 : best + 2]
    curvature = before - 2.0 * here + after
    return index + float(offsets[best]) + (0.5 * (before - after) / curvature / _GRID if curvature else 0.0)


def _pre_emphasised(signal: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = signal.astype(np.float64)
    # Before its beginning the signal counts as constant, else every cut would be a click, and clicks correlate.
    wide -= PRE_EMPHASIS * np.concatenate([wide[:1], wide[:-1]])
    return wide
