"""The report as one HTML file that needs nothing but itself: tables, and pictures drawn by matplotlib as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from rtae.bench.budget import PARTS
from rtae.bench.report import Document, machine_line, sections
from rtae.page import COLOURS, page, picture, table

_STYLE = "td:first-child, td:nth-child(2) { white-space: nowrap }"
_INK = "#111111"
_LEGEND_COLUMNS = 4
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
    height = 1.6 + 1.5 * len(report["systems"])
    pictures: list[tuple[str, float, Callable[[Any], None]]] = [
        ("Histogram of hop times", height, lambda figure: _histogram(figure, report)),
        ("Time line of hop times", height, lambda figure: _timeline(figure, report)),
    ]
    if report["budgets"]:
        pictures.append(("Latency budget", 2.1 + 0.7 * len(report["budgets"]), lambda figure: _budget(figure, report)))
    if quality is not None:
        pictures.append(("Quality against latency", 4.5, lambda figure: _quality(figure, quality)))
    parts = [f"<h1>Benchmark</h1><p>{escape(machine_line(report))}</p>"]
    for title, height, draw in pictures:
        parts.append(f"<h2>{title}</h2>{picture(title, draw, size=(11, height))}")
    for title, heading, rows in sections(report):
        parts.append(f"<h2>{escape(title)}</h2>{table(heading, rows)}")
    return page("rtae benchmark", parts, style=_STYLE)


def _loads(report: Document) -> dict[str, str]:
    """Return every load measured -> its colour, in the order measured."""
    names = dict.fromkeys(load for system in report["systems"] for load in system["loads"])
    return {load: COLOURS[index % len(COLOURS)] for index, load in enumerate(names)}


def _histogram(figure: Any, report: Document) -> None:
    """One row a system, the loads above each other; right of the dashed line a hop is late."""
    colours = _loads(report)
    axes = figure.subplots(len(report["systems"]), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, system in zip(axes, report["systems"], strict=True):
        for index, (load, found) in enumerate(system["loads"].items()):
            edges, counts = found["histogram"]["edges_ms"], found["histogram"]["counts"]
            share = [100 * count / max(sum(counts), 1) for count in counts]
            axis.stairs(share, edges, color=colours[load], linewidth=1.6)
            if not index:
                axis.stairs(share, edges, color=colours[load], fill=True, alpha=0.3)
        _deadline(axis.axvline, system)
        axis.set_title(_titled(system), fontsize=11, loc="left")
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(_plain)
    axes[-1].set_xscale("log")
    axes[-1].xaxis.set_major_formatter(_plain)
    axes[-1].set_xlabel("time of a hop, ms")
    figure.supylabel("hops, %", fontsize=12)
    for load, colour in colours.items():
        axes[0].plot([], [], color=colour, linewidth=3, label=load)
    axes[0].plot([], [], color=_INK, linestyle="--", label="deadline")
    _legend(figure, axes[0])


def _timeline(figure: Any, report: Document) -> None:
    """One row a system, one column a load."""
    colours = _loads(report)
    systems = report["systems"]
    axes = figure.subplots(len(systems), len(colours), sharex="row", sharey=True, squeeze=False)
    for row, system in zip(axes, systems, strict=True):
        for axis, (load, colour) in zip(row, colours.items(), strict=True):
            found = system["loads"].get(load)
            if found is None:
                axis.set_axis_off()
                continue
            line = found["timeline_ms"]
            step = found["deadline_ms"] * found["hops"] / len(line) / 1e3
            axis.plot([step * index for index in range(len(line))], line, color=colour, linewidth=0.9)
            _deadline(axis.axhline, system)
            axis.set_title(f"{system['name']}, {load}", fontsize=11, loc="left")
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(_plain)
            axis.margins(x=0.01)
    figure.supylabel("time of a hop, ms", fontsize=12)
    figure.supxlabel("audio time, s (of each stretch its slowest hop; dashed: deadline)", fontsize=12)


def _deadline(draw: Callable[..., object], system: Mapping[str, Any]) -> None:
    draw(1e3 * system["hop"] / system["sample_rate"], color=_INK, linestyle="--", linewidth=1.2)


def _titled(system: Mapping[str, Any]) -> str:
    """Return a system's name with its deadline and what became of it."""
    late = ", ".join(f"{found['late'] / found['hops']:.1%} {load}" for load, found in system["loads"].items())
    return f"{system['name']}: deadline {1e3 * system['hop'] / system['sample_rate']:.3g} ms, late {late}"


def _plain(value: float, position: int) -> str:
    return f"{value:g}"


def _budget(figure: Any, report: Document) -> None:
    axis = figure.subplots()
    names, longest = [], 0.0
    for row, budget in enumerate(report["budgets"]):
        names.append(budget["what"].partition(":")[0])
        left = 0.0
        for colour, (key, label) in zip(COLOURS, PARTS.items(), strict=True):
            width = 1e3 * (budget["parts_samples"].get(key) or 0) / budget["sample_rate"]
            if width:
                bar = axis.barh(row, width, left=left, height=0.5, color=colour, edgecolor="white")
                bar.set_label(label)
                axis.text(left + width / 2, row, f"{width:.2f}", ha="center", va="center", color=_INK)
            left += width
        end, found = left, "no signal"
        if budget["measured_samples"] is not None:
            measured = 1e3 * budget["measured_samples"] / budget["sample_rate"]
            axis.plot([measured] * 2, [row - 0.36, row + 0.36], color=_INK, linewidth=3, label="measured")
            end, found = max(left, measured), f"measured {measured:.2f}"
        axis.text(end, row, f"  {left:.2f} ms,\n  {found}", va="center", color=_INK)
        longest = max(longest, end)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.set_xlim(0.0, 1.25 * longest or 1.0)
    axis.set_xlabel("latency, ms")
    axis.grid(visible=False, axis="y")
    _legend(figure, axis)


def _legend(figure: Any, axis: Any) -> None:
    """Write what an axis shows above it; what many have is named once."""
    handles, labels = axis.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    figure.legend(named.values(), named.keys(), loc="outside upper right", ncols=_LEGEND_COLUMNS, frameon=False)


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
