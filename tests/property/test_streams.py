"""Whatever the blocks, rates and samples: what must always hold of the streaming parts."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from math import ceil, gcd

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rtae import Denoiser
from rtae.denoise import RATE_RANGE_HZ
from rtae.reblock import ConvertingReblocker, Reblocker, least_prefill
from rtae.resample import StreamingResampler, shortest_delay
from rtae.ring import RingBuffer
from tests.models import Build
from tests.streaming.contract import band_noise, error_db, stream

often = settings(max_examples=60, deadline=None, print_blob=True)

sizes = st.lists(st.integers(0, 700), min_size=1, max_size=20).filter(any)
rates = st.integers(*RATE_RANGE_HZ)


class RingLikeADeque(RuleBasedStateMachine):
    """A ring is a queue of bounded length, in whatever order it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = bytearray(RingBuffer.nbytes(23, 2))
        self.ring = RingBuffer(23, 2, buffer=self.memory)
        self.queue: deque[float] = deque()
        self.written = 0

    @rule(count=st.integers(0, 40))
    def write(self, count: int) -> None:
        block = np.arange(self.written, self.written + count, dtype=np.float32)
        moved = self.ring.write(np.stack([block, -block], axis=1))
        assert moved == min(count, 23 - len(self.queue))
        self.queue.extend(block[:moved])
        self.written += moved

    @rule(count=st.integers(0, 40))
    def read(self, count: int) -> None:
        out = np.full((count, 2), np.nan, np.float32)
        moved = self.ring.read(out)
        assert moved == min(count, len(self.queue))
        expected = np.array([self.queue.popleft() for _ in range(moved)])
        np.testing.assert_array_equal(out[:moved].T, [expected, -expected] if moved else np.empty((2, 0)))
        assert np.isnan(out[moved:]).all()

    @rule(count=st.integers(0, 40))
    def discard(self, count: int) -> None:
        moved = self.ring.discard(count)
        assert moved == min(count, len(self.queue))
        for _ in range(moved):
            self.queue.popleft()

    @rule()
    def join_the_memory_anew(self) -> None:
        self.ring = RingBuffer(23, 2, buffer=self.memory)

    @invariant()
    def counts_agree(self) -> None:
        assert self.ring.fill == len(self.queue) == 23 - self.ring.free
        assert self.ring.frames_written == self.written == self.ring.frames_read + len(self.queue)


TestRingLikeADeque = RingLikeADeque.TestCase
TestRingLikeADeque.settings = often


def copy(hop_in: np.ndarray, hop_out: np.ndarray) -> None:
    hop_out[:] = hop_in


@often
@given(hop=st.integers(1, 400), plan=sizes, channels=st.integers(1, 3))
def test_re_blocking_is_a_delay_for_any_blocks(hop: int, plan: list[int], channels: int) -> None:
    signal = np.random.default_rng(hop).standard_normal((sum(plan), channels)).astype(np.float32)
    reblocker = Reblocker(hop, channels, copy)
    output, start = np.full_like(signal, np.nan), 0
    for size in plan:
        reblocker.process(signal[start : start + size], output[start : start + size])
        start += size
    padded = np.concatenate([np.zeros((hop - 1, channels), np.float32), signal])
    np.testing.assert_array_equal(output, padded[: len(signal)])


@often
@given(hop=st.integers(1, 2_000), block=st.integers(1, 10_000))
def test_a_promised_block_needs_the_least_prefill(hop: int, block: int) -> None:
    assert least_prefill(hop, block) == hop - gcd(hop, block) <= least_prefill(hop)


@often
@given(hop=st.integers(1, 300), block=st.fractions(Fraction(1, 20), 500, max_denominator=200))
def test_the_prefill_of_resampled_blocks_is_enough_and_no_more(hop: int, block: Fraction) -> None:
    pending = {ceil(k * block) % hop for k in range(1, hop * block.denominator + 1)}
    assert least_prefill(hop, block) == max(pending)


@often
@given(rate_in=rates, rate_out=rates, plan=sizes)
def test_a_resampler_gives_its_rounded_up_share(rate_in: int, rate_out: int, plan: list[int]) -> None:
    resampler = StreamingResampler(rate_in, rate_out)
    taken = given_out = 0
    for size in plan:
        given_out += len(resampler.process(np.zeros((size, 1), np.float32)))
        taken += size
        assert given_out == ceil(Fraction(taken * rate_out, rate_in))
    assert shortest_delay(rate_in, rate_out) <= resampler.delay < shortest_delay(rate_in, rate_out) + 1


@often
@given(outer=rates, inner=rates, hop=st.integers(1, 1_000), plan=sizes, promised=st.booleans())
def test_hops_at_another_rate_never_leave_a_block_short(
    outer: int, inner: int, hop: int, plan: list[int], promised: bool
) -> None:
    block = max(plan) if promised else None
    converting = ConvertingReblocker(hop, 1, copy, sample_rate=outer, step_rate=inner, block_size=block)
    for size in plan:
        signal = np.zeros((block or size, 1), np.float32)
        out = np.full_like(signal, np.nan)
        converting.process(signal, out)
        assert not np.isnan(out).any()


@often
@given(
    rate=st.sampled_from([8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000]) | rates,
    plan=sizes,
    channels=st.integers(1, 3),
    linked=st.booleans(),
)
def test_a_stream_is_the_whole_recording(build: Build, rate: int, plan: list[int], channels: int, linked: bool) -> None:
    def make() -> Denoiser:
        return Denoiser(build("compressor", hop=192), sample_rate=rate, channels=channels, linked=linked)

    signal = band_noise(rate, rate // 20, channels)
    whole, streamed = stream(make(), signal, [len(signal)]), stream(make(), signal, plan)
    assert error_db(streamed, whole) < (-120 if rate == 48_000 else -90)


# By their bits: with denormals off, hypothesis refuses to draw floats.
any_bits = st.integers(0, 2**32 - 1) | st.sampled_from([0x7F800000, 0xFF800000, 0x7FC00000, 0x7F7FFFFF, 1, 0x80000001])


@often
@given(rate=st.sampled_from([16_000, 48_000]), bits=st.lists(any_bits, min_size=1, max_size=64))
def test_no_input_whatever_leaves_a_trace(build: Build, rate: int, bits: list[int]) -> None:
    denoiser = Denoiser(build("compressor"), sample_rate=rate)
    output = denoiser.process(np.array(bits, np.uint32).view(np.float32))
    assert np.isfinite(output).all()
    denoiser.process(np.zeros(rate, np.float32))
    after = denoiser.process(band_noise(rate, 1_000))
    fresh = Denoiser(build("compressor"), sample_rate=rate)
    fresh.process(np.zeros(rate + len(bits), np.float32))
    # The level the compressor follows falls by 0.8 a hop: in one second to nothing.
    assert error_db(after, fresh.process(band_noise(rate, 1_000))) < -90
