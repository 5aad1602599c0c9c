"""The live stream as a person sees it: a terminal view, or plain lines where there is no terminal."""

from __future__ import annotations

import textwrap
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rtae.live.report import Event, Stats

if TYPE_CHECKING:
    from rtae.live.stream import LiveStream

LOWEST_DB = -60.0
"""Left end of the level bars, in dBFS."""

STRENGTHS_DB = (0.0, 3.0, 6.0, 9.0, 12.0, 18.0, 24.0, 30.0, 40.0, None)
"""Attenuation limits that the strength keys step through, in decibels; None is unlimited."""

KEYS = "b bypass  r removed  +/- strength  m model  c mode  s save 10 s  q quit"

BLOCKS = " ▁▂▃▄▅▆▇█"
"""Heights of a spectrum's columns."""

ASCII_BLOCKS = " .:-=+*%@"
"""The same where the terminal has only ASCII."""

_SPECTRUM_RANGE_DB = (-90.0, -20.0)
_REMOVED_RANGE_DB = (0.0, 36.0)
_COLUMN = 2

WIDTH = 78

_EVENTS_SHOWN, _EVENT_LINES = 4, 7
"""Newest events, and lines for them: with all the others 24 at most."""

_EVENT_STYLES = {
    **dict.fromkeys(("recovered", "back", "restarted"), "green"),
    **dict.fromkeys(("late", "xrun", "step"), "yellow"),
    "note": "cyan",
}

HOT_DB, HOTTEST_DB = -18.0, -6.0
"""Levels from which a bar is yellow, and red, in dBFS."""

HEAVY, HEAVIEST = 0.5, 0.8
"""The same for the load."""


