"""What a live stream tells: latency by named parts, statistics, events."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtae.live.board import Board

SILENCE_DB = -120.0
"""Level reported for digital silence, in dBFS."""


@dataclass(frozen=True)
class Latency:
    """Latency from microphone to ear as a sum of named parts, in samples at `sample_rate`.

    Attributes
    ----------
    sample_rate : int
        Hertz.
    input_device, output_device : int
        As reported by the sound system.
    model : int
        Delay of the model itself.
    hop_wait : int
        Rest of the processor's delay: waiting for whole hops, and resampling.
    headroom : int
        Time the worker has, in whole blocks.
    """

    sample_rate: int
    input_device: int
    model: int
    hop_wait: int
    headroom: int
    output_device: int

    @property
    def engine(self) -> int:
        """Part between the input and the output callback, in samples."""
        return self.model + self.hop_wait + self.headroom

    @property
    def total(self) -> int:
        """Sum of all parts, in samples."""
        return self.input_device + self.engine + self.output_device

    @property
    def total_ms(self) -> float:
        """Sum of all parts, in milliseconds."""
        return 1e3 * self.total / self.sample_rate

    def parts_ms(self) -> dict[str, float]:
        """Return each part in milliseconds, in signal order."""
        names = ("input_device", "model", "hop_wait", "headroom", "output_device")
        return {name: 1e3 * getattr(self, name) / self.sample_rate for name in names}


@dataclass(frozen=True)
class Stats:
    """A live stream's counters and meters at one moment.

    Attributes
    ----------
    blocks, late, skipped, xruns : int
        Blocks moved; blocks whose result missed its time and was replaced by dry signal; blocks the worker never
        processed because it was too far behind; under- and overflows the devices reported.
    callback_errors, failures, clipped : int
        Exceptions in the callback and in the processor; blocks with input at or over full scale.
    on_dry : bool
        The newest block was replaced by dry signal.
    level : int
        Rung of the overload ladder: 0 is the model asked for.
    load : float
        Processing time over audio time, averaged over half a second.
    level_in_db, level_out_db, reduction_db : float
        Power before and after processing in dBFS, averaged over half a second, and their difference.
    drift_ppm : float or None
        By how much the input's clock runs faster than the output's, in parts per million; None if they are one.
    hop_p50_ms, hop_p99_ms, hop_max_ms : float
        Processing time per hop (percentiles to 9 %).
    """

    blocks: int
    late: int
    skipped: int
    xruns: int
    callback_errors: int
    failures: int
    clipped: int
    on_dry: bool
    level: int
    load: float
    level_in_db: float
    level_out_db: float
    reduction_db: float
    drift_ppm: float | None
    hop_p50_ms: float
    hop_p99_ms: float
    hop_max_ms: float

    @classmethod
    def of(cls, board: Board) -> Stats:
        """Read a board."""
        level_in, level_out = (decibels(float(field[0])) for field in (board.power_in, board.power_out))
        counters = ("blocks", "late", "skipped", "xruns", "callback_errors", "failures", "clipped")
        return cls(
            **{name: int(getattr(board, name)[0]) for name in counters},
            on_dry=bool(board.on_dry[0]),
            level=int(board.level[0]),
            load=float(board.load[0]),
            level_in_db=level_in,
            level_out_db=level_out,
            reduction_db=level_in - level_out,
            drift_ppm=None if math.isnan(board.drift_ppm[0]) else float(board.drift_ppm[0]),
            hop_p50_ms=board.hop_percentile_ms(50.0),
            hop_p99_ms=board.hop_percentile_ms(99.0),
            hop_max_ms=float(board.hop_max_us[0]) / 1e3,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-ready mapping, numbers rounded."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in dataclasses.asdict(self).items()
        }


@dataclass(frozen=True)
class Event:
    """Something that happened to a live stream.

    Attributes
    ----------
    kind : str
        ``late`` (dry signal took over), ``recovered``, ``xrun``, ``failed`` (the processor raised), ``step`` (another
        model of the overload ladder runs now), ``lost`` and ``back`` (the device), ``restarted`` (the engine process
        was replaced), ``ended`` (the file is at its end, or the engine process could not be kept up).
    message : str
        One line for a person.
    """

    kind: str
    message: str


class Watcher:
    """Turns the changes of a board into events; each :meth:`poll` reports what changed since the one before.

    Parameters
    ----------
    board : Board
        The board to watch.
    names : sequence of str
        Names of the models on the overload ladder.
    """

    def __init__(self, board: Board, names: Sequence[str] = ()) -> None:
        self._board = board
        self._names = [*names, "dry signal"]
        self._level = 0
        self._late = self._xruns = self._failures = 0
        self._covering = self._ended = False

    def poll(self, failure: str = "", ended: str = "") -> list[Event]:
        """Return new events; `failure` and `ended` are the engine's texts for these two."""
        board, events = self._board, []
        late, xruns, failures = int(board.late[0]), int(board.xruns[0]), int(board.failures[0])
        if failures > self._failures:
            events.append(Event("failed", f"the processor failed, the stream goes on without it: {failure}"))
        elif late > self._late and not self._covering:
            events.append(Event("late", f"{_count(late - self._late, 'block')} came too late, dry signal took over"))
        if xruns > self._xruns:
            events.append(
                Event("xrun", f"the sound system reported {_count(xruns - self._xruns, 'under- or overflow')}")
            )
        if late > self._late:
            self._covering = True
        elif self._covering:
            self._covering = False
            events.append(Event("recovered", "processed signal is back"))
        level = int(board.level[0])
        if level != self._level:
            way = "down" if level > self._level else "up"
            events.append(Event("step", f"stepped {way} to {self._names[level]}"))
            self._level = level
        if ended and not self._ended:
            self._ended = True
            events.append(Event("ended", ended))
        self._late, self._xruns, self._failures = late, xruns, failures
        return events


def decibels(power: float) -> float:
    """Return a power in decibels, :data:`SILENCE_DB` for silence."""
    return 10.0 * math.log10(power) if power > 1e-12 else SILENCE_DB


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
