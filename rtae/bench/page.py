"""The report as one HTML file that needs nothing but itself: tables, and pictures drawn by matplotlib as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from rtae.bench.budget import PARTS
from rtae.bench.report import Document, machine_line, sections
from rtae.page import COLOURS, page, picture, table

_AXIS_POINTS = 240.0
_LINE = 15.0 / _AXIS_POINTS
"""Height of the axes of quality against latency in points, and of a line of text as a part of it."""


def to_html(report: Document, quality: Mapping[str, Any] | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    report : dict
        As :func:`rtae.bench.report.document` makes it.
    quality : mapping, optional
        A report of ``rtae eval``, for quality against latency.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    pictures: list[tuple[str, float, Callable[[Any], None]]] = [
        ("Histogram of hop times", 4.5, lambda figure: _histogram(figure, report)),
        ("Time line of hop times", 1.0 + 1.8 * len(report["systems"]), lambda figure: _timeline(figure, report)),
    ]
    if report["budgets"]:
        pictures.append(("Latency budget", 2.2 + 0.8 * len(report["budgets"]), lambda figure: _budget(figure, report)))
    if quality is not None:
        pictures.append(("Quality against latency", 4.5, lambda figure: _quality(figure, quality)))
    parts = [f"<h1>Benchmark</h1><p>{escape(machine_line(report))}</p>"]
    for title, height, draw in pictures:
        parts.append(f"<h2>{title}</h2>{picture(title, draw, size=(11, height))}")
    for title, heading, rows in sections(report):
        parts.append(f"<h2>{escape(title)}</h2>{table(heading, rows)}")
    return page("rtae benchmark", parts)


def _series(report: Document) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return (system, colour, idle times), of each system the first load measured."""
    return [
        (f"{system['name']} ({load})", COLOURS[index % len(COLOURS)], found)
        for index, system in enumerate(report["systems"])
        for load, found in list(system["loads"].items())[:1]
    ]


def _histogram(figure: Any, report: Document) -> None:
    axis = figure.subplots()
    for name, colour, found in _series(report):
        edges, counts = found["histogram"]["edges_ms"], found["histogram"]["counts"]
        share = [100 * count / max(sum(counts), 1) for count in counts]
        axis.stairs(share, edges, color=colour, fill=True, alpha=0.45, label=name)
        axis.axvline(found["deadline_ms"], color=colour, linestyle="--", linewidth=1.5, label=f"{name}: deadline")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("time of a hop, ms")
    axis.set_ylabel("hops, %")
    axis.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axis.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _timeline(figure: Any, report: Document) -> None:
    series = _series(report)
    axes = figure.subplots(len(series), 1, sharey=True, squeeze=False)[:, 0]
    for axis, (name, colour, found) in zip(axes, series, strict=True):
        line = found["timeline_ms"]
        step = found["deadline_ms"] * found["hops"] / len(line) / 1e3
        axis.plot([step * index for index in range(len(line))], line, color=colour, linewidth=1)
        axis.axhline(found["deadline_ms"], color="#222222", linestyle="--", linewidth=1.2)
        axis.set_title(f"{name}; dashed: deadline, {found['deadline_ms']:.3g} ms", fontsize=11, loc="left")
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
        axis.margins(x=0.01)
    figure.supylabel("slowest hop of each stretch, ms", fontsize=12)
    axes[-1].set_xlabel("audio time, s")


def _budget(figure: Any, report: Document) -> None:
    axis = figure.subplots()
    names, longest = [], 0.0
    for row, budget in enumerate(report["budgets"]):
        names.append(budget["what"].partition(":")[0])
        left = 0.0
        for colour, (key, label) in zip(COLOURS, PARTS.items(), strict=True):
            width = 1e3 * (budget["parts_samples"].get(key) or 0) / budget["sample_rate"]
            axis.barh(row, width, left=left, height=0.5, color=colour, label=label if row == 0 else None)
            if width:
                axis.text(left + width / 2, row, f"{width:.2f}", ha="center", va="center", color="#111111")
            left += width
        longest = max(longest, left)
        if budget["measured_samples"] is not None:
            measured = 1e3 * budget["measured_samples"] / budget["sample_rate"]
            axis.plot([measured] * 2, [row - 0.35, row + 0.35], "k", linewidth=3, label="measured" if not row else None)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.set_xlim(0.0, 1.04 * longest or 1.0)
    axis.set_xlabel("latency, ms")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _quality(figure: Any, quality: Mapping[str, Any]) -> None:
    axes = figure.subplots(1, 2)
    for axis, metric in zip(axes, ("pesq_wb", "estoi"), strict=True):
        points = [
            (system["latency"]["declared_ms"], system["means"][metric]["mean"], system["name"])
            for system in quality.get("systems", [])
            if system.get("latency") and system.get("means", {}).get(metric)
        ]
        for index, (latency, mean, _) in enumerate(points):
            axis.plot(latency, mean, "o", color=COLOURS[index % len(COLOURS)], markersize=9)
        axis.margins(x=0.3, y=0.2)
        _label(axis, points)
        axis.set_xlabel("algorithmic latency, ms")
        axis.set_ylabel(quality.get("measures", {}).get(metric, {}).get("label", metric))
        axis.set_title("higher and farther left is better", fontsize=11)


def _label(axis: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write a name beside each point; where two would overlap, the upper one moves up."""
    low, high = axis.get_ylim()
    left, right = axis.get_xlim()
    placed: list[tuple[float, float]] = []
    for x, y, name in sorted(points, key=lambda point: point[1]):
        height = (y - low) / (high - low)
        beside = [at for other, at in placed if abs(other - x) < 0.3 * (right - left)]
        place = max([height, *(at + _LINE for at in beside if height - at < _LINE)])
        placed.append((x, place))
        axis.annotate(
            name, (x, y), xytext=(9, _AXIS_POINTS * (place - height) - 4), textcoords="offset points", fontsize=12
        )
