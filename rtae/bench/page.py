"""The report as one HTML file that needs nothing but itself: tables, and pictures drawn by matplotlib as SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from rtae.bench.budget import PARTS
from rtae.bench.report import Document, machine_line, sections
from rtae.errors import MissingDependencyError

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
body { color: #222; background: #fff }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.9rem }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left }
img { width: 100%; height: auto; margin: 1rem 0 }
"""
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d")


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
    pictures: list[tuple[str, Callable[[Any], None]]] = [
        ("Histogram of hop times", lambda figure: _histogram(figure, report)),
        ("Time line of hop times", lambda figure: _timeline(figure, report)),
    ]
    if report["budgets"]:
        pictures.append(("Latency budget", lambda figure: _budget(figure, report)))
    if quality is not None:
        pictures.append(("Quality against latency", lambda figure: _quality(figure, quality)))
    parts = [f"<h1>Benchmark</h1><p>{escape(machine_line(report))}</p>"]
    for title, draw in pictures:
        parts.append(f"<h2>{title}</h2>{_picture(title, draw)}")
    for title, heading, rows in sections(report):
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
        lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        parts.append(f"<h2>{escape(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>")
    # The empty icon keeps a browser from asking the network for one.
    head = f'<meta charset="utf-8"><title>rtae benchmark</title><link rel="icon" href="data:,"><style>{_STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _picture(title: str, draw: Callable[[Any], None]) -> str:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError("no HTML report without matplotlib; run pip install 'rtae[demo]'") from None
    drawn = io.BytesIO()
    # Letters as outlines: legible alike wherever it is opened.
    with matplotlib.rc_context({"svg.fonttype": "path", "font.size": 12, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(11, 4.5), layout="constrained")
        draw(figure)
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}">'


def _series(report: Document) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return (system, colour, idle times), of each system the first load measured."""
    return [
        (f"{system['name']} ({load})", _COLOURS[index % len(_COLOURS)], found)
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
    axis = figure.subplots()
    for name, colour, found in _series(report):
        line = found["timeline_ms"]
        step = found["deadline_ms"] * found["hops"] / len(line) / 1e3
        axis.plot([step * index for index in range(len(line))], line, color=colour, linewidth=1, label=name)
        axis.axhline(found["deadline_ms"], color=colour, linestyle="--", linewidth=1.5, label=f"{name}: deadline")
    axis.set_yscale("log")
    axis.set_xlabel("audio time, s")
    axis.set_ylabel("slowest hop of each stretch, ms")
    axis.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _budget(figure: Any, report: Document) -> None:
    axis = figure.subplots()
    names = []
    for row, budget in enumerate(report["budgets"]):
        names.append(budget["what"].partition(":")[0])
        left = 0.0
        for colour, (key, label) in zip(_COLOURS, PARTS.items(), strict=True):
            width = 1e3 * (budget["parts_samples"].get(key) or 0) / budget["sample_rate"]
            axis.barh(row, width, left=left, height=0.5, color=colour, label=label if row == 0 else None)
            if width:
                axis.text(left + width / 2, row, f"{width:.2f}", ha="center", va="center", color="white")
            left += width
        if budget["measured_samples"] is not None:
            measured = 1e3 * budget["measured_samples"] / budget["sample_rate"]
            axis.plot(
                [measured] * 2, [row - 0.35, row + 0.35], "k", linewidth=2.5, label="measured" if not row else None
            )
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.margins(x=0.03)
    axis.set_xlabel("latency, ms")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _quality(figure: Any, quality: Mapping[str, Any]) -> None:
    axes = figure.subplots(1, 2)
    for axis, metric in zip(axes, ("pesq_wb", "estoi"), strict=True):
        points = [
            (system["name"], system["latency"]["declared_ms"], system["means"][metric]["mean"])
            for system in quality.get("systems", [])
            if system.get("latency") and system.get("means", {}).get(metric)
        ]
        for index, (name, latency, mean) in enumerate(points):
            axis.plot(latency, mean, "o", color=_COLOURS[index % len(_COLOURS)])
            axis.annotate(name, (latency, mean), xytext=(6, 4), textcoords="offset points")
        axis.set_xlabel("algorithmic latency, ms")
        axis.set_ylabel(quality.get("measures", {}).get(metric, {}).get("label", metric))
        axis.margins(x=0.25, y=0.2)
