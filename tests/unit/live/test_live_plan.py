"""Choosing block size and headroom."""

from __future__ import annotations

import pytest

from rtae.errors import ParameterError
from rtae.live import FakeBackend, LiveStream
from rtae.live.config import StreamConfig
from rtae.live.plan import choose_block, headroom_blocks
from rtae.live.portaudio import usual_burst
from rtae.processor import Delay

PERIOD = 128 / 48_000


@pytest.mark.parametrize(
    "hop, rate, latency, block",
    [
        (128, 48_000, "low", 128),
        (192, 48_000, "low", 96),
        (192, 48_000, "safe", 256),
        (480, 48_000, "low", 96),
        (256, 16_000, "low", 32),
        (1, 48_000, "low", 128),
    ],
)
def test_the_block_is_the_cheapest_that_is_long_enough(hop, rate, latency, block):
    assert choose_block(hop, rate, latency) == block


def test_headroom_follows_the_target_and_the_burst():
    assert headroom_blocks(128, 48_000, "low", 0, 1) == 1
    assert headroom_blocks(128, 48_000, "low", 0, 4) == 4
    assert headroom_blocks(128, 48_000, "safe", 0, 1) == 4
    assert headroom_blocks(128, 48_000, "safe", 0, 6) == 7
    assert headroom_blocks(1024, 48_000, "safe", 0, 1) == 2
    assert headroom_blocks(128, 48_000, 20.0, 448, 4) == 4
    with pytest.raises(ParameterError, match=r"a total latency of 19 ms is out of reach here: .* is 20 ms"):
        headroom_blocks(128, 48_000, 19.0, 448, 4)


@pytest.mark.parametrize("latency", ["fast", 0, -1.0, float("nan"), float("inf")])
def test_a_foreign_target_is_refused(latency):
    with pytest.raises(ParameterError, match="give 'low', 'safe' or milliseconds above 0"):
        LiveStream(Delay(0), backend=FakeBackend(), latency=latency)


def test_a_stream_gives_the_worker_the_burst_its_backend_declares():
    stream = LiveStream(Delay(0), backend=FakeBackend(burst=3), block_size=64)
    assert stream.latency.headroom == 192


def calls(pattern):
    """Times of callbacks that come in groups: `pattern` blocks at once, then a pause of as many periods."""
    now, times = 0.0, []
    for size in pattern:
        times += [now + 20e-6 * index for index in range(size)]
        now += size * PERIOD
    return times


@pytest.mark.parametrize(
    "pattern, burst",
    [
        ([1] * 50, 1),
        ([2] * 25, 2),
        ([4, 4, 4, 3] * 10, 4),
        ([1] * 150 + [10] + [1] * 50, 1),  # one hiccup of the machine
        ([1] * 50 + [70] + [1] * 20, 1),  # a stall
        ([], 1),
        ([3], 1),
    ],
)
def test_bursts_are_told_from_stalls(pattern, burst):
    assert usual_burst(calls(pattern), PERIOD) == burst


@pytest.mark.parametrize("name", ["sample_rate", "channels"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_rate_and_channels_are_at_least_one(name, value):
    with pytest.raises(ParameterError, match=f"{name} is {value}; give at least 1"):
        StreamConfig("denoise", **{name: value})
