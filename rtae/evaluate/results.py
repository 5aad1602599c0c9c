"""What an evaluation finds out about one system."""

from __future__ import annotations

from dataclasses import dataclass

from rtae.evaluate.alignment import TOLERANCE_S
from rtae.evaluate.statistics import Estimate

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
    changes : dict of str to Estimate or None
        For each measure the mean difference to the noisy input. Its interval is the one to judge by: recordings differ
        far more from each other than a system's gains do.
    timing : Timing or None
        None for the noisy input.
    latency : Latency or None
        None for the noisy input.
    trained_on : tuple of str
        Measures that were terms of the system's loss.
    """

    name: str
    sample_rate: int
    scores: dict[str, Scores]
    means: dict[str, Estimate | None]
    changes: dict[str, Estimate | None]
    timing: Timing | None = None
    latency: Latency | None = None
    trained_on: tuple[str, ...] = ()

    @property
    def caution(self) -> str | None:
        """One line about measures that were trained on; None without any."""
        if not self.trained_on:
            return None
        return f"{self.name}: was trained on {' and '.join(self.trained_on)}; high values there prove nothing"

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
