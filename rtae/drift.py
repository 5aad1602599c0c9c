"""Two devices, two clocks: a bridge that carries audio from the input's clock to the output's.

The ratio of the clocks is not known and wanders, so the samples are interpolated at a ratio that a slow control loop
keeps such that the store between the two neither fills nor empties.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rtae.ring import RingBuffer

Audio = npt.NDArray[np.float32]

TAPS = 32
"""Length of the interpolation filter; half of it is its delay."""

PHASES = 512
"""Stored phases of the filter; between two the taps are interpolated linearly."""

KAISER_BETA = 9.0

PASSBAND = 0.85
"""End of the passband over half the lower of the two rates."""

LIMIT_PPM = 1_000.0
"""No two working sound devices are further apart."""

SETTLE_S = 4.0
"""Time constant of the control loop, in seconds: a step of 200 ppm moves the store by 0.3 ms meanwhile."""

SMOOTH_S = 0.4
"""Time constant of the low-pass on the fill, in seconds: callbacks come with jitter."""

MARGIN_S = 0.002
"""Store held beyond what the blocks of both sides need, in seconds: threads are that punctual on a quiet machine."""


class Interpolator:
    """Streaming interpolation at any ratio that may change with every call.

    A Kaiser-windowed sinc in polyphase form, linearly interpolated between phases (J. O. Smith, "Digital Audio
    Resampling", the method of a stored filter).

    Parameters
    ----------
    channels : int
        Channels.
    ratio : float
        Input rate over output rate the filter is designed for.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        half = TAPS / 2
        cutoff = PASSBAND / max(1.0, ratio)
        # The position of tap k relative to the wanted point, for each phase; one more phase closes the last interval.
        phase = np.arange(PHASES + 1)[:, None] / PHASES
        at = np.arange(TAPS)[None, :] - (half - 1) - phase
        window = np.i0(KAISER_BETA * np.sqrt(np.clip(1.0 - (at / half) ** 2, 0.0, None))) / np.i0(KAISER_BETA)
        table = cutoff * np.sinc(cutoff * at) * window
        table /= table.sum(axis=1, keepdims=True)
        self._table: npt.NDArray[np.float32] = table.astype(np.float32)
        self._step: npt.NDArray[np.float32] = np.diff(table, axis=0).astype(np.float32)
        self._held: Audio = np.zeros((TAPS - 1, channels), np.float32)
        self._place = 0.0

    def process(self, frames: Audio, ratio: float) -> Audio:
        """Take input of shape (n, channels) and return what of the output is complete, about ``n / ratio`` frames."""
        held = np.concatenate([self._held, frames])
        room = len(held) - TAPS + 1
        count = max(0, math.ceil((room - self._place) / ratio))
        places = self._place + ratio * np.arange(count)
        whole = places.astype(np.int64)
        phase = (places - whole) * PHASES
        lower = phase.astype(np.int64)
        share = (phase - lower).astype(np.float32)[:, None]
        taps = self._table[lower] + share * self._step[lower]
        spans = held[whole[:, None] + np.arange(TAPS)]
        out: Audio = np.einsum("nt,ntc->nc", taps, spans)
        following = self._place + ratio * count
        drop = min(int(following), room)
        self._held = held[drop:]
        self._place = following - drop
        return out


class RateLoop:
    """Follows the fill of a store with a correction of the rate.

    A proportional-integral controller, critically damped, on the low-passed fill. The fill it sees first is the one it
    holds, so that it begins without a jump in pitch.

    Parameters
    ----------
    sample_rate : float
        Rate of the store's frames, in hertz.
    """

    def __init__(self, sample_rate: float) -> None:
        self._rate = sample_rate
        self.correction = 0.0
        self.integral = 0.0
        self._target = self._fill = math.nan

    def hold(self) -> None:
        """Hold whatever fill comes next; what was learned about the clocks stays."""
        self._target = math.nan

    def update(self, fill: float, seconds: float) -> None:
        """Take the fill, in frames, `seconds` after the last time."""
        if math.isnan(self._target):
            self._target = self._fill = fill
        self._fill += min(1.0, seconds / SMOOTH_S) * (fill - self._fill)
        # The store integrates the correction. With the error in seconds, 2 / settle and 1 / settle^2 put both poles of
        # the loop at -1 / settle.
        error = (self._fill - self._target) / self._rate
        limit = 1e-6 * LIMIT_PPM
        self.integral = min(max(self.integral + error * seconds / SETTLE_S**2, -limit), limit)
        self.correction = min(max(self.integral + 2.0 * error / SETTLE_S, -limit), limit)


class ClockBridge:
    """A store with an interpolator before it: :meth:`push` on the input's clock, :meth:`pull` on the output's.

    ``push`` and ``pull`` only move samples and may run in audio callbacks; :meth:`pump` does the work and belongs into
    a thread between the two.

    Times are in seconds, of any clock that both sides read.

    Parameters
    ----------
    channels : int
        Channels.
    input_rate, output_rate : int
        Nominal rates, in hertz.
    input_block, output_block : int
        Frames a push, frames a pull.
    margin_s : float, optional
        Store held beyond what the blocks of both sides need, in seconds.

    Attributes
    ----------
    underflows, overflows : int
        Pulls that found too little, pushes that found no room.
    """

    def __init__(
        self,
        channels: int,
        input_rate: int,
        output_rate: int,
        input_block: int,
        output_block: int,
        *,
        margin_s: float = MARGIN_S,
    ) -> None:
        self._nominal = input_rate / output_rate
        self._output_rate = output_rate
        arriving = math.ceil(input_block / self._nominal)
        # Both sides move in blocks: the store swings by one of each, and must not run dry at the bottom.
        self._target = arriving + output_block + math.ceil(margin_s * output_rate)
        self.latency = round(TAPS / 2 / self._nominal) + self._target - arriving // 2
        self._raw = RingBuffer(16 * input_block, channels)
        self._ready = RingBuffer(8 * self._target, channels)
        self._interpolator = Interpolator(channels, self._nominal)
        self._loop = RateLoop(output_rate)
        self._scratch: Audio = np.zeros((input_block, channels), np.float32)
        self._filled = False
        self._pushed_s = self._pulled_s = 0.0
        self.underflows = self.overflows = 0

    @property
    def ppm(self) -> float:
        """Difference of the clocks as learned so far, in parts per million: positive when the input runs fast."""
        return 1e6 * self._loop.integral

    def push(self, block: Audio, now_s: float) -> None:
        """Hand in one input block."""
        self._pushed_s = now_s
        if self._raw.write(block) < len(block):
            self.overflows += 1

    def pump(self) -> None:
        """Carry everything handed in over to the output's clock."""
        count = self._raw.read(self._scratch)
        while count:
            ratio = self._nominal * (1.0 + self._loop.correction)
            made = self._interpolator.process(self._scratch[:count], ratio)
            if self._ready.write(made) < len(made):
                self.overflows += 1
            if self._filled:
                # Both sides jump by a block; what they would hold if they moved evenly shows no beat of the two.
                even = self._ready.fill + (self._pulled_s - self._pushed_s) * self._output_rate
                self._loop.update(even, count / self._nominal / self._output_rate)
            count = self._raw.read(self._scratch)

    def pull(self, out: Audio, now_s: float) -> bool:
        """Fill `out`; return False, with silence in it, while the store is too empty."""
        self._pulled_s = now_s
        if not self._filled and self._ready.fill >= self._target:
            # Begin at the target: what piled up before the output ran would be latency for ever.
            self._ready.discard(self._ready.fill - self._target)
            self._loop.hold()
            self._filled = True
        if self._filled and self._ready.fill < len(out):
            self.underflows += 1
            self._filled = False
        if not self._filled:
            out.fill(0.0)
            return False
        self._ready.read(out)
        return True
