"""Each measure of quality, as a function of aligned signals of shape ``(samples,)``.

One that is not defined for a recording (PESQ of silence, residual noise without a pause) is None.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rtae.evaluate.activity import Activity, find_activity, frame_power
from rtae.evaluate.optional import require

Signal = npt.NDArray[np.floating]

WIDE_BAND_HZ = 16_000
"""Rate at which PESQ-WB, ESTOI, DNSMOS and the wide-band SI-SDR are computed."""
SI_SDR_LIMIT_DB = 100.0
"""SI-SDR is clipped to this range, so that a mean over files exists with a perfect copy or silence among them."""
LOWEST_PESQ_WB = 0.999 + 4 / (1 + math.exp(1.3669 * 0.5 + 3.8224))
"""MOS-LQO of P.862.2 for the lowest raw score, -0.5."""
LSD_WINDOW, LSD_HOP = 2048, 512
LSD_FLOOR = 1e-8
"""Added to each bin's power (of a Hann-windowed, unscaled transform; full scale is 1)."""
LOSS_RANGE_DB = (-20.0, 60.0)


def si_sdr(clean: Signal, enhanced: Signal) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), in dB, within +-100.

    The mean is not removed: an offset that a system adds is a distortion.
    """
    reference, estimate = clean.astype(np.float64), enhanced.astype(np.float64)
    target = reference * (float(estimate @ reference) / max(float(reference @ reference), 1e-30))
    residual = estimate - target
    if not target.any():
        return -SI_SDR_LIMIT_DB
    ratio = 10 * np.log10(float(target @ target) / max(float(residual @ residual), 1e-30))
    return float(np.clip(ratio, -SI_SDR_LIMIT_DB, SI_SDR_LIMIT_DB))


def lsd(clean: Signal, enhanced: Signal) -> float:
    """Log-spectral distance in dB: RMS over frequency of the level difference, averaged over frames."""
    difference = _log_power(clean) - _log_power(enhanced)
    return float(np.mean(np.sqrt(np.mean(np.square(difference), axis=1))))


def pesq_wb(clean_16k: Signal, enhanced_16k: Signal) -> float | None:
    """Wide-band PESQ (ITU-T P.862.2, MOS-LQO) of signals at 16 kHz; None of less than 250 ms or without utterances.

    Digital silence, of which PESQ itself makes NaN, gets the lowest score: were it left out, a system that mutes what
    it cannot clean would win.
    """
    pesq = require("pesq")
    if clean_16k.any() and not enhanced_16k.any():
        return LOWEST_PESQ_WB
    try:
        return float(pesq.pesq(WIDE_BAND_HZ, clean_16k, enhanced_16k, "wb"))
    except (pesq.NoUtterancesError, pesq.BufferTooShortError):
        return None


def estoi(clean_16k: Signal, enhanced_16k: Signal) -> float | None:
    """Return the extended STOI of signals at 16 kHz; None with less than the 384 ms of speech it needs."""
    stoi = require("pystoi").stoi
    with warnings.catch_warnings(), _seeded_global_random():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(clean_16k, enhanced_16k, WIDE_BAND_HZ, extended=True))
        except (RuntimeWarning, ValueError):
            return None


def onset_loss_db(clean: Signal, enhanced: Signal, activity: Activity) -> float | None:
    """Attenuation of the speech where a word begins, in dB; None without an onset.

    The enhanced signal is projected onto the clean one in the first 50 ms after each pause, which leaves the residual
    noise out on average; the gains of all onsets are averaged.
    """
    gains = []
    for onset in activity.onsets:
        reference = clean[onset].astype(np.float64)
        gains.append(float(enhanced[onset].astype(np.float64) @ reference / (reference @ reference)))
    if not gains:
        return None
    return float(np.clip(-20 * np.log10(max(float(np.mean(gains)), 1e-6)), *LOSS_RANGE_DB))


def pause_noise_db(clean: Signal, enhanced: Signal, activity: Activity) -> float | None:
    """Level of what is left in the pauses, in dB relative to the clean speech; None without a pause."""
    if not activity.pause.any() or not activity.active.any():
        return None
    speech = float(np.mean(frame_power(clean, activity.frame)[activity.active]))
    noise = float(np.mean(frame_power(enhanced, activity.frame)[activity.pause]))
    return float(10 * np.log10(max(noise / speech, 1e-10)))


def speech_attenuation_db(clean: Signal, processed: Signal, sample_rate: int) -> float | None:
    """Level that speech loses in a system which is given clean speech, in dB; None of silence.

    Parameters
    ----------
    clean : ndarray, shape (samples,)
        The clean recording that went in.
    processed : ndarray, shape (samples,)
        What came out, aligned.
    sample_rate : int
        Rate in hertz.
    """
    activity = find_activity(clean, sample_rate)
    if not activity.active.any():
        return None
    power_in, power_out = (frame_power(signal, activity.frame)[activity.active] for signal in (clean, processed))
    return float(np.mean(np.clip(10 * np.log10(power_in / np.maximum(power_out, 1e-20)), *LOSS_RANGE_DB)))


@contextlib.contextmanager
def _seeded_global_random() -> Iterator[None]:
    """Begin numpy's global generator anew for a while: pystoi adds noise from it, which decides where all is silent."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _log_power(audio: Signal) -> npt.NDArray[np.float64]:
    padded = np.pad(audio.astype(np.float64), (0, max(0, LSD_WINDOW - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, LSD_WINDOW)[::LSD_HOP] * np.hanning(LSD_WINDOW)
    return np.asarray(10 * np.log10(np.abs(np.fft.rfft(frames)) ** 2 + LSD_FLOOR))
