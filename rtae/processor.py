"""What everything that processes a stream has in common: :class:`Processor`, and the simplest ones there are."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from rtae.base import CHUNK, Frames, StreamProcessor
from rtae.errors import ParameterError
from rtae.ring import RingBuffer

FADE_S = 0.01
"""Length of the cross-fade to and from a processor's bypass, in seconds."""


@runtime_checkable
class Processor(Protocol):
    """A stream processor: as many samples out as in, at a delay that is known.

    ``concatenate([process(block) for block in blocks] + [flush()])[delay:]`` has the length of the input and is
    aligned with it, whatever the blocks.

    Attributes
    ----------
    sample_rate : int
        Hertz at its edges.
    channels : int
        Channels at its edges.
    delay : int
        Samples between input and output signal, at ``sample_rate``.
    """

    @property
    def sample_rate(self) -> int: ...  # noqa: D102

    @property
    def channels(self) -> int: ...  # noqa: D102

    @property
    def delay(self) -> int: ...  # noqa: D102

    def process(self, block: ArrayLike, out: Frames | None = None) -> Frames:
        """Take a block of shape (n, channels), n >= 0, and return one of the same shape."""

    def flush(self) -> Frames:
        """End the stream: return its last ``delay`` samples."""

    def reset(self) -> None:
        """Go back to the fresh state."""


class Gain(StreamProcessor):
    """Scales the signal.

    Parameters
    ----------
    gain_db : float
        Gain in decibels.
    sample_rate, channels : int, optional
        Format at its edges.
    """

    def __init__(self, gain_db: float, *, sample_rate: int = 48_000, channels: int = 1) -> None:
        super().__init__(sample_rate, channels, 0)
        if not math.isfinite(gain_db):
            raise ParameterError(f"gain_db is {gain_db}; it must be finite")
        self._factor = np.float32(10.0 ** (gain_db / 20.0))

    def _process(self, frames: Frames, out: Frames) -> None:
        np.multiply(frames, self._factor, out=out)

    def _reset(self) -> None:
        pass


class Delay(StreamProcessor):
    """Holds the signal back.

    Parameters
    ----------
    delay : int
        Samples to hold it back by.
    sample_rate, channels : int, optional
        Format at its edges.
    """

    def __init__(self, delay: int, *, sample_rate: int = 48_000, channels: int = 1) -> None:
        super().__init__(sample_rate, channels, delay)
        self._line = DelayLine(delay, channels)

    def _process(self, frames: Frames, out: Frames) -> None:
        self._line.process(frames, out)

    def _reset(self) -> None:
        self._line.reset()


class Bypass(Delay):
    """Passes the signal through as it is.

    Parameters
    ----------
    sample_rate, channels : int, optional
        Format at its edges.
    """

    def __init__(self, *, sample_rate: int = 48_000, channels: int = 1) -> None:
        super().__init__(0, sample_rate=sample_rate, channels=channels)


class DryPath:
    """The delay-matched input beside a processed signal, and the cross-fade from one to the other.

    Parameters
    ----------
    delay, channels : int
        Of the processor.
    sample_rate : int
        Hertz.
    longest : int
        Longest block.
    """

    def __init__(self, delay: int, channels: int, sample_rate: int, longest: int) -> None:
        self._line = DelayLine(delay, channels, longest)
        self._scratch = np.zeros((longest, channels), np.float32)
        self._step = 1.0 / (FADE_S * sample_rate)
        self._dry: Frames | None = None
        self._mix = self._target = 0.0

    def take(self, frames: Frames, wanted: bool) -> None:
        """Take the input of a block, and whether it is to be heard instead of what becomes of it."""
        self._target = float(wanted)
        if self._mix == self._target == 0.0:
            self._line.skip(frames)
            self._dry = None
        else:
            self._dry = self._scratch[: len(frames)]
            self._line.process(frames, self._dry)

    def blend(self, out: Frames) -> None:
        """Turn the processed block of the input just taken into what is to be heard."""
        dry = self._dry
        if dry is None or not len(out):
            return
        if self._mix == self._target:
            out[:] = dry
            return
        sign = 1.0 if self._target > self._mix else -1.0
        ramp = self._mix + sign * self._step * np.arange(1, len(out) + 1)
        ramp = np.clip(ramp, 0.0, 1.0).astype(np.float32)[:, np.newaxis]
        dry -= out
        dry *= ramp
        out += dry
        self._mix = float(ramp[-1, 0])

    def reset(self, wanted: bool) -> None:
        """Go back to silence, on one side or the other at once."""
        self._line.reset()
        self._mix = float(wanted)


class DelayLine:
    """The bare delay, without the contract's checks: blocks of at most ``longest`` frames.

    Parameters
    ----------
    delay : int
        Samples to hold back.
    channels : int
        Channels.
    longest : int, optional
        Longest block.
    """

    def __init__(self, delay: int, channels: int, longest: int = CHUNK) -> None:
        self._ring = RingBuffer(delay + longest, channels)
        self._silence = np.zeros((delay, channels), np.float32)
        self.reset()

    def process(self, frames: Frames, out: Frames) -> None:
        """Take a block (n, channels) and fill ``out`` with what came ``delay`` samples earlier."""
        self._ring.write(frames)
        self._ring.read(out)

    def skip(self, frames: Frames) -> None:
        """Take a block whose output nobody wants."""
        self._ring.write(frames)
        self._ring.discard(len(frames))

    def reset(self) -> None:
        """Go back to silence."""
        self._ring.clear()
        self._ring.write(self._silence)
