"""Pictures of the results: quality against latency, and against the time a hop takes."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rtae.evaluate.metrics import METRICS
from rtae.evaluate.optional import require
from rtae.evaluate.results import SystemResult

PICTURED = ("pesq_wb", "estoi", "si_sdr", "dnsmos_ovrl")
"""Measures that get a panel."""


def quality_against_latency(results: Sequence[SystemResult]) -> bytes:
    """Draw the means over the measured algorithmic latency (declared where it could not be measured).

    Parameters
    ----------
    results : sequence of SystemResult
        Those of one evaluation, the noisy input first.

    Returns
    -------
    bytes
        A PNG picture.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    positions = {
        result.name: latency.declared_ms if latency.measured_ms is None else latency.measured_ms
        for result in results
        if (latency := result.latency) is not None
    }
    return _panels(results, positions, "algorithmic latency (delay + hop), ms", logarithmic=False)


def quality_against_time(results: Sequence[SystemResult]) -> bytes:
    """Draw the means over the median time of a hop as a share of the hop, on a logarithmic axis.

    The share and not the bare time, because the hops differ in length: at 100 % a system cannot keep up.

    Parameters
    ----------
    results : sequence of SystemResult
        Those of one evaluation, the noisy input first.

    Returns
    -------
    bytes
        A PNG picture.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    positions = {
        result.name: 100 * result.timing.p50_ms / result.latency.hop_ms
        for result in results
        if result.timing is not None and result.latency is not None
    }
    return _panels(results, positions, "median time per hop, % of the hop (one thread)", logarithmic=True)


def _panels(results: Sequence[SystemResult], positions: dict[str, float], label: str, *, logarithmic: bool) -> bytes:
    # A Figure of its own instead of pyplot: no global state, no display.
    figure = require("matplotlib.figure").Figure(figsize=(11, 8), layout="constrained")
    for panel, name in zip(figure.subplots(2, 2).flat, PICTURED, strict=True):
        metric = METRICS[name]
        for result in results:
            estimate = result.means[name]
            if estimate is None:
                continue
            if result.name not in positions:
                panel.axhline(estimate.mean, color="0.6", linestyle="--", linewidth=1, label=result.name)
                continue
            error = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
            position = positions[result.name]
            points = panel.errorbar(position, estimate.mean, yerr=error, fmt="o", capsize=3, linewidth=1)
            colour = points.lines[0].get_color()
            panel.annotate(
                result.name, (position, estimate.mean), xytext=(6, 4), textcoords="offset points", color=colour
            )
        if logarithmic and positions:
            panel.set_xscale("log")
        elif positions:
            panel.set_xlim(0, 1.25 * max(positions.values()))
        panel.set_xlabel(label)
        panel.set_ylabel(f"{metric.label}{f', {metric.unit}' if metric.unit else ''}")
        panel.grid(alpha=0.3)
        panel.margins(x=0.15)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()
