"""A ring of audio frames between one producer and one consumer, without a lock: :class:`RingBuffer`.

The scheme is Lamport's (1977): two counters that only grow, each written by one side. The producer publishes the
frames before it moves its counter, the consumer copies them out before it moves the other, so neither side ever
waits, and neither can see a frame that is half there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtae.errors import ParameterError

_LINE = 128
"""Bytes between the two counters: two cache lines, which one core may fetch as a pair."""

_HEADER = 2 * _LINE

Frames = NDArray[np.float32]


class RingBuffer:
    """Single-producer, single-consumer ring of float32 frames.

    One thread (or process) may call :meth:`write` while another calls :meth:`read` or :meth:`discard`; every other
    pairing needs a lock of the caller's. Neither call allocates, blocks or raises because of the fill: they move what
    fits and say how much that was.

    Parameters
    ----------
    capacity : int
        Frames the ring can hold.
    channels : int, optional
        Samples in a frame.
    buffer : writable buffer, optional
        Memory to live in, at least :meth:`nbytes` long and aligned to 8 bytes, such as ``SharedMemory.buf``. Zeroed
        memory is an empty ring; memory in which a ring of the same shape lives is joined, not cleared. The counters
        are single 8-byte stores; between *processes* the ring relies on the processor keeping stores in order,
        as x86-64 does (between threads the interpreter sees to that everywhere).

    Attributes
    ----------
    capacity, channels : int
        As given.

    Raises
    ------
    ParameterError
        If capacity or channels are not positive, or the buffer is too small, read-only or misaligned.
    """

    def __init__(self, capacity: int, channels: int = 1, *, buffer: memoryview | bytearray | None = None) -> None:
        size = self.nbytes(capacity, channels)
        memory = memoryview(bytearray(size) if buffer is None else buffer).cast("B")
        if memory.readonly or len(memory) < size:
            state = "read-only" if memory.readonly else f"{len(memory)} bytes"
            raise ParameterError(f"ring of {capacity} x {channels} needs {size} writable bytes, the buffer is {state}")
        self.capacity = capacity
        self.channels = channels
        self._counters = memory[:_HEADER].cast("q")
        self._frames = np.frombuffer(memory, np.float32, capacity * channels, _HEADER).reshape(capacity, channels)
        if self._frames.ctypes.data % 8:
            raise ParameterError("ring buffer memory is not aligned to 8 bytes; hand over the start of the mapping")

    @staticmethod
    def nbytes(capacity: int, channels: int = 1) -> int:
        """Return the bytes a ring of this shape needs, counters included."""
        if capacity < 1 or channels < 1:
            raise ParameterError(f"ring of {capacity} frames x {channels} channels; both must be at least 1")
        return _HEADER + capacity * channels * np.dtype(np.float32).itemsize

    @property
    def frames_written(self) -> int:
        """Frames the producer has put in since the start; never falls but by :meth:`clear`."""
        return self._counters[0]

    @property
    def frames_read(self) -> int:
        """Frames the consumer has taken out or discarded since the start."""
        return self._counters[_LINE // 8]

    @property
    def fill(self) -> int:
        """Frames ready to read: exact for the consumer, an upper bound for the producer."""
        # The consumer's counter is loaded first: a producer that runs between the two loads can then only make
        # the difference larger, never negative.
        taken = self._counters[_LINE // 8]
        return self._counters[0] - taken

    @property
    def free(self) -> int:
        """Frames that can be written: exact for the producer, an upper bound for the consumer."""
        return self.capacity - self.fill

    def write(self, block: Frames) -> int:
        """Append the first frames of a block of shape (n, channels), as many as fit, and return how many.

        Raises
        ------
        ParameterError
            If the block is not of shape (n, channels).
        """
        self._check(block)
        written = self._counters[0]
        count = min(len(block), self.capacity - written + self._counters[_LINE // 8])
        start = written % self.capacity
        first = min(count, self.capacity - start)
        self._frames[start : start + first] = block[:first]
        if first < count:
            self._frames[: count - first] = block[first:count]
        self._counters[0] = written + count
        return count

    def read(self, out: Frames) -> int:
        """Move the oldest frames to the start of ``out`` (n, channels), as many as there are; return how many.

        Raises
        ------
        ParameterError
            If ``out`` is not of shape (n, channels).
        """
        self._check(out)
        taken = self._counters[_LINE // 8]
        count = min(len(out), self._counters[0] - taken)
        start = taken % self.capacity
        first = min(count, self.capacity - start)
        out[:first] = self._frames[start : start + first]
        if first < count:
            out[first:count] = self._frames[: count - first]
        self._counters[_LINE // 8] = taken + count
        return count

    def discard(self, count: int) -> int:
        """Drop the oldest ``count`` frames, or all if there are fewer; consumer's side. Return how many.

        Raises
        ------
        ParameterError
            If ``count`` is negative.
        """
        if count < 0:
            raise ParameterError(f"cannot discard {count} frames; the count must not be negative")
        taken = self._counters[_LINE // 8]
        count = min(count, self._counters[0] - taken)
        self._counters[_LINE // 8] = taken + count
        return count

    def clear(self) -> None:
        """Empty the ring and set both counters to zero. Neither side may be at work."""
        self._counters[0] = 0
        self._counters[_LINE // 8] = 0

    def _check(self, block: Frames) -> None:
        if block.ndim != 2 or block.shape[1] != self.channels:
            raise ParameterError(f"ring moves blocks of shape (n, {self.channels}), got {block.shape}")
