"""The file-driven clock."""

from __future__ import annotations

import numpy as np
import pytest
from live_doubles import Gated

from rtae.errors import ParameterError
from rtae.live import FileBackend, LiveStream
from rtae.processor import Delay


def noise(samples, channels=1):
    print("seed 2")
    return np.random.default_rng(2).uniform(-0.5, 0.5, (samples, channels)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_fast_clock_waits_for_the_worker_and_plays_the_tail(channels):
    audio = noise(5_003, channels)
    clock = FileBackend(audio, 44_100, realtime=False)
    with LiveStream(Gated(delay=77, channels=channels, sample_rate=44_100), backend=clock, block_size=64) as stream:
        assert stream.wait(30.0)
        stats = stream.stats
        latency = stream.latency.engine
    assert latency == 77 + 64
    assert len(clock.output) == -(-(5_003 + latency) // 64) * 64
    np.testing.assert_array_equal(clock.output[latency : latency + 5_003], audio)
    assert stats.late == stats.xruns == 0
    assert stats.blocks == len(clock.output) // 64
    assert [event.kind for event in stream.events()] == ["ended"]


def test_pieces_of_any_length_make_the_same_stream():
    audio = noise(3_000)
    cuts = [0, 1, 64, 64, 700, 701, 2_999]
    pieces = (piece[:, 0] for piece in np.split(audio, cuts))
    clock = FileBackend(pieces, 48_000, realtime=False)
    with LiveStream(Delay(10), backend=clock, block_size=128) as stream:
        assert stream.wait(30.0)
    np.testing.assert_array_equal(clock.output[138:3_138], audio)


def test_a_sink_takes_the_blocks_and_nothing_is_kept():
    taken = []
    clock = FileBackend(noise(1_000), 48_000, realtime=False, sink=lambda block: taken.append(len(block)))
    with LiveStream(Delay(0), backend=clock, block_size=100) as stream:
        assert stream.wait(30.0)
    assert taken == [100] * 11
    assert len(clock.output) == 0


def test_the_real_time_clock_plays_through():
    audio = noise(4_800)
    clock = FileBackend(audio, 48_000)
    with LiveStream(Delay(5), backend=clock, block_size=480, latency="safe") as stream:
        assert stream.wait(30.0)
        latency = stream.latency.engine
    assert len(clock.output) >= 4_800 + latency
    # Dry signal covers what a busy machine makes late, so the identity is exact whatever the machine does.
    np.testing.assert_array_equal(clock.output[latency : latency + 4_800], audio)


def test_a_second_run_starts_from_the_fresh_state():
    clock = FileBackend(noise(1_000), 48_000, realtime=False)
    stream = LiveStream(Delay(3), backend=clock, block_size=100)
    stream.start()
    assert stream.wait(30.0)
    stream.stop()
    stream.start()
    assert stream.wait(30.0)
    stream.close()
    assert len(clock.output) == 1_200 + 200  # the source is used up: the second run has only its tail to play
    assert not np.any(clock.output[1_200:])


def test_an_empty_source_and_a_foreign_rate_are_refused():
    with pytest.raises(ParameterError, match="holds no audio"):
        FileBackend(iter(()), 48_000)
    with pytest.raises(ParameterError, match="runs at 44100 Hz, the stream asked for 48000"):
        LiveStream(Delay(0), backend=FileBackend(noise(10), 44_100))
