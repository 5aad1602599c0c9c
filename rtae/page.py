"""Reports as one HTML file that needs nothing but itself: :func:`page`, and :func:`picture` drawn by matplotlib."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from rtae.errors import MissingDependencyError

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d")
"""Colours of series, told apart also by those who see no red or no green."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
body { color: #222; background: #fff }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.9rem }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left }
img { width: 100%; height: auto; margin: 1rem 0 }
"""


def page(title: str, parts: Sequence[str], *, style: str = "") -> str:
    """Return the page.

    Parameters
    ----------
    title : str
        Shown by the browser's window.
    parts : sequence of str
        HTML of the body.
    style : str, optional
        CSS in addition to the house's.
    """
    # The empty icon keeps a browser from asking the network for one.
    head = (
        f'<meta charset="utf-8"><title>{escape(title)}</title><link rel="icon" href="data:,">'
        f"<style>{_STYLE}{style}</style>"
    )
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; its cells are text, not HTML."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def picture(
    title: str, draw: Callable[[Any], None], *, size: tuple[float, float] = (11, 4.5), extra: str = "demo"
) -> str:
    """Return an image element with what ``draw`` draws on the matplotlib figure it is given.

    Parameters
    ----------
    title : str
        Told to those who do not see the picture.
    draw : callable
        Draws on a figure.
    size : tuple of float, optional
        Width and height of the figure in inches.
    extra : str, optional
        Extra of the package that brings matplotlib, for the message.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(f"no HTML report without matplotlib; run pip install 'rtae[{extra}]'") from None
    drawn = io.BytesIO()
    # Letters as outlines: legible alike wherever it is opened.
    with matplotlib.rc_context({"svg.fonttype": "path", "font.size": 12, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}">'
