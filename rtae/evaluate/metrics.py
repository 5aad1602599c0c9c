"""The measures by name, and the scores of one enhanced recording against its clean original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rtae.errors import ParameterError
from rtae.evaluate import dnsmos
from rtae.evaluate.activity import Activity, find_activity
from rtae.evaluate.measures import WIDE_BAND_HZ, Signal, estoi, lsd, onset_loss_db, pause_noise_db, pesq_wb, si_sdr
from rtae.evaluate.mel import mel_distance_db
from rtae.evaluate.resampling import resample


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
        "wide-band PESQ at 16 kHz, MOS-LQO of ITU-T P.862.2, by the PyPI package pesq, that is without Corrigendum 2",
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
"""Every measure of a denoiser, in the order of the tables."""

CODEC_METRICS: dict[str, Metric] = {
    "pesq_wb": METRICS["pesq_wb"],
    "estoi": METRICS["estoi"],
    "mel_db": Metric(
        "mel",
        "dB",
        False,
        2,
        "mean absolute difference of 80 mel bands at 16 kHz (32 ms frames every 10 ms), levels more than 70 dB below "
        "the loudest band counted as equal",
    ),
    "dnsmos_sig": METRICS["dnsmos_sig"],
    "dnsmos_bak": METRICS["dnsmos_bak"],
    "dnsmos_ovrl": METRICS["dnsmos_ovrl"],
}
"""Every measure of a codec, in the order of the tables."""

QUICK_CODEC_METRICS = ("pesq_wb", "estoi", "mel_db")
"""Those of a codec that take little time."""

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
        Names out of :data:`NOISY_INPUT_METRICS` and :data:`CODEC_METRICS`.

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
    "pesq_wb": lambda x: pesq_wb(*x.wide_band) if x.activity.active.any() else None,
    "estoi": lambda x: estoi(*x.wide_band) if x.activity.active.any() else None,
    "si_sdr": lambda x: si_sdr(x.clean, x.enhanced),
    "si_sdr_wb": lambda x: si_sdr(*x.wide_band),
    "lsd": lambda x: lsd(x.clean, x.enhanced),
    "mel_db": lambda x: mel_distance_db(*x.wide_band),
    "dnsmos_sig": lambda x: x.dnsmos.sig,
    "dnsmos_bak": lambda x: x.dnsmos.bak,
    "dnsmos_ovrl": lambda x: x.dnsmos.ovrl,
    "onset_loss_db": lambda x: onset_loss_db(x.clean, x.enhanced, x.activity),
    "pause_noise_db": lambda x: pause_noise_db(x.clean, x.enhanced, x.activity),
}

NOISY_INPUT_METRICS = tuple(name for name in METRICS if name in _SCORERS)
"""The measures of a denoiser that :func:`score` computes; ``speech_attenuation_db`` is of another run."""
