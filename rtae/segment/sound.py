"""When something sounds: :class:`SoundSegmenter`, by the level above the background."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import ArrayLike

from rtae.errors import ParameterError
from rtae.segment.events import Event, Hysteresis

SOUND_ON_DB, SOUND_OFF_DB = 12.0, 6.0
"""Levels above the background at which a sound begins, and below which it ends."""

SOUND_HOLD_S = 0.2
BACKGROUND_S = 3.0
"""The background is the quietest that the last seconds were."""

FRAME_S = 0.01
QUIETEST_DB = -75.0
"""What is softer, in dBFS, is no sound."""


class SoundSegmenter:
    """Tells when something sounds in a stream: where the level of 10 ms rises above that of the background.

    The background is the least level of the last :data:`BACKGROUND_S`, each smoothed over 100 ms.

    Parameters
    ----------
    sample_rate, channels : int, optional
        Format of the blocks. The loudest channel counts.
    """

    def __init__(self, *, sample_rate: int = 48_000, channels: int = 1) -> None:
        self.sample_rate: int = sample_rate
        self.channels: int = channels
        self._frame = max(1, round(FRAME_S * sample_rate))
        self._tracker = Hysteresis("sound", SOUND_ON_DB, SOUND_OFF_DB, SOUND_HOLD_S)
        self._rest = np.zeros((0, channels), np.float32)
        self._recent: deque[float] = deque(maxlen=round(0.1 / FRAME_S))
        self._levels: deque[float] = deque(maxlen=round(BACKGROUND_S / FRAME_S))
        self._samples = self._taken = 0

    def process(self, block: ArrayLike) -> list[Event]:
        """Take the next block, of shape (n, channels) or (n,) of one channel; return the events it makes certain.

        Raises
        ------
        ParameterError
            If the block is of another shape.
        """
        frames = np.asarray(block, np.float32)
        if frames.ndim == 1:
            frames = frames[:, np.newaxis]
        if frames.ndim != 2 or frames.shape[1] != self.channels:
            raise ParameterError(f"block must have shape (n, {self.channels}), got {np.shape(block)}")
        self._samples += len(frames)
        self._rest = np.concatenate([self._rest, np.nan_to_num(frames, posinf=0.0, neginf=0.0)])
        whole = len(self._rest) // self._frame
        cut = self._rest[: whole * self._frame].reshape(whole, self._frame, self.channels)
        self._rest = self._rest[whole * self._frame :]
        powers = np.square(cut, dtype=np.float64).mean(axis=1).max(axis=1)
        return [event for power in powers if (event := self._take(float(power)))]

    def flush(self) -> list[Event]:
        """End the stream; return the end of a sound that is cut off."""
        last = self._tracker.finish(self._samples / self.sample_rate)
        return [last] if last else []

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._tracker.reset()
        self._rest = self._rest[:0]
        self._recent.clear()
        self._levels.clear()
        self._samples = self._taken = 0

    def _take(self, power: float) -> Event | None:
        self._recent.append(power)
        level, smooth = (10.0 * np.log10(max(one, 1e-14)) for one in (power, sum(self._recent) / len(self._recent)))
        self._levels.append(max(smooth, QUIETEST_DB))
        start, end = (count * self._frame / self.sample_rate for count in (self._taken, self._taken + 1))
        self._taken += 1
        return self._tracker.update(level - min(self._levels), start, end)
