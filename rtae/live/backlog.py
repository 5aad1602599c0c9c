"""A sound system that holds audio back: :class:`Backlog`.

A queue between program and device, such as that of a PulseAudio server, keeps what arrives during a stall and plays it
late from then on. The engine cannot see that, but the times of its callbacks tell.
"""

from __future__ import annotations

import time

SLACK_S = 0.02
"""By how much audio may lie longer in the sound system than it reports, in seconds."""

WINDOW_S = 1.0
"""It is judged over windows of this length by the half of its blocks: times jump about by single blocks."""

STEADY_S = 10.0
"""A stream that holds back again sooner than this needs more room, and is allowed twice as much, in seconds."""


class Backlog:
    """Compares the way through the sound system with what it reports.

    Attributes
    ----------
    held_s : float
        The way through the sound system of the newest block, in seconds.
    unsteady : bool
        The last two times it held back came soon after each other: ask for more latency.
    """

    def __init__(self) -> None:
        self.held_s = 0.0
        self.unsteady = False
        self._slack_s = SLACK_S
        self._limit_s = 0.0
        self._window = self._blocks = self._over = 0
        self._told_s = -STEADY_S

    def begin(self, reported_s: float, block_s: float) -> None:
        """Watch a stream that has just been opened.

        Parameters
        ----------
        reported_s, block_s : float
            Latency it reports, both ways together, and length of a block, in seconds.
        """
        self._limit_s = reported_s + block_s
        self._window = max(1, round(WINDOW_S / block_s))
        self._blocks = self._over = 0

    def note(self, held_s: float) -> bool:
        """Take note of the way through the sound system at one block; return whether to open the stream anew."""
        self.held_s = held_s
        self._blocks += 1
        self._over += held_s > self._limit_s + self._slack_s
        if self._blocks < self._window:
            return False
        held_back = 2 * self._over > self._blocks
        self._blocks = self._over = 0
        if held_back:
            now = time.monotonic()
            self.unsteady = now - self._told_s < STEADY_S
            self._slack_s = 2.0 * self._slack_s if self.unsteady else SLACK_S
            self._told_s = now
        return held_back