class View:
    """Renders a stream and remembers its newest events.

    Parameters
    ----------
    stream : LiveStream
        The stream to look at.
    encoding : str
        Encoding of the terminal.
    """

    def __init__(self, stream: LiveStream, encoding: str = "utf-8") -> None:
        self._stream = stream
        self._tap = stream.tap()
        self._blocks = BLOCKS if encoding.lower().startswith("utf") else ASCII_BLOCKS
        self._events: deque[Event] = deque(maxlen=_EVENTS_SHOWN)

    def add(self, event: Event) -> None:
        """Show an event until newer ones push it out."""
        self._events.append(event)

    def render(self) -> RenderableType:
        """Return the view as of now."""
        stream = self._stream
        stats, latency = stream.stats, stream.latency
        levels = Table.grid(padding=(0, 1))
        levels.add_column(justify="right", width=10)
        levels.add_column(width=40)
        levels.add_column(justify="right")
        for name, level in (("in", stats.level_in_db), ("out", stats.level_out_db)):
            style = _warning(level, HOT_DB, HOTTEST_DB)
            levels.add_row(name, _bar((level - LOWEST_DB) / -LOWEST_DB, style), f"{level:6.1f} dBFS")
        levels.add_row("reduction", _bar(stats.reduction_db / 40.0, "cyan"), f"{stats.reduction_db:6.1f} dB  ")
        style = _warning(stats.load, HEAVY, HEAVIEST)
        levels.add_row("load", _bar(stats.load, style), f"{100 * stats.load:6.1f} %   ")
        spectrum = self._tap.spectrum()
        for name, values, span, style in (
            ("before", spectrum.before_db, _SPECTRUM_RANGE_DB, ""),
            ("after", spectrum.after_db, _SPECTRUM_RANGE_DB, "green"),
            ("per band", spectrum.removed_db, _REMOVED_RANGE_DB, "cyan"),
        ):
            levels.add_row(name, Text(columns(values, span, self._blocks), style=style), "")
        levels.add_row("", f"{spectrum.centres_hz[0]:<6.0f}{'Hz':^28}{spectrum.centres_hz[-1]:>6.0f}", "")
        facts = Table.grid(padding=(0, 1))
        facts.add_column(justify="right", width=10)
        facts.add_column()
        parts = " + ".join(f"{name.replace('_', ' ')} {ms:.1f}" for name, ms in latency.parts_ms().items())
        facts.add_row("late", f"{stats.late} blocks    xruns {stats.xruns}    clipped {stats.clipped}")
        drift = "" if stats.drift_ppm is None else f"    clocks {stats.drift_ppm:+.0f} ppm apart"
        facts.add_row("hop", f"p50 {stats.hop_p50_ms:.2f} ms   p99 {stats.hop_p99_ms:.2f} ms{drift}")
        facts.add_row("latency", f"{latency.total_ms:.1f} ms = {parts}")
        heard = {"processed": "", "dry": "   BYPASS", "removed": "   HEARING WHAT IS REMOVED"}[stream.listen]
        mode = "" if stream.mode is None else f"    mode {stream.mode}"
        facts.add_row("strength", strength(stream.attenuation_limit_db) + mode + heard)
        return Panel(Group(levels, facts, self._newest()), title=Text(self._title()), subtitle=KEYS, width=WIDTH)

    def _title(self) -> str:
        """Name devices and model; long names of devices are cut, so that all three are there."""
        stream = self._stream
        source, sink = stream.input_name, stream.output_name
        room = WIDTH - 8 - len(f"rtae:  -> {stream.name} -> ")
        share = max(room - min(len(source), len(sink)), room // 2)
        return f"rtae: {_cut(source, share)} -> {stream.name} -> {_cut(sink, share)}"

    def _newest(self) -> Text:
        """Return the newest events, as many as there is room for."""
        shown: list[Text] = []
        for event in reversed(self._events):
            lines = textwrap.wrap(event.message, WIDTH - 4)
            if len(shown) + len(lines) > _EVENT_LINES:
                break
            shown[:0] = [Text(line, style=_EVENT_STYLES.get(event.kind, "red")) for line in lines]
        return Text("\n").join(shown)

    def line(self) -> str:
        """Return the view as of now in one line."""
        return line(self._stream.stats)


def columns(values: Sequence[float], span: tuple[float, float], blocks: str) -> str:
    """Return values as a row of columns of different height."""
    low, high = span
    places = (round((value - low) / (high - low) * (len(blocks) - 1)) for value in values)
    return "".join(blocks[min(max(place, 0), len(blocks) - 1)] * _COLUMN for place in places)


def line(stats: Stats) -> str:
    """Return statistics as one line of text."""
    return (
        f"in {stats.level_in_db:.1f} dBFS, out {stats.level_out_db:.1f} dBFS, removed {stats.reduction_db:.1f} dB, "
        f"load {100 * stats.load:.0f} %, late {stats.late}, xruns {stats.xruns}"
    )


def strength(limit_db: float | None) -> str:
    """Name an attenuation limit."""
    return "full" if limit_db is None else f"at most {limit_db:g} dB"


def stepped_strength(limit_db: float | None, step: int) -> float | None:
    """Return the next attenuation limit up (`step` 1) or down (-1)."""
    value = float("inf") if limit_db is None else limit_db
    ladder = [float("inf") if item is None else item for item in STRENGTHS_DB]
    if step > 0:
        place = next((index for index, item in enumerate(ladder) if item > value), len(ladder) - 1)
    else:
        place = max((index for index, item in enumerate(ladder) if item < value), default=0)
    return STRENGTHS_DB[place]


def _cut(name: str, size: int) -> str:
    return name if len(name) <= size else f"{name[: size - 3]}..."


def _bar(share: float, style: str) -> ProgressBar:
    share = min(max(share, 0.0), 1.0)
    return ProgressBar(total=1.0, completed=share, width=40, complete_style=style, finished_style=style)


def _warning(value: float, yellow: float, red: float) -> str:
    return "red" if value >= red else "yellow" if value >= yellow else "green"
