"""A live stream under what a desktop does to it: late blocks, xruns, time until the processed signal is back."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rtae.bench.load import LOADS
from rtae.bench.report import table

POLL_S = 0.005
"""How often the stream is looked at; the resolution of the recovery times."""

STEADY_S = 0.1
"""Processed signal without a break for so long is a recovery."""


@dataclass(frozen=True)
class Endured:
    """What one load did to a live stream.

    Attributes
    ----------
    load : str
        Key of :data:`rtae.bench.load.LOADS`.
    seconds : float
        How long it lasted.
    blocks, late, xruns, failures : int
        Blocks moved; late ones (dry signal in their place); under- and overflows; exceptions of the processor.
    outages : int
        Times that dry signal took over.
    longest_outage_ms : float
        Longest time until the processed signal was back; as long as it was looked at, if it never was.
    recovery_ms : float or None
        Time from the end of the load until the processed signal began to play for 100 ms without a break; None if it
        never did.
    lowest_level : int
        Lowest rung of the overload ladder: 0 is the model asked for.
    hop_p99_ms, hop_max_ms : float
        Processing time of a hop, as the stream itself counts it.
    """

    load: str
    seconds: float
    blocks: int
    late: int
    xruns: int
    failures: int
    outages: int
    longest_outage_ms: float
    recovery_ms: float | None
    lowest_level: int
    hop_p99_ms: float
    hop_max_ms: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-ready mapping."""
        return dataclasses.asdict(self)


def endure(make_stream: Callable[[], Any], load: str, seconds: float, calm_s: float) -> Endured:
    """Run a live stream under a load, then without it for a while.

    Parameters
    ----------
    make_stream : callable
        Makes a ``LiveStream`` that is not started.
    load : str
        Key of :data:`rtae.bench.load.LOADS`.
    seconds, calm_s : float
        Length of the load, and of the time after it in which the stream may recover.
    """
    watch = _Watch()
    with make_stream() as stream:
        with LOADS[load]():
            before = stream.stats
            begin = time.monotonic()
            watch.until(stream, begin + seconds)
            lasted = time.monotonic() - begin
            after = stream.stats
        ended = time.monotonic()
        watch.until(stream, ended + calm_s)
    recovery = watch.steady_after(ended)
    return Endured(
        load=load,
        seconds=round(lasted, 3),
        blocks=after.blocks - before.blocks,
        late=after.late - before.late,
        xruns=after.xruns - before.xruns,
        failures=after.failures - before.failures,
        outages=len(watch.dry),
        longest_outage_ms=1e3 * max((end - begin for begin, end in watch.dry), default=0.0),
        recovery_ms=None if recovery is None else 1e3 * recovery,
        lowest_level=watch.level,
        hop_p99_ms=after.hop_p99_ms,
        hop_max_ms=after.hop_max_ms,
    )


def to_text(results: Sequence[Endured]) -> str:
    """Return a Markdown table and what its words mean."""
    heading = ["load", "blocks", "late", "xruns", "outages", "longest ms", "recovery ms", "ladder", "p99 ms", "max ms"]
    rows = [
        [
            item.load,
            *(str(value) for value in (item.blocks, item.late, item.xruns, item.outages)),
            f"{item.longest_outage_ms:.0f}",
            "never" if item.recovery_ms is None else f"{item.recovery_ms:.0f}",
            str(item.lowest_level),
            *(f"{value:.2f}" for value in (item.hop_p99_ms, item.hop_max_ms)),
        ]
        for item in results
    ]
    return (
        f"{table(heading, rows)}\n\nlate: blocks in whose place the unprocessed signal played; outage: a time of "
        "that; recovery: from the end of the load until the processed signal was back; ladder: 0 is the model asked for"
    )


class _Watch:
    """Looks at a stream again and again: from when to when it plays dry signal, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.level = 0
        self.dry: list[tuple[float, float]] = []
        self._seen = 0.0
        self._on_dry = False

    def until(self, stream: Any, deadline: float) -> None:
        """Watch until a moment, or until the stream ends."""
        while (now := time.monotonic()) < deadline and stream.active:
            stats = stream.stats
            self.level = max(self.level, stats.level)
            # At the foot of the ladder dry signal is what is meant to play, and still not what was asked for.
            dry = bool(stats.on_dry or stats.level >= len(stream.models))
            if dry or self._on_dry:
                begin = self.dry.pop()[0] if self._on_dry else now
                self.dry.append((begin, now))
            self._on_dry, self._seen = dry, now
            time.sleep(POLL_S)

    def steady_after(self, moment: float) -> float | None:
        """Return the seconds from a moment until processed signal without a break; None if it was not seen."""
        since = moment
        for begin, end in self.dry:
            if begin >= since + STEADY_S:
                break
            since = max(since, end)
        return since - moment if since + STEADY_S <= self._seen else None
