"""The evaluation itself: every system on every pair, streamed, timed and scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rtae.errors import ParameterError
from rtae.evaluate.alignment import TOLERANCE_S, DelayMeter
from rtae.evaluate.metrics import METRICS, NOISY_INPUT_METRICS, QUICK_METRICS, score, speech_attenuation_db
from rtae.evaluate.pairs import Pair
from rtae.evaluate.statistics import Estimate, bootstrap
from rtae.evaluate.systems import System, stream, warm_up

NOISY = "noisy"
"""Name of the unprocessed input in results."""

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Timing:
    """Time a system took.

    Attributes
    ----------
    rtf : float
        Processing time divided by the time of the audio.
    p50_ms, p99_ms, p999_ms, max_ms : float
        Percentiles of the time of one hop.
    hops : int
        Hops measured.
    """

    rtf: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    hops: int


@dataclass(frozen=True)
class Latency:
    """Delay between the input and output signal, and what a sample waits at most: delay + hop.

    Attributes
    ----------
    hop_ms : float
        Length of a hop.
    delay_declared_ms : float
        Delay the system declares; its output is moved forward by it before it is scored.
    delay_measured_ms : float or None
        Delay between clean recordings and what comes out of them; None if the output does not resemble the input.
    """

    hop_ms: float
    delay_declared_ms: float
    delay_measured_ms: float | None

    @property
    def declared_ms(self) -> float:
        """Algorithmic latency as declared."""
        return self.delay_declared_ms + self.hop_ms

    @property
    def measured_ms(self) -> float | None:
        """Algorithmic latency by the measured delay."""
        return None if self.delay_measured_ms is None else self.delay_measured_ms + self.hop_ms

    @property
    def agrees(self) -> bool:
        """Whether the measured delay is the declared one, to half a millisecond."""
        measured = self.delay_measured_ms
        return measured is not None and abs(measured - self.delay_declared_ms) <= 1e3 * TOLERANCE_S


@dataclass(frozen=True)
class SystemResult:
    """What one system achieved.

    Attributes
    ----------
    name : str
        Name of the system.
    sample_rate : int
        Rate it works at, in hertz.
    scores : dict of str to dict
        For each recording its measures.
    means : dict of str to Estimate or None
        For each measure the mean over the recordings.
    timing : Timing or None
        None for the noisy input.
    latency : Latency or None
        None for the noisy input.
    """

    name: str
    sample_rate: int
    scores: dict[str, Scores]
    means: dict[str, Estimate | None]
    timing: Timing | None = None
    latency: Latency | None = None

    @property
    def problem(self) -> str | None:
        """One line about a delay that is not the declared one; None if all is well."""
        if self.latency is None or self.latency.agrees:
            return None
        declared, measured = self.latency.delay_declared_ms, self.latency.delay_measured_ms
        if measured is None:
            return f"{self.name}: its output of clean speech does not resemble the input, the delay cannot be measured"
        return (
            f"{self.name}: declares a delay of {declared:.2f} ms, measured are {measured:.2f} ms "
            f"({measured - declared:+.2f} ms); it was scored as declared"
        )


@dataclass
class _Tally:
    """What is gathered of one system while the recordings go by."""

    system: System
    meter: DelayMeter
    scores: dict[str, Scores] = field(default_factory=dict)
    hop_seconds: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def take(self, pair: Pair) -> None:
        enhanced = stream(self.system, pair.noisy, pair.sample_rate)
        scores = score(pair.clean, enhanced.aligned, pair.sample_rate, NOISY_INPUT_METRICS)
        passed = stream(self.system, pair.clean, pair.sample_rate)
        self.meter.add(passed.given, passed.output)
        scores["speech_attenuation_db"] = speech_attenuation_db(pair.clean, passed.aligned, pair.sample_rate)
        self.scores[pair.name] = scores
        self.hop_seconds.append(enhanced.hop_seconds)

    def result(self, seed: int) -> SystemResult:
        system = self.system
        to_ms = 1e3 / system.sample_rate
        measured = self.meter.delay
        latency = Latency(system.hop * to_ms, system.delay * to_ms, None if measured is None else measured * to_ms)
        seconds = np.concatenate(self.hop_seconds)
        p50, p99, p999, longest = 1e3 * np.percentile(seconds, [50, 99, 99.9, 100])
        rtf = float(seconds.mean() * system.sample_rate / system.hop)
        timing = Timing(rtf, float(p50), float(p99), float(p999), float(longest), len(seconds))
        return SystemResult(system.name, system.sample_rate, self.scores, _means(self.scores, seed), timing, latency)


def evaluate(
    pairs: Sequence[Pair],
    systems: Sequence[System],
    *,
    seed: int = 0,
    progress: Callable[[str, str], None] | None = None,
) -> list[SystemResult]:
    """Stream every pair through every system, one after the other on this thread, and score what comes out.

    Recordings are the outer loop, so that a busy moment of the machine hits every system alike. Each system gets each
    noisy recording for the scores and the times, and each clean one for the delay and the attenuation of speech.

    Parameters
    ----------
    pairs : sequence of Pair
        The recordings.
    systems : sequence of System
        The systems, of distinct names.
    seed : int
        Seed of the confidence intervals.
    progress : callable, optional
        Called with the names of the recording and the system before each of ``len(pairs) * (1 + len(systems))`` runs.

    Returns
    -------
    list of SystemResult
        The noisy input first, then the systems in their order.

    Raises
    ------
    ParameterError
        If there are no pairs, or two systems share a name.
    MissingDependencyError
        If a package behind a measure is not installed.
    """
    if not pairs:
        raise ParameterError("no pairs to evaluate on")
    names = [NOISY, *(system.name for system in systems)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParameterError(f"two systems are named {twice[0]!r}; rename a file, the results go by name")
    tallies = [_Tally(system, DelayMeter(system.sample_rate, system.delay)) for system in systems]
    tell = progress or (lambda _recording, _system: None)
    noisy: dict[str, Scores] = {}
    for system in systems:
        warm_up(system)
    for pair in pairs:
        tell(pair.name, NOISY)
        noisy[pair.name] = score(pair.clean, pair.noisy, pair.sample_rate, NOISY_INPUT_METRICS)
        noisy[pair.name]["speech_attenuation_db"] = 0.0
        for tally in tallies:
            tell(pair.name, tally.system.name)
            tally.take(pair)
    baseline = SystemResult(NOISY, pairs[0].sample_rate, noisy, _means(noisy, seed))
    return [baseline, *(tally.result(seed) for tally in tallies)]


def quick_scores(
    pairs: Sequence[Pair],
    enhance: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]],
    metrics: Sequence[str] = QUICK_METRICS,
) -> dict[str, float]:
    """Mean scores of a function: the validation inside a training loop.

    Parameters
    ----------
    pairs : sequence of Pair
        The recordings, at the rate of the function.
    enhance : callable
        Noisy float32 of shape (samples,) to enhanced of the same shape, aligned.
    metrics : sequence of str
        Names of :data:`rtae.evaluate.metrics.NOISY_INPUT_METRICS`.

    Returns
    -------
    dict of str to float
        Mean over the recordings for which a measure is defined; NaN if there is none.

    Raises
    ------
    ParameterError
        If there are no pairs, a measure is unknown, or the function returns another shape.
    """
    if not pairs:
        raise ParameterError("no pairs to validate on")
    scores = [score(pair.clean, enhance(pair.noisy), pair.sample_rate, metrics) for pair in pairs]
    columns = {name: [value for row in scores if (value := row[name]) is not None] for name in metrics}
    return {name: float(np.mean(values)) if values else float("nan") for name, values in columns.items()}


def _means(scores: dict[str, Scores], seed: int) -> dict[str, Estimate | None]:
    return {name: bootstrap([row[name] for row in scores.values()], seed) for name in METRICS}
