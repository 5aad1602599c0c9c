"""Events of a stream, and how a value that rises and falls makes them: :class:`Hysteresis`."""

from __future__ import annotations

from dataclasses import dataclass

from rtae.errors import ParameterError

LOOK_BACK_S = 0.1
"""A segment begins where the value left the quiet before it, but no longer than this before it was sure."""


@dataclass(frozen=True)
class Event:
    """The beginning or the end of a segment.

    Attributes
    ----------
    kind : str
        ``speech_start``, ``speech_end``, ``sound_start`` or ``sound_end``.
    time_s : float
        When it was, in seconds from the beginning of the stream.
    decided_s : float
        When that was known: later than ``time_s`` by the look-back or by the hold.
    """

    kind: str
    time_s: float
    decided_s: float


class Hysteresis:
    """Turns a value into events: on at ``on``, off after ``hold_s`` below ``off``.

    Parameters
    ----------
    label : str
        First part of the events' kinds.
    on, off : float
        Values at which a segment begins, and below which it ends; ``off`` is not above ``on``.
    hold_s : float
        Time below ``off`` that ends a segment; the end is where that time began.
    look_back_s : float, optional
        The beginning is where the value last rose to ``off``, at most this long before it reached ``on``.
    settling_s : float, optional
        Time from 0 in which no segment begins; the beginning of one that is found after it may be in it.

    Raises
    ------
    ParameterError
        If ``off`` is above ``on`` or a time is negative.
    """

    def __init__(
        self,
        label: str,
        on: float,
        off: float,
        hold_s: float,
        look_back_s: float = LOOK_BACK_S,
        settling_s: float = 0.0,
    ) -> None:
        if not off <= on or min(hold_s, look_back_s, settling_s) < 0:
            raise ParameterError(
                f"on {on}, off {off}, hold {hold_s} s, look-back {look_back_s} s, settling {settling_s} s: "
                "off must not be above on, nor a time below 0"
            )
        self.label: str = label
        self.on: float = on
        self.off: float = off
        self.hold_s: float = hold_s
        self.look_back_s: float = look_back_s
        self.settling_s: float = settling_s
        self._active = False
        self._rise_s: float | None = None
        self._last_s = 0.0

    @property
    def active(self) -> bool:
        """Whether a segment has begun and not ended."""
        return self._active

    def update(self, value: float, start_s: float, end_s: float) -> Event | None:
        """Take the value of the time from ``start_s`` to ``end_s``; return the event it makes certain, if any."""
        above = value >= self.off
        if not self._active:
            if not above:
                self._rise_s = None
            elif self._rise_s is None:
                self._rise_s = start_s
            if value < self.on or start_s < self.settling_s:
                return None
            rise = start_s if self._rise_s is None else max(self._rise_s, start_s - self.look_back_s)
            self._active, self._last_s = True, end_s
            return Event(f"{self.label}_start", rise, end_s)
        if above:
            self._last_s = end_s
        # A hundredth of a hop of tolerance: sums of times are not exact.
        elif end_s - self._last_s >= self.hold_s - 0.01 * (end_s - start_s):
            self._active, self._rise_s = False, None
            return Event(f"{self.label}_end", self._last_s, end_s)
        return None

    def finish(self, end_s: float) -> Event | None:
        """End the stream at ``end_s``; return the end of the segment it cuts off, if one is."""
        if not self._active:
            return None
        self._active = False
        return Event(f"{self.label}_end", min(self._last_s, end_s), end_s)

    def reset(self) -> None:
        """Go back to the start."""
        self._active = False
        self._rise_s = None
        self._last_s = 0.0
