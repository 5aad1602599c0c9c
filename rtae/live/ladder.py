"""The overload ladder: which model to run when the best one does not keep up.

Rung 0 is the model asked for, further rungs are lighter ones, and below the last one is dry signal. Repeated lateness
steps down; calm steps up again, after a time that doubles whenever a step up had to be taken back.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 0.5
"""Lateness is judged over windows of this length, in seconds."""

LATE_SHARE = 0.1
"""Share of late blocks that makes a window bad."""

LATE_SHARE_DRY = 0.5
"""The same on the last rung: below it there is only dry signal, which covers what is late anyway."""

BAD_WINDOWS = 2
"""Bad ones of the last :data:`WINDOWS` windows that step down: a single stall of the machine is one window."""

WINDOWS = 3

PATIENCE_S = 5.0
"""Calm needed before a first step up."""

LONGEST_PATIENCE_S = 320.0


class Ladder:
    """Decides the rung, block by block, from counts alone.

    Parameters
    ----------
    rungs : int
        Number of models; the level `rungs` is dry signal.
    blocks_per_s : float
        Blocks a second.

    Attributes
    ----------
    level : int
        The rung to run now.
    """

    def __init__(self, rungs: int, blocks_per_s: float) -> None:
        self._rungs = rungs
        self._window = max(1, round(WINDOW_S * blocks_per_s))
        self._banned: set[int] = set()
        self._top = 0
        self.level = 0
        self._bad: deque[bool] = deque(maxlen=WINDOWS)
        self._patience_s = PATIENCE_S
        self._calm_s = 0.0
        self._on_trial = False
        self._blocks = 0
        self._busy = 0.0
        self._late = 0

    def choose(self, top: int) -> None:
        """Make `top` the best rung allowed, as the user asked; it is taken at once."""
        if top != self._top:
            self._top = top
            self._move(self._usable(top, 1))

    def ban(self) -> None:
        """Never run this level again: its model failed."""
        self._banned.add(self.level)
        self._move(self._usable(self.level, 1))

    def observe(self, late: int, load: float) -> None:
        """Take note of one block.

        Parameters
        ----------
        late : int
            Late blocks since the stream began.
        load : float
            Processing time of the block over its length.
        """
        self._blocks += 1
        self._busy += load
        if self._blocks < self._window:
            return
        was_late = late - self._late
        overloaded = self._busy > self._blocks
        self._blocks, self._busy, self._late = 0, 0.0, late
        last = self._usable(self.level + 1, 1) == self._rungs
        self._bad.append(was_late >= (LATE_SHARE_DRY if last else LATE_SHARE) * self._window or overloaded)
        if sum(self._bad) >= BAD_WINDOWS and self.level < self._rungs:
            if self._on_trial:
                self._patience_s = min(2.0 * self._patience_s, LONGEST_PATIENCE_S)
            self._move(self._usable(self.level + 1, 1))
            return
        self._calm_s = 0.0 if self._bad[-1] else self._calm_s + WINDOW_S
        if self._calm_s < self._patience_s:
            return
        better = self._usable(self.level - 1, -1)
        if self._top <= better < self.level:
            self._move(better)
            self._on_trial = True
        else:
            # As high as it may go, and calm for long: what was overloaded once is forgiven.
            self._patience_s, self._on_trial = PATIENCE_S, False

    def _usable(self, level: int, step: int) -> int:
        while level in self._banned:
            level += step
        return level

    def _move(self, level: int) -> None:
        self.level = level
        self._bad.clear()
        self._calm_s = 0.0
        self._on_trial = False
