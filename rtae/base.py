"""The part of the streaming contract that is the same for every processor: :class:`StreamProcessor`."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtae.errors import ParameterError, StreamStateError

Frames = NDArray[np.float32]

CHUNK = 1024
"""Frames of a long block worked on at once, so that a whole file needs no more memory than a block."""


class StreamProcessor(ABC):
    """Checks of shapes and types, chunks of long blocks, end of stream, one thread at a time.

    A subclass implements ``_process`` for blocks of at most ``_chunk`` frames, and ``_reset``.

    Parameters
    ----------
    sample_rate : int
        Hertz at its edges.
    channels : int
        Channels at its edges.
    delay : int
        Samples between input and output signal.
    block_size : int, optional
        Length every block is promised to be a multiple of; others are refused then.

    Raises
    ------
    ParameterError
        If one of them is out of range.
    """

    def __init__(self, sample_rate: int, channels: int, delay: int, *, block_size: int | None = None) -> None:
        self._sample_rate = check_integer("sample_rate", sample_rate, 1)
        self._channels = check_integer("channels", channels, 1)
        self._delay = check_integer("delay", delay, 0)
        self._block_size = block_size
        self._chunk = CHUNK if block_size is None else max(1, CHUNK // block_size) * block_size
        self._ended = False
        self._busy = threading.Lock()

    @property
    def sample_rate(self) -> int:
        """Hertz at its edges."""
        return self._sample_rate

    @property
    def channels(self) -> int:
        """Channels at its edges."""
        return self._channels

    @property
    def delay(self) -> int:
        """Samples between input and output signal, at ``sample_rate``."""
        return self._delay

    @property
    def block_size(self) -> int | None:
        """Length every block was promised to be a multiple of; None if any may come."""
        return self._block_size

    def process(self, block: ArrayLike, out: Frames | None = None) -> Frames:
        """Process the next block of the stream.

        Parameters
        ----------
        block : array_like, shape (n, channels)
            Samples as float32, or as another float type, which is converted. One channel may also come as (n,).
        out : ndarray, optional
            Float32 array of the block's shape to write the result to; may be the block itself.

        Returns
        -------
        ndarray
            ``out`` or a new float32 array of the block's shape.

        Raises
        ------
        ParameterError
            If the shape or the type does not fit.
        StreamStateError
            If the stream is at its end, or another thread is inside.
        """
        frames, shape = as_frames(block, self._channels)
        if out is None:
            out = np.empty(shape, np.float32)
        else:
            _check_out(out, shape)
        self._enter("process")
        try:
            self._run(frames, out[:, np.newaxis] if out.ndim == 1 else out)
        finally:
            self._busy.release()
        return out

    def flush(self) -> Frames:
        """End the stream and return its last ``delay`` frames, of shape (delay, channels).

        Raises
        ------
        StreamStateError
            If the stream is at its end already, or another thread is inside.
        """
        self._enter("flush")
        try:
            tail = np.zeros((self._padded(self._delay), self._channels), np.float32)
            self._run(tail, tail)
            self._ended = True
        finally:
            self._busy.release()
        return tail[: self._delay]

    def reset(self) -> None:
        """Go back to the fresh state; parameters stay as they are.

        Raises
        ------
        StreamStateError
            If another thread is inside.
        """
        self._claim("reset")
        try:
            self._reset()
            self._ended = False
        finally:
            self._busy.release()

    @abstractmethod
    def _process(self, frames: Frames, out: Frames) -> None:
        """Process at most ``chunk`` frames (n, channels); ``out`` may be ``frames``."""

    @abstractmethod
    def _reset(self) -> None:
        """Go back to the fresh state."""

    def _padded(self, count: int) -> int:
        """Return the least number of frames, not below count, that the processor can take."""
        block_size = self._block_size or 1
        return -(-count // block_size) * block_size

    def _run(self, frames: Frames, out: Frames) -> None:
        if len(frames) % (self._block_size or 1):
            raise ParameterError(
                f"block of {len(frames)} frames breaks the promised block_size of {self._block_size}; "
                "leave block_size out for blocks of any length"
            )
        for start in range(0, len(frames), self._chunk):
            stop = start + self._chunk
            self._process(frames[start:stop], out[start:stop])

    def _enter(self, call: str) -> None:
        self._claim(call)
        if self._ended:
            self._busy.release()
            raise StreamStateError(f"{call}() after flush(): the stream is at its end; call reset() to start another")

    def _claim(self, call: str) -> None:
        if not self._busy.acquire(blocking=False):
            raise StreamStateError(
                f"{call}() while another thread is inside; one processor serves one thread at a time"
            )


def as_frames(block: ArrayLike, channels: int) -> tuple[Frames, tuple[int, ...]]:
    """Return a block as float32 of shape (n, channels), and the shape it came in: (n,) if it was one channel bare.

    Raises
    ------
    ParameterError
        If it is no array of floats, or of another shape.
    """
    try:
        array = np.asarray(block)
    except ValueError as error:
        raise ParameterError(f"block is not an array of numbers ({error})") from None
    if array.dtype != np.float32:
        if array.dtype.kind != "f":
            raise ParameterError(
                f"audio must be float in -1..1, got {array.dtype}; divide integers by their full scale first"
            )
        # What float32 cannot hold becomes infinite, and is dealt with as such.
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    shape = array.shape
    if array.ndim == 1 and channels == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[1] != channels:
        raise ParameterError(f"block must have shape (n, {channels}), got {array.shape}")
    return array, shape


def _check_out(out: object, shape: tuple[int, ...]) -> None:
    if isinstance(out, np.ndarray):
        if out.shape == shape and out.dtype == np.float32 and out.flags.writeable:
            return
        found = f"{out.dtype} {out.shape}{'' if out.flags.writeable else ', read-only'}"
    else:
        found = type(out).__name__
    raise ParameterError(f"out must be a writable float32 array of the block's shape {shape}, got {found}")


def check_integer(name: str, value: object, least: int, most: int | None = None) -> int:
    """Return ``value`` as an int if it is one and in range.

    Raises
    ------
    ParameterError
        Otherwise, naming the parameter.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        number = int(value)
        if number >= least and (most is None or number <= most):
            return number
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise ParameterError(f"{name} is {value!r}; it must be an integer {bounds}")
