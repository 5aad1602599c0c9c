"""Any block size outside, whole hops inside, at the least possible delay: :class:`Reblocker`.

:class:`ConvertingReblocker` is the same where the hops are to be computed at another sample rate.

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
from rtae.resample import StreamingResampler, shortest_delay
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
    step_delay : int, optional
        Samples by which ``step`` delays the signal.

    Attributes
    ----------
    hop, channels : int
        As given.
    delay : int
        Samples between input and output signal: the pre-fill and ``step_delay``.

    Raises
    ------
    ParameterError
        If hop, channels or block_size are not positive.
    """

    def __init__(
        self,
        hop: int,
        channels: int,
        step: Step,
        *,
        block_size: int | Fraction | None = None,
        step_delay: int = 0,
    ) -> None:
        if channels < 1:
            raise ParameterError(f"channels is {channels}; it must be at least 1")
        self.hop = hop
        self.channels = channels
        prefill = least_prefill(hop, block_size)
        self.delay = prefill + step_delay
        self._step = step
        self._in = np.zeros((hop, channels), np.float32)
        self._out = np.zeros((hop, channels), np.float32)
        self._ready = RingBuffer(prefill + hop, channels)
        self._silence = np.zeros((prefill, channels), np.float32)
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
        self._ready.write(self._silence)


class ConvertingReblocker:
    """A :class:`Reblocker` between two resamplers: the stream has one rate, the hops another.

    The hops are re-blocked at their own rate, and each resampler gives its rounded-up share of samples, so there are
    never too few in the end; the few too many wait in a queue. The second resampler's delay is chosen such that the
    whole is a whole number of samples.

    Parameters
    ----------
    hop, channels, step, step_delay
        As of :class:`Reblocker`, at ``step_rate``.
    sample_rate : int
        Rate of the stream, in hertz.
    step_rate : int
        Rate ``step`` works at, in hertz.
    block_size : int, optional
        Length of every block, in samples of the stream.

    Attributes
    ----------
    delay : int
        Samples between input and output signal, at ``sample_rate``. Exact.

    Raises
    ------
    ParameterError
        If a parameter is not positive.
    """

    def __init__(
        self,
        hop: int,
        channels: int,
        step: Step,
        *,
        sample_rate: int,
        step_rate: int,
        block_size: int | None = None,
        step_delay: int = 0,
    ) -> None:
        share = None if block_size is None else Fraction(block_size * step_rate, sample_rate)
        self._inward = StreamingResampler(sample_rate, step_rate, channels)
        self._hops = Reblocker(hop, channels, step, block_size=share, step_delay=step_delay)
        inner = (self._inward.delay + self._hops.delay) * Fraction(sample_rate, step_rate)
        self.delay = ceil(inner + shortest_delay(step_rate, sample_rate))
        self._outward = StreamingResampler(step_rate, sample_rate, channels, delay=self.delay - inner)
        # n samples in make at most n/r + 1 at the hops' rate, r being the ratio of the rates: r more than n at most.
        self._ready = RingBuffer(ceil(Fraction(sample_rate, step_rate)), channels)

    def process(self, block: Frames, out: Frames) -> None:
        """Take a block of shape (n, channels) and fill ``out`` of the same shape, which may be ``block`` itself.

        Raises
        ------
        ParameterError
            If the block breaks the promise of ``block_size`` so that samples are missing.
        """
        hops = self._inward.process(block)
        self._hops.process(hops, hops)
        fresh = self._outward.process(hops)
        given = self._ready.read(out)
        wanted = len(out) - given
        out[given:] = fresh[:wanted]
        self._ready.write(fresh[wanted:])

    def reset(self) -> None:
        """Go back to the start: resamplers silent, re-blocking fresh."""
        self._inward.reset()
        self._hops.reset()
        self._outward.reset()
        self._ready.clear()


def reblocker(
    hop: int,
    channels: int,
    step: Step,
    *,
    sample_rate: int,
    step_rate: int,
    block_size: int | None = None,
    step_delay: int = 0,
) -> Reblocker | ConvertingReblocker:
    """Return the :class:`ConvertingReblocker` of these parameters, or the plain one where both rates are the same."""
    if sample_rate == step_rate:
        return Reblocker(hop, channels, step, block_size=block_size, step_delay=step_delay)
    return ConvertingReblocker(
        hop,
        channels,
        step,
        sample_rate=sample_rate,
        step_rate=step_rate,
        block_size=block_size,
        step_delay=step_delay,
    )
