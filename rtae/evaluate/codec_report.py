"""Results of codecs as JSON, Markdown and a picture."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rtae.evaluate.codec_run import CodecResult, setbacks
from rtae.evaluate.metrics import CODEC_METRICS
from rtae.evaluate.optional import require
from rtae.evaluate.report import markdown_table, measure_heading, measure_number
from rtae.evaluate.statistics import CONFIDENCE, RESAMPLES

FORMAT = "rtae-codec-evaluation"
FORMAT_VERSION = 1
"""Version of the JSON; it grows when a field changes its meaning or goes away."""

PICTURED = ("pesq_wb", "estoi", "mel_db", "dnsmos_ovrl")
"""Measures that get a panel, where they were measured."""

NOTES = (
    "kbps: bits of the codes or packets over the time of the audio, as counted. In bytes: the same where every packet "
    "of one hop travels alone, filled up to whole bytes, without any header.",
    "Latency: delay + hop, of encoder and decoder together. The output is moved forward by the declared delay before "
    "it is scored; the measured one comes from cross-correlating what went in with what came out.",
    "RTF: time of encoding or decoding over the time of the audio, one thread, resampling left out.",
    "Opus: libopus, mono, 48 kHz, application voip, complexity 10, constant bit rate, frames of 20 ms. Lyra V2: the "
    "published networks, 16 kHz, frames of 20 ms, without the application around them.",
)


@dataclass(frozen=True)
class CodecReport:
    """An evaluation of codecs with what is needed to repeat it.

    Attributes
    ----------
    results : sequence of CodecResult
        What goes in first.
    data : str
        Name of the set and of its side.
    recordings : int
        Number of recordings.
    seconds : float
        Their length together.
    seed : int
        Seed of the confidence intervals.
    environment : dict
        Machine, versions, revision.
    stages : sequence of dict
        For each stage of a codec of rtae: entropy in bits and share of its codes in use.
    """

    results: Sequence[CodecResult]
    data: str
    recordings: int
    seconds: float
    seed: int
    environment: dict[str, Any]
    stages: Sequence[dict[str, float]] = field(default_factory=tuple)

    @property
    def problems(self) -> list[str]:
        """One line for each delay that is not the declared one, and for each step of bit rate that bettered nothing."""
        delays = [
            f"{result.name}: declared latency {result.latency.declared_ms:.2f} ms, measured "
            + ("unknown" if result.latency.measured_ms is None else f"{result.latency.measured_ms:.2f} ms")
            for result in self.results
            if result.latency is not None and not result.latency.agrees
        ]
        return delays + setbacks(self.results, self.seed)

    @property
    def _measures(self) -> list[str]:
        return list(self.results[0].means)

    def quality_table(self) -> str:
        """Return bit rates and means as a Markdown table."""
        headings = ["system", "kbps", "in bytes", *(measure_heading(CODEC_METRICS[name]) for name in self._measures)]
        rows = []
        for result in self.results:
            rates = [f"{rate:.2f}" if rate else "–" for rate in (result.kbps, result.octet_kbps)]
            means = [
                "–" if (estimate := result.means[name]) is None else measure_number(estimate.mean, CODEC_METRICS[name])
                for name in self._measures
            ]
            rows.append([result.name, *rates, *means])
        return markdown_table(headings, rows)

    def latency_table(self) -> str:
        """Return latency and times as a Markdown table."""
        headings = ["system", "declared ms", "measured ms", "hop ms", "encode RTF", "decode RTF", "both"]
        headings += ["encode p50 ms", "decode p50 ms"]
        rows = []
        for result in self.results:
            latency, encode, decode = result.latency, result.encode, result.decode
            if latency is None or encode is None or decode is None:
                continue
            measured = "unknown" if latency.measured_ms is None else f"{latency.measured_ms:.2f}"
            times = [f"{value:.4f}" for value in (encode.rtf, decode.rtf, encode.rtf + decode.rtf)]
            times += [f"{value:.3f}" for value in (encode.p50_ms, decode.p50_ms)]
            rows.append([result.name, f"{latency.declared_ms:.2f}", measured, f"{latency.hop_ms:.2f}", *times])
        return markdown_table(headings, rows)

    def stage_table(self) -> str:
        """Return the use of the codebooks as a Markdown table; empty without any."""
        rows = [
            [str(index + 1), f"{stage['entropy_bits']:.2f}", f"{100 * stage['used']:.0f} %"]
            for index, stage in enumerate(self.stages)
        ]
        return markdown_table(["stage", "entropy bits", "codes in use"], rows) if rows else ""

    def to_json(self) -> str:
        """Return the report as JSON text: units in the names, None where a measure is not defined."""
        document = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "data": {"name": self.data, "recordings": self.recordings, "seconds": round(self.seconds, 3)},
            "environment": self.environment,
            "confidence": {"level": CONFIDENCE, "resamples": RESAMPLES, "seed": self.seed},
            "measures": {name: dataclasses.asdict(CODEC_METRICS[name]) for name in self._measures},
            "problems": self.problems,
            "stages": list(self.stages),
            "systems": [dataclasses.asdict(result) for result in self.results],
        }
        return json.dumps(document, indent=1, allow_nan=False)

    def to_markdown(self) -> str:
        """Return the report as a Markdown page."""
        environment = self.environment
        packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items() if version)
        measures = [f"**{CODEC_METRICS[name].label}**: {CODEC_METRICS[name].meaning}." for name in self._measures]
        parts = [
            "# Evaluation of codecs",
            f"{self.recordings} recordings of {self.data}, {self.seconds:.0f} s. Every system streamed hop by hop on "
            "one thread, all in one run; of the times only ratios are comparable between machines.",
            "## Quality",
            self.quality_table(),
            "## Latency and time",
            self.latency_table(),
            *(["## Use of the codebooks", self.stage_table()] if self.stages else []),
            *(["## Problems", _bullets(self.problems)] if self.problems else []),
            "## Measures",
            _bullets([*measures, *NOTES]),
            "## Machine",
            f"{environment['cpu']} ({environment['machine']}, {environment['cores']} cores, one thread used), "
            f"{environment['system']}, Python {environment['python']}, {packages}, "
            f"revision {environment['commit'] or 'unknown'}",
        ]
        return "\n\n".join(parts) + "\n"

    def picture(self) -> bytes:
        """Draw quality over bit rate, one line a codec, and return a PNG picture.

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed.
        """
        names = [name for name in PICTURED if name in self._measures]
        figure = require("matplotlib.figure").Figure(figsize=(11, 4.2 * -(-len(names) // 2)), layout="constrained")
        panels = figure.subplots(-(-len(names) // 2), 2, squeeze=False).flat
        families = list(dict.fromkeys(result.family for result in self.results if result.kbps))
        for panel, name in zip(panels, names, strict=False):
            metric = CODEC_METRICS[name]
            reference = self.results[0].means[name]
            for family in families:
                points = [
                    (result.kbps, estimate)
                    for result in sorted(self.results, key=lambda result: result.kbps)
                    if result.family == family and (estimate := result.means[name]) is not None
                ]
                means = [estimate.mean for _, estimate in points]
                ends = [[e.mean - e.low for _, e in points], [e.high - e.mean for _, e in points]]
                rates = [rate for rate, _ in points]
                panel.errorbar(rates, means, yerr=ends, fmt="o-", capsize=3, linewidth=1.2, markersize=4, label=family)
            if reference is not None and not name.startswith(("pesq", "estoi", "mel")):
                panel.axhline(reference.mean, color="0.6", linestyle="--", linewidth=1, label=self.results[0].name)
            panel.set_xlabel("bit rate, kbps")
            panel.set_ylabel(f"{metric.label}{f', {metric.unit}' if metric.unit else ''}")
            panel.set_title("higher is better" if metric.higher_is_better else "lower is better", fontsize=9)
            panel.set_xlim(left=0)
            panel.grid(alpha=0.3)
            panel.legend()
        for panel in list(figure.axes)[len(names) :]:
            panel.set_axis_off()
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110)
        return picture.getvalue()


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
