"""The results as JSON and Markdown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtae.evaluate.metrics import METRICS, Metric
from rtae.evaluate.results import Latency, SystemResult, Timing
from rtae.evaluate.statistics import CONFIDENCE, RESAMPLES, Estimate

FORMAT = "rtae-evaluation"
FORMAT_VERSION = 1
"""Version of the JSON; it grows when a field changes its meaning or goes away."""


@dataclass(frozen=True)
class Report:
    """An evaluation with what is needed to repeat it.

    Attributes
    ----------
    results : sequence of SystemResult
        The noisy input first.
    data : str
        Name of the set of pairs.
    recordings : int
        Pairs in it.
    seconds : float
        Their length together.
    seed : int
        Seed of the confidence intervals.
    environment : dict
        Machine, versions, revision: see :func:`rtae.evaluate.environment.describe`.
    """

    results: Sequence[SystemResult]
    data: str
    recordings: int
    seconds: float
    seed: int
    environment: dict[str, Any]

    @property
    def problems(self) -> list[str]:
        """One line for each system whose delay is not the declared one, or that was trained on a measure."""
        lines = [line for result in self.results for line in (result.problem, result.caution)]
        return [line for line in lines if line is not None]

    def quality_table(self) -> str:
        """Return the means as a Markdown table, padded to be read as it is."""
        return markdown_table(["system", *_headings()], [[result.name, *_means(result)] for result in self.results])

    def latency_table(self) -> str:
        """Return latency and times as a Markdown table; the noisy input has none."""
        rows = [
            [result.name, *_latency_cells(result.latency), *_timing_cells(result.timing)]
            for result in self.results
            if result.latency is not None and result.timing is not None
        ]
        return markdown_table(_LATENCY_HEADINGS, rows)

    def to_json(self) -> str:
        """Return the report as JSON text: units in the names, None where a measure is not defined."""
        document = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "data": {"name": self.data, "recordings": self.recordings, "seconds": round(self.seconds, 3)},
            "environment": self.environment,
            "confidence": {"level": CONFIDENCE, "resamples": RESAMPLES, "seed": self.seed},
            "measures": {name: dataclasses.asdict(metric) for name, metric in METRICS.items()},
            "problems": self.problems,
            "systems": [_system(result) for result in self.results],
        }
        return json.dumps(document, indent=1, allow_nan=False)

    def to_markdown(self) -> str:
        """Return the report as a Markdown page."""
        environment = self.environment
        packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items() if version)
        parts = [
            "# Evaluation",
            f"{self.recordings} recordings of {self.data}, {self.seconds:.0f} s. Every system streamed hop by hop on "
            "one thread, all in one run; of the times only ratios are comparable between machines.",
            "## Quality",
            self.quality_table(),
            f"## Means, {CONFIDENCE:.0%} confidence intervals",
            markdown_table(["system", *_headings()], [[r.name, *_intervals(r.means)] for r in self.results]),
            f"## Change from the noisy input, {CONFIDENCE:.0%} confidence intervals",
            markdown_table(["system", *_headings()], [[r.name, *_intervals(r.changes)] for r in self.results[1:]]),
            "## Latency and time",
            self.latency_table(),
            *(["## Problems", "\n".join(f"- {problem}" for problem in self.problems)] if self.problems else []),
            "## Measures",
            "\n".join(f"- **{metric.label}**: {metric.meaning}" for metric in METRICS.values()),
            "Latency is delay + hop. The output is moved forward by the declared delay before it is scored; the delay "
            "is measured by cross-correlating clean recordings with what comes out of them.",
            "## Machine",
            f"{environment['cpu']} ({environment['machine']}, {environment['cores']} cores, "
            f"one thread used), {environment['system']}, Python {environment['python']}, {packages}, "
            f"revision {environment['commit'] or 'unknown'}",
        ]
        return "\n\n".join(parts) + "\n"


_LATENCY_HEADINGS = (
    "system",
    "declared ms",
    "measured ms",
    "hop ms",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "RTF",
)


def _latency_cells(latency: Latency) -> list[str]:
    measured = "unknown" if latency.measured_ms is None else f"{latency.measured_ms:.2f}"
    return [f"{latency.declared_ms:.2f}", measured if latency.agrees else f"**{measured}**", f"{latency.hop_ms:.2f}"]


def _timing_cells(timing: Timing) -> list[str]:
    times = (timing.p50_ms, timing.p99_ms, timing.p999_ms, timing.max_ms)
    return [*(f"{time:.3f}" for time in times), f"{timing.rtf:.4f}"]


def _means(result: SystemResult) -> list[str]:
    return [
        "–" if (estimate := result.means[name]) is None else measure_number(estimate.mean, metric)
        for name, metric in METRICS.items()
    ]


def _intervals(estimates: dict[str, Estimate | None]) -> list[str]:
    return [
        "–" if estimate is None else f"{measure_number(estimate.low, metric)} … {measure_number(estimate.high, metric)}"
        for estimate, metric in ((estimates[name], metric) for name, metric in METRICS.items())
    ]


def _headings() -> list[str]:
    return [measure_heading(metric) for metric in METRICS.values()]


def measure_heading(metric: Metric) -> str:
    """Return the heading of a measure: label, unit and an arrow to its better end."""
    return f"{metric.label}{f' {metric.unit}' if metric.unit else ''} {'↑' if metric.higher_is_better else '↓'}"


def measure_number(value: float, metric: Metric) -> str:
    """Return a value with the decimals worth printing."""
    rounded = round(value, metric.digits) + 0.0  # turns -0.0 into 0.0
    return f"{rounded:.{metric.digits}f}"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, padded to be read as it is."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def _system(result: SystemResult) -> dict[str, Any]:
    latency = result.latency
    return {
        "name": result.name,
        "sample_rate": result.sample_rate,
        "latency": latency
        and {
            **dataclasses.asdict(latency),
            "declared_ms": latency.declared_ms,
            "measured_ms": latency.measured_ms,
            "agrees": latency.agrees,
        },
        "timing": result.timing and dataclasses.asdict(result.timing),
        "means": _estimates(result.means),
        "changes": _estimates(result.changes),
        "recordings": result.scores,
    }


def _estimates(estimates: dict[str, Estimate | None]) -> dict[str, Any]:
    return {name: estimate and dataclasses.asdict(estimate) for name, estimate in estimates.items()}
