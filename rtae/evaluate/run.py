"""The evaluation itself: every system on every pair, streamed, timed and scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rtae.errors import ParameterError
from rtae.evaluate.alignment import DelayMeter
from rtae.evaluate.measures import speech_attenuation_db
from rtae.evaluate.metrics import METRICS, NOISY_INPUT_METRICS, QUICK_METRICS, score
from rtae.evaluate.pairs import Pair
from rtae.evaluate.results import Latency, Scores, SystemResult, Timing
from rtae.evaluate.statistics import Estimate, bootstrap
from rtae.evaluate.systems import System, stream, warm_up

NOISY = "noisy"
"""Name of the unprocessed input in results."""


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

    def result(self, noisy: dict[str, Scores], seed: int) -> SystemResult:
        system = self.system
        to_ms = 1e3 / system.sample_rate
        measured = self.meter.delay
        latency = Latency(system.hop * to_ms, system.delay * to_ms, None if measured is None else measured * to_ms)
        seconds = np.concatenate(self.hop_seconds)
        p50, p99, p999, longest = 1e3 * np.percentile(seconds, [50, 99, 99.9, 100])
        rtf = float(seconds.mean() * system.sample_rate / system.hop)
        timing = Timing(rtf, float(p50), float(p99), float(p999), float(longest), len(seconds))
        return SystemResult(
            system.name,
            system.sample_rate,
            self.scores,
            _means(self.scores, seed),
            _means(_differences(self.scores, noisy), seed),
            timing,
            latency,
            getattr(system, "trained_on", ()),
        )


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
    changes = _means(_differences(noisy, noisy), seed)
    baseline = SystemResult(NOISY, pairs[0].sample_rate, noisy, _means(noisy, seed), changes)
    return [baseline, *(tally.result(noisy, seed) for tally in tallies)]


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


def _differences(scores: dict[str, Scores], noisy: dict[str, Scores]) -> dict[str, Scores]:
    return {
        recording: {
            name: None if value is None or (before := noisy[recording][name]) is None else value - before
            for name, value in row.items()
        }
        for recording, row in scores.items()
    }
