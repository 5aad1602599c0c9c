"""The mel scale of Slaney's Auditory Toolbox (1998): linear below 1 kHz, logarithmic above; and bands on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LINEAR_HZ = 200.0 / 3.0
_KNEE_HZ = 1000.0
_KNEE = _KNEE_HZ / _LINEAR_HZ
_STEP = np.log(6.4) / 27.0


def hz_to_mel(frequency_hz: ArrayLike) -> NDArray[np.float64]:
    """Return the place of frequencies on the scale."""
    hz = np.asarray(frequency_hz, np.float64)
    return np.where(hz < _KNEE_HZ, hz / _LINEAR_HZ, _KNEE + np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _STEP)


def mel_to_hz(mel: ArrayLike) -> NDArray[np.float64]:
    """Return the frequencies of places on the scale."""
    place = np.asarray(mel, np.float64)
    return np.where(place < _KNEE, place * _LINEAR_HZ, _KNEE_HZ * np.exp(_STEP * (place - _KNEE)))


def mel_centres_hz(bands: int, highest_hz: float) -> NDArray[np.float64]:
    """Return the centre of each of ``bands`` bands from 0 Hz up."""
    return mel_to_hz(np.linspace(0.0, hz_to_mel(highest_hz), bands + 2))[1:-1]


def mel_filters(bands: int, sample_rate: int, frame: int) -> NDArray[np.float32]:
    """Return the weights of each bin of a power spectrum in each band, of shape (frame // 2 + 1, bands).

    Triangles of unit area (in hertz) from one band's centre to the next, 0 Hz to half the sample rate: the transposed
    ``librosa.filters.mel(sr=sample_rate, n_fft=frame, n_mels=bands)``.
    """
    edges = mel_to_hz(np.linspace(0.0, hz_to_mel(sample_rate / 2), bands + 2))
    frequencies = np.arange(frame // 2 + 1)[:, np.newaxis] * (sample_rate / frame)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((frequencies - low) / (centre - low), (high - frequencies) / (high - centre))
    return np.asarray(np.clip(triangles, 0.0, None) * (2.0 / (high - low)), np.float32)
