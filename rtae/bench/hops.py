"""Time of every hop of a streaming system, and what measuring it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

WARM_UP = 50
_BINS_A_DECADE = 20
_TIMELINE = 400


class Steppable(Protocol):
    """A streaming system of one channel, as ``rtae.evaluate`` has them."""

    name: str
    sample_rate: int
    hop: int

    def step(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next hop, shape (hop,)."""


@dataclass(frozen=True)
class HopTimes:
    """Times of hops and their deadline.

    Attributes
    ----------
    seconds : ndarray of float64, shape (hops,)
        Wall time of each.
    deadline_s : float
        Audio time of a hop.
    """

    seconds: NDArray[np.float64]
    deadline_s: float

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile in milliseconds."""
        return 1e3 * float(np.percentile(self.seconds, percent))

    def as_dict(self) -> dict[str, Any]:
        """Return figures, histogram and time line as a JSON-ready mapping."""
        marks = {"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0, "p99_9_ms": 99.9, "max_ms": 100.0}
        figures: dict[str, Any] = {name: round(self.percentile_ms(percent), 6) for name, percent in marks.items()}
        # The same grid for every system and load, so that their shares can be laid over each other.
        places = _BINS_A_DECADE * np.log10(np.maximum(1e3 * self.seconds, 1e-4))
        edges = 10 ** (np.arange(np.floor(places.min()), np.floor(places.max()) + 2) / _BINS_A_DECADE)
        counts = np.bincount((np.floor(places) - np.floor(places.min())).astype(int))
        # The slowest hop of each stretch: a time line that hides no peak.
        stretches = np.array_split(self.seconds, min(_TIMELINE, len(self.seconds)))
        return figures | {
            "deadline_ms": 1e3 * self.deadline_s,
            "deadline_share_p50": figures["p50_ms"] / (1e3 * self.deadline_s),
            "deadline_share_p99": figures["p99_ms"] / (1e3 * self.deadline_s),
            "rtf": float(np.mean(self.seconds)) / self.deadline_s,
            "late": int(np.sum(self.seconds > self.deadline_s)),
            "hops": len(self.seconds),
            "histogram": {"edges_ms": edges.round(9).tolist(), "counts": counts.tolist()},
            "timeline_ms": [round(1e3 * float(part.max()), 6) for part in stretches],
        }


def time_calls(call: Callable[[Any], object], inputs: Sequence[Any], deadline_s: float) -> HopTimes:
    """Time a call on each input, after a warm-up on the first ones."""
    for index in range(WARM_UP):
        call(inputs[index % len(inputs)])
    seconds = np.empty(len(inputs))
    clock = time.perf_counter
    for index, given in enumerate(inputs):
        begin = clock()
        call(given)
        seconds[index] = clock() - begin
    return HopTimes(seconds, deadline_s)


def time_hops(system: Steppable, hops: int, seed: int = 0) -> HopTimes:
    """Time every hop of a system on noise that is made before."""
    return time_calls(system.step, list(noise(hops, system.hop, seed)), system.hop / system.sample_rate)


def noise(count: int, size: int, seed: int = 0) -> NDArray[np.float32]:
    """Return pieces of noise 20 dB below full scale, shape (count, size)."""
    return (0.1 * np.random.default_rng(seed).standard_normal((count, size))).astype(np.float32)


def measuring_overhead_us() -> float:
    """Return what timing a hop adds to it, in microseconds: the median of empty calls."""
    return 1e3 * time_calls(lambda given: None, [None] * 5000, 1.0).percentile_ms(50.0)


def agreement(call: Callable[[Any], object], plain: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """Return the bench's time of a call over the time a plain loop takes for the same work.

    The two take turns every few hops, so that whatever else the machine does falls on both; the plain loop reads the
    clock once a turn. What is compared is the lower quartile of the turns: other programs only ever make one longer.
    """
    turn = 5
    measured, looped = [], []
    for given in inputs[:turn]:
        call(given)
        plain(given)
    for start in range(0, len(inputs) - turn + 1, turn):
        part = inputs[start : start + turn]
        begin = time.perf_counter()
        for given in part:
            plain(given)
        looped.append((time.perf_counter() - begin) / turn)
        seconds = []
        for given in part:
            begin = time.perf_counter()
            call(given)
            seconds.append(time.perf_counter() - begin)
        measured.append(float(np.mean(seconds)))
    return float(np.percentile(measured, 25.0) / np.percentile(looped, 25.0))
