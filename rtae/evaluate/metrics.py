"""Measures of quality of one enhanced recording against its clean original.

All signals have the shape ``(samples,)`` and are aligned: see :mod:`rtae.evaluate.alignment`. A measure that is not
defined for a recording (PESQ of silence, residual noise without a pause) is None.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtae.errors import ParameterError
from rtae.evaluate import dnsmos
from rtae.evaluate.activity import Activity, find_activity, frame_power
from rtae.evaluate.optional import require
from rtae.evaluate.resampling import resample

Signal = npt.NDArray[np.floating]

WIDE_BAND_HZ = 16_000
"""Rate at which PESQ-WB, ESTOI, DNSMOS and the wide-band SI-SDR are computed."""
SI_SDR_LIMIT_DB = 100.0
"""SI-SDR is clipped to this range, so that a mean over files exists with a perfect copy or silence among them."""
LSD_WINDOW, LSD_HOP = 2048, 512
LSD_FLOOR = 1e-8
"""Added to each bin's power (of a Hann-windowed, unscaled transform; full scale is 1)."""
LOSS_RANGE_DB = (-20.0, 60.0)


@dataclass(frozen=True)
class Metric:
    """How one measure is called and read.

    Attributes
    ----------
    label : str
        Heading in tables and pictures.
    unit : str
        Unit, empty for a bare score.
    higher_is_better : bool
        Direction.
    digits : int
        Decimals worth printing.
    meaning : str
        Definition in one sentence.
    """

    label: str
    unit: str
    higher_is_better: bool
    digits: int
    meaning: str


METRICS: dict[str, Metric] = {
    "pesq_wb": Metric(
        "PESQ-WB",
        "",
        True,
        2,
        "ITU-T P.862.2 MOS-LQO at 16 kHz, PyPI package pesq: the 2005/2007 reference code without Corrigendum 2 (2018)",
    ),
    "estoi": Metric("ESTOI", "", True, 3, "extended STOI (Jensen and Taal 2016) at 16 kHz, PyPI package pystoi"),
    "si_sdr": Metric("SI-SDR", "dB", True, 2, "scale-invariant SDR over the full band, clipped to +-100 dB"),
    "si_sdr_wb": Metric("SI-SDR 16k", "dB", True, 2, "scale-invariant SDR of the band below 8 kHz"),
    "lsd": Metric("LSD", "dB", False, 2, "log-spectral distance over the full band, 2048-point Hann frames"),
    "dnsmos_sig": Metric("SIG", "", True, 2, "DNSMOS P.835 speech quality, model of PyPI package speechmos"),
    "dnsmos_bak": Metric("BAK", "", True, 2, "DNSMOS P.835 background quality"),
    "dnsmos_ovrl": Metric("OVRL", "", True, 2, "DNSMOS P.835 overall quality"),
    "onset_loss_db": Metric("onset loss", "dB", False, 2, "attenuation of the speech in the first 50 ms after a pause"),
    "pause_noise_db": Metric("pause noise", "dB", False, 1, "level in the pauses relative to the clean speech"),
    "speech_attenuation_db": Metric(
        "clean loss", "dB", False, 2, "mean loss of level in active frames when the input is the clean recording"
    ),
}
"""Every measure, in the order of the tables."""

QUICK_METRICS = ("pesq_wb", "estoi", "si_sdr", "lsd")
"""What fits into a training loop."""


