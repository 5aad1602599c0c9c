"""Audio by absolute block number: the ring between an audio callback and a worker.

A plain first-in-first-out ring shifts everything behind a loss. Here block `n` has its place, `n % slots`, and a tag
that says which block the place holds; a block that was never made or came too late is simply not there, and nothing
else moves. That is why latency cannot creep.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rtae.live.backend import Audio

_NOTHING = np.iinfo(np.int64).min
"""Tag of a slot that never held a block; a waived block `n` has the tag ``~n``."""


class TaggedRing:
    """Blocks of audio in slots, each tagged with its number. One writer, any number of readers, no lock.

    Parameters
    ----------
    slots, block, channels : int
        Blocks kept, samples in a block, channels.
    buffer : writable buffer, optional
        Memory of at least :meth:`size` bytes, such as a shared-memory block, whose contents are taken as they are;
        new and cleared memory if left out.
    """

    def __init__(self, slots: int, block: int, channels: int, buffer: bytearray | memoryview | None = None) -> None:
        new = buffer is None
        if buffer is None:
            buffer = bytearray(self.size(slots, block, channels))
        self.slots = slots
        self.block = block
        self._tags: npt.NDArray[np.int64] = np.frombuffer(buffer, np.int64, slots)
        self._samples: Audio = np.frombuffer(buffer, np.float32, slots * block * channels, 8 * slots).reshape(
            -1, channels
        )
        self._blocks = self._samples.reshape(slots, block, channels)
        if new:
            self.clear()

    @staticmethod
    def size(slots: int, block: int, channels: int) -> int:
        """Bytes of memory a ring needs, a multiple of 8."""
        return 8 * (slots + (slots * block * channels + 1) // 2)

    def clear(self) -> None:
        """Empty every slot and silence it."""
        self._tags[:] = _NOTHING
        self._samples[:] = 0.0

    def slot(self, number: int) -> Audio:
        """Return the place of block `number`, shape ``(block, channels)``, whatever it holds now."""
        place: Audio = self._blocks[number % self.slots]
        return place

    def publish(self, number: int) -> None:
        """Declare that the slot of block `number` now holds it."""
        self._tags[number % self.slots] = number

    def waive(self, number: int) -> None:
        """Declare that block `number` will not come, on purpose."""
        self._tags[number % self.slots] = ~number

    def waived(self, number: int) -> bool:
        """Whether block `number` was waived."""
        return bool(self._tags[number % self.slots] == ~number)

    def holds(self, number: int) -> bool:
        """Whether block `number` is there."""
        return bool(self._tags[number % self.slots] == number)

    def copy_span(self, start: int, out: Audio) -> None:
        """Copy samples ``[start, start + len(out))``, counted from the start of the stream, whatever the tags say.

        Samples before the stream's start are the zeros that :meth:`clear` left.
        """
        total = self.slots * self.block
        place = start % total
        head = min(len(out), total - place)
        out[:head] = self._samples[place : place + head]
        if head < len(out):
            out[head:] = self._samples[: len(out) - head]
