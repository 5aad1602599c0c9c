from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import ceil, gcd

import numpy as np
import pytest

from rtae import reblock
from rtae.errors import ParameterError
from rtae.reblock import ConvertingReblocker, Reblocker, least_prefill


def runs_dry(hop: int, prefill: int, totals: Iterable[int]) -> bool:
    """Whether a stream with that pre-fill owes more than it has, at one of the totals received."""
    return any(prefill + hop * (total // hop) < total for total in totals)


@pytest.mark.parametrize("hop", range(1, 33))
def test_one_sample_less_than_the_least_prefill_runs_dry(hop: int) -> None:
    plans: dict[int | Fraction | None, list[int]] = {None: list(range(4 * hop))}
    plans |= {block: [k * block for k in range(4 * hop)] for block in range(1, 70)}
    plans |= {
        Fraction(p, q): [ceil(k * Fraction(p, q)) for k in range(2 * hop * q)] for p in range(1, 40) for q in (2, 3, 7)
    }
    for block, totals in plans.items():
        least = least_prefill(hop, block)
        assert not runs_dry(hop, least, totals), (hop, block)
        assert least == 0 or runs_dry(hop, least - 1, totals), (hop, block)
        if isinstance(block, int):
            assert least == hop - gcd(block, hop)


class Recorder:
    """A step that copies its input and keeps what it saw."""

    def __init__(self) -> None:
        self.hops: list[np.ndarray] = []

    def __call__(self, hop_in: np.ndarray, hop_out: np.ndarray) -> None:
        self.hops.append(hop_in.copy())
        hop_out[:] = hop_in


@pytest.mark.parametrize("block", [1, 3, 8, 12, 16, 24, 31, 100])
@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("in_place", [True, False])
def test_hops_are_the_stream_in_order_and_output_is_it_delayed(block: int, promised: bool, in_place: bool) -> None:
    step = Recorder()
    reblocker = Reblocker(12, 2, step, block_size=block if promised else None)
    signal = np.arange(1.0, 2 * 50 * block + 1, dtype=np.float32).reshape(-1, 2)
    outputs = []
    for start in range(0, len(signal), block):
        piece = signal[start : start + block].copy()
        out = piece if in_place else np.full_like(piece, np.nan)
        reblocker.process(piece, out)
        outputs.append(out.copy())
    output = np.concatenate(outputs)
    assert reblocker.delay == (12 - gcd(12, block) if promised else 11)
    assert len(output) == len(signal) > reblocker.delay
    np.testing.assert_array_equal(output[: reblocker.delay], 0.0)
    np.testing.assert_array_equal(output[reblocker.delay :], signal[: len(signal) - reblocker.delay])
    assert len(step.hops) == len(signal) // 12 > 0
    np.testing.assert_array_equal(np.concatenate(step.hops), signal[: 12 * len(step.hops)])


def test_a_smaller_prefill_makes_the_reblocker_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reblock, "least_prefill", lambda hop, block: least_prefill(hop, block) - 1)
    reblocker = Reblocker(8, 1, Recorder(), block_size=6)
    signal = np.ones((6, 1), np.float32)
    with pytest.raises(ParameterError, match="1 missing"):
        for _ in range(4):
            reblocker.process(signal, np.empty_like(signal))


def test_a_broken_promise_is_told() -> None:
    reblocker = Reblocker(8, 1, Recorder(), block_size=8)
    with pytest.raises(ParameterError, match="promised block_size"):
        reblocker.process(np.ones((5, 1), np.float32), np.empty((5, 1), np.float32))


def test_reset_forgets_what_was_pending() -> None:
    reblocker = Reblocker(8, 1, Recorder())
    signal = np.arange(1.0, 45.0, dtype=np.float32).reshape(-1, 1)
    first, second = np.empty_like(signal), np.empty_like(signal)
    reblocker.process(signal, first)
    reblocker.reset()
    reblocker.process(signal, second)
    assert first.any()
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("hop", "channels", "block"), [(0, 1, None), (8, 0, None), (8, 1, 0), (8, 1, Fraction(-1, 2))])
def test_impossible_parameters_are_refused(hop: int, channels: int, block: int | Fraction | None) -> None:
    with pytest.raises(ParameterError):
        Reblocker(hop, channels, Recorder(), block_size=block)


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 16_000, 44_100, 44_101, 96_000, 192_000])
@pytest.mark.parametrize("block", [None, 1, 160, 333])
def test_converted_streams_never_run_dry_nor_pile_up(sample_rate: int, block: int | None) -> None:
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)
    random = np.random.default_rng(seed)
    step = Recorder()
    stream = ConvertingReblocker(192, 1, step, sample_rate=sample_rate, step_rate=48_000, block_size=block)
    given = 0
    while given < sample_rate // 20:
        signal = random.standard_normal((block or int(random.integers(1, 700)), 1)).astype(np.float32)
        out = np.full_like(signal, np.nan)
        stream.process(signal, out)
        assert np.isfinite(out).all()
        given += len(signal)
    # What the queue may hold beyond what was due is less than the least the hops' rate can resolve.
    assert stream._ready.fill <= stream._ready.capacity == ceil(sample_rate / 48_000)
    assert len(step.hops) == ceil(Fraction(given * 48_000, sample_rate)) // 192
    assert isinstance(stream.delay, int)