def score(
    clean: Signal, enhanced: Signal, sample_rate: int, metrics: Sequence[str] = QUICK_METRICS
) -> dict[str, float | None]:
    """Score one enhanced recording.

    Parameters
    ----------
    clean, enhanced : ndarray, shape (samples,)
        Aligned signals of equal length.
    sample_rate : int
        Rate of both, in hertz.
    metrics : sequence of str
        Names out of :data:`METRICS`, except ``speech_attenuation_db``, which needs another run of the system:
        see :func:`speech_attenuation_db`.

    Returns
    -------
    dict of str to float or None
        One entry for each name asked for.

    Raises
    ------
    ParameterError
        If shapes differ or a name is unknown.
    MissingDependencyError
        If a package behind a measure is not installed.
    """
    if clean.shape != enhanced.shape or clean.ndim != 1 or not len(clean):
        raise ParameterError(
            f"cannot score signals of shapes {clean.shape} and {enhanced.shape}; pass two aligned 1-D arrays"
        )
    at_rate = _Lazy(clean, enhanced, sample_rate)
    unknown = [name for name in metrics if name not in _SCORERS]
    if unknown:
        raise ParameterError(f"unknown measure {unknown[0]!r}; known: {', '.join(_SCORERS)}")
    return {name: _SCORERS[name](at_rate) for name in metrics}


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
    """Wide-band PESQ (ITU-T P.862.2, MOS-LQO) of signals at 16 kHz; None where it finds no speech."""
    pesq = require("pesq")
    try:
        return float(pesq.pesq(WIDE_BAND_HZ, clean_16k, enhanced_16k, "wb"))
    except (pesq.NoUtterancesError, pesq.BufferTooShortError, ValueError):  # ValueError: silence divides by zero
        return None


def estoi(clean_16k: Signal, enhanced_16k: Signal) -> float | None:
    """Return the extended STOI of signals at 16 kHz; None with less than 384 ms of speech, which it needs."""
    stoi = require("pystoi").stoi
    with warnings.catch_warnings():
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


class _Lazy:
    """Two signals with what several measures need of them, computed once."""

    def __init__(self, clean: Signal, enhanced: Signal, sample_rate: int) -> None:
        self.clean, self.enhanced, self.sample_rate = clean, enhanced, sample_rate
        self._wide_band: tuple[Signal, Signal] | None = None
        self._activity: Activity | None = None
        self._dnsmos: dnsmos.Scores | None = None

    @property
    def wide_band(self) -> tuple[Signal, Signal]:
        if self._wide_band is None:
            clean, enhanced = (resample(x, self.sample_rate, WIDE_BAND_HZ) for x in (self.clean, self.enhanced))
            self._wide_band = clean, enhanced
        return self._wide_band

    @property
    def activity(self) -> Activity:
        if self._activity is None:
            self._activity = find_activity(self.clean, self.sample_rate)
        return self._activity

    @property
    def dnsmos(self) -> dnsmos.Scores:
        if self._dnsmos is None:
            self._dnsmos = dnsmos.score(self.wide_band[1])
        return self._dnsmos


_SCORERS: dict[str, Callable[[_Lazy], float | None]] = {
    "pesq_wb": lambda x: pesq_wb(*x.wide_band),
    "estoi": lambda x: estoi(*x.wide_band) if x.activity.active.any() else None,
    "si_sdr": lambda x: si_sdr(x.clean, x.enhanced),
    "si_sdr_wb": lambda x: si_sdr(*x.wide_band),
    "lsd": lambda x: lsd(x.clean, x.enhanced),
    "dnsmos_sig": lambda x: x.dnsmos.sig,
    "dnsmos_bak": lambda x: x.dnsmos.bak,
    "dnsmos_ovrl": lambda x: x.dnsmos.ovrl,
    "onset_loss_db": lambda x: onset_loss_db(x.clean, x.enhanced, x.activity),
    "pause_noise_db": lambda x: pause_noise_db(x.clean, x.enhanced, x.activity),
}

NOISY_INPUT_METRICS = tuple(_SCORERS)
"""The measures that :func:`score` computes."""


def _log_power(audio: Signal) -> npt.NDArray[np.float64]:
    padded = np.pad(audio.astype(np.float64), (0, max(0, LSD_WINDOW - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, LSD_WINDOW)[::LSD_HOP] * np.hanning(LSD_WINDOW)
    return np.asarray(10 * np.log10(np.abs(np.fft.rfft(frames)) ** 2 + LSD_FLOOR))
