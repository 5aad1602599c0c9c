"""Any block size outside, whole hops inside, at the least possible delay: :class:`Reblocker`.

A hop can only be computed when its last sample is in, so output must be held back by a pre-fill of silence. Let a
stream arrive in blocks and let ``t`` be the samples received at the end of a block. By then ``hop * (t // hop)``
samples were computed and ``t`` are due: the pre-fill must cover the largest ``t % hop`` that occurs. Over all ``t``
that is ``hop - 1``; over the multiples of a fixed block it is ``hop - gcd(block, hop)``.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from rtae.errors import ParameterError
from rtae.ring import RingBuffer

Frames = NDArray[np.float32]
Step = Callable[[Frames, Frames], None]


def least_prefill(hop: int, block_size: int | Fraction | None = None) -> int:
    """Return the samples of silence a re-blocked stream must start with so that it never runs dry.

    Parameters
    ----------
    hop : int
        Samples computed at once.
    block_size : int or Fraction, optional
        Length of every block. A fraction stands for blocks that come out of a resampler, of which the first
        ``k`` together have ``ceil(k * block_size)`` samples. None: blocks of any length.

    Raises
    ------
    ParameterError
        If hop is below 1 or block_size is not positive.
    """
    if hop < 1:
        raise ParameterError(f"hop is {hop}; it must be at least 1")
    if block_size is None:
        return hop - 1
    if block_size <= 0:
        raise ParameterError(f"block_size is {block_size}; it must be positive, or None for blocks of any length")
    # With block_size p/q, the fill k*p/q modulo hop takes every multiple of g/q below hop. The largest that still
    # counts as an incomplete hop after rounding up is the one looked for.
    block = Fraction(block_size)
    step = Fraction(gcd(block.numerator, block.denominator * hop), block.denominator)
    return ceil((hop - 1) // step * step)


class Reblocker:
    """Feeds a stream of blocks to a function that works on whole hops.

    Parameters
    ----------
    hop : int
        Samples ``step`` works on at once.
    channels : int
        Channels of the stream.
    step : callable
        ``step(hop_in, hop_out)`` reads ``hop_in`` (hop, channels) and fills ``hop_out`` of the same shape. It must
        not keep either.
    block_size : int or Fraction, optional
        Length of every block, see :func:`least_prefill`.

    Attributes
    ----------
    hop, channels : int
        As given.
    delay : int
        The pre-fill: samples by which re-blocking delays the stream.

    Raises
    ------
    ParameterError
        If hop, channels or block_size are not positive.
    """

    def __init__(self, hop: int, channels: int, step: Step, *, block_size: int | Fraction | None = None) -> None:
        if channels < 1:
            raise ParameterError(f"channels is {channels}; it must be at least 1")
        self.hop = hop
        self.channels = channels
        self.delay = least_prefill(hop, block_size)
        self._step = step
        self._in = np.zeros((hop, channels), np.float32)
        self._out = np.zeros((hop, channels), np.float32)
        self._ready = RingBuffer(self.delay + hop, channels)
        self._pending = 0
        self.reset()

    def process(self, block: Frames, out: Frames) -> None:
        """Take a block of shape (n, channels) and fill ``out`` of the same shape, which may be ``block`` itself.

        Raises
        ------
        ParameterError
            If the block breaks the promise of ``block_size`` so that samples are missing.
        """
        taken = given = 0
        while taken < len(block):
            count = min(len(block) - taken, self.hop - self._pending)
            if count == self.hop and given == taken and not self._ready.fill:
                self._step(block[taken : taken + count], out[given : given + count])
                taken = given = taken + count
                continue
            self._in[self._pending : self._pending + count] = block[taken : taken + count]
            self._pending += count
            taken += count
            if self._pending == self.hop:
                self._step(self._in, self._out)
                self._ready.write(self._out)
                self._pending = 0
            # Never ahead of what was read: the caller may hand over one array as block and out.
            given += self._ready.read(out[given:taken])
        if given < taken:
            raise ParameterError(
                f"a block of {len(block)} samples breaks the promised block_size: {taken - given} missing"
            )

    def reset(self) -> None:
        """Go back to the start: nothing pending, the pre-fill ready."""
        self._pending = 0
        self._ready.clear()
        self._out[:] = 0.0
        self._ready.write(np.zeros((self.delay, self.channels), np.float32))
