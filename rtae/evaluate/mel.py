"""Distance of two signals on the mel scale: how much a listener's spectrogram of one differs from the other's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rtae.mel import mel_filters

SAMPLE_RATE = 16_000
BANDS = 80
WINDOW, TRANSFORM, HOP = 512, 1024, 160
RANGE_DB = 70.0
"""Levels this far below the original's loudest band count as equal: below them is what nobody hears."""


def mel_distance_db(clean_16k: npt.NDArray[np.floating], decoded_16k: npt.NDArray[np.floating]) -> float | None:
    """Mean absolute difference of the logarithmic mel bands, in dB; None of less than a frame or of silence.

    Frames of 32 ms (Hann, zero-padded to 1024 points) every 10 ms; the power spectrum is averaged in 80 triangular
    bands, 0 to 8 kHz, equally spaced on Slaney's mel scale, each of unit area (:func:`rtae.mel.mel_filters`). Band
    powers of both signals are raised to the same floor, 70 dB below the loudest band of the original, and their
    difference in dB is averaged over all bands and frames.

    Parameters
    ----------
    clean_16k, decoded_16k : ndarray, shape (samples,)
        Aligned signals at 16 kHz.
    """
    if len(clean_16k) < WINDOW:
        return None
    clean, decoded = (_bands(signal) for signal in (clean_16k, decoded_16k))
    floor = clean.max() * 10 ** (-RANGE_DB / 10)
    if not floor > 0:
        return None
    levels = [10 * np.log10(np.maximum(power, floor)) for power in (clean, decoded)]
    return float(np.mean(np.abs(levels[0] - levels[1])))


def _bands(audio: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    frames = np.lib.stride_tricks.sliding_window_view(audio.astype(np.float64), WINDOW)[::HOP] * np.hanning(WINDOW)
    return np.asarray(np.square(np.abs(np.fft.rfft(frames, TRANSFORM))) @ mel_filters(BANDS, SAMPLE_RATE, TRANSFORM))
