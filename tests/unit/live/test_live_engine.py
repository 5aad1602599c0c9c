"""The engine on a fake device: positions, counts and joints, to the sample."""

from __future__ import annotations

import numpy as np
import pytest
from live_doubles import Gated

from rtae.live import FakeBackend, LiveStream

BLOCK = 64


def signal(blocks, channels=1, seed=1):
    print(f"seed {seed}")
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (blocks * BLOCK, channels)).astype(np.float32)


def play(backend, audio, **options):
    """Step `audio` through and return what was played."""
    blocks = audio.reshape(-1, BLOCK, audio.shape[1])
    return np.concatenate([backend.step(block, **options) for block in blocks])


def play_while_held(backend, processor, audio):
    """Step `audio` through while the worker is stuck in the first block of it."""
    processor.gate.clear()
    first = play(backend, audio[:BLOCK], wait=False)
    assert processor.held.wait(30.0)
    return np.concatenate([first, play(backend, audio[BLOCK:], wait=False)])


def delayed(audio, samples):
    return np.concatenate([np.zeros((samples, audio.shape[1]), np.float32), audio])[: len(audio)]


@pytest.mark.parametrize("delay", [0, 1, 63, 64, 200])
@pytest.mark.parametrize("latency", ["low", "safe"])
def test_an_identity_arrives_bit_exact_after_the_declared_latency(delay, latency):
    backend = FakeBackend(input_latency=10, output_latency=20)
    audio = signal(40)
    with LiveStream(Gated(delay), backend=backend, block_size=BLOCK, latency=latency) as stream:
        assert stream.latency.engine == delay + stream.latency.headroom
        assert stream.latency.total == stream.latency.engine + 30
        played = play(backend, audio)
        stats = stream.stats
    assert np.any(played)
    np.testing.assert_array_equal(played, delayed(audio, stream.latency.engine))
    assert (stats.blocks, stats.late, stats.skipped, stats.xruns, stats.failures) == (40, 0, 0, 0, 0)


def test_low_is_one_block_and_safe_is_more():
    low, safe = (
        LiveStream(Gated(), backend=FakeBackend(), block_size=BLOCK, latency=latency) for latency in ("low", "safe")
    )
    assert low.latency.headroom == BLOCK
    assert safe.latency.headroom == 512  # 10 ms in whole blocks


def test_a_latency_in_milliseconds_is_kept_or_stayed_below():
    backend = FakeBackend(input_latency=100, output_latency=100)
    stream = LiveStream(Gated(280), backend=backend, block_size=BLOCK, latency=20.0)
    assert stream.latency.total == 928  # 960 allowed: 480 fixed and seven blocks of headroom
    assert sum(stream.latency.parts_ms().values()) == pytest.approx(stream.latency.total_ms)


def test_late_blocks_are_covered_by_the_dry_signal_at_the_same_delay_and_counted():
    processor = Gated(delay=100)
    backend = FakeBackend()
    audio = signal(30)
    with LiveStream(processor, backend=backend, block_size=BLOCK) as stream:
        before = play(backend, audio[: 10 * BLOCK])
        during = play_while_held(backend, processor, audio[10 * BLOCK : 15 * BLOCK])
        held = stream.stats
        processor.gate.set()
        assert stream._runner.engine.wait_idle(10.0)
        after = play(backend, audio[15 * BLOCK :])
        stats = stream.stats
    # The block before the gate was made; the four after it were not.
    assert held.late == stats.late == 4
    assert held.on_dry and not stats.on_dry
    assert stats.skipped == 0
    # Dry and processed are the same signal here, so nothing at all may be heard of it.
    np.testing.assert_array_equal(np.concatenate([before, during, after]), delayed(audio, 164))


def test_a_late_result_is_dropped_and_latency_stays():
    processor = Gated(gain=-1.0)
    backend = FakeBackend()
    audio = signal(400)
    with LiveStream(processor, backend=backend, block_size=BLOCK) as stream:
        play(backend, audio[: 10 * BLOCK])
        covered = play_while_held(backend, processor, audio[10 * BLOCK : 200 * BLOCK])
        processor.gate.set()
        assert stream._runner.engine.wait_idle(10.0)
        after = play(backend, audio[200 * BLOCK :])
        stats = stream.stats
    expected = delayed(audio, BLOCK)
    # Block 10 was already waiting at the gate; everything behind it was too old and skipped.
    assert stats.late == 189
    assert stats.skipped == 188
    np.testing.assert_array_equal(covered[2 * BLOCK :], expected[12 * BLOCK : 200 * BLOCK])
    np.testing.assert_array_equal(after[2 * BLOCK :], -expected[202 * BLOCK :])


def test_after_a_skip_nothing_from_before_the_gap_is_heard():
    processor = Gated(delay=3 * BLOCK, gain=2.0)
    backend = FakeBackend()
    audio = signal(200)
    with LiveStream(processor, backend=backend, block_size=BLOCK) as stream:
        play(backend, audio[: 10 * BLOCK])
        play_while_held(backend, processor, audio[10 * BLOCK : 100 * BLOCK])
        processor.gate.set()
        assert stream._runner.engine.wait_idle(10.0)
        after = play(backend, audio[100 * BLOCK :])
        stats = stream.stats
    expected = delayed(audio, 4 * BLOCK)[100 * BLOCK :]
    # The newest block was processed, but three blocks of the processor's delay had to pass before it is whole.
    assert stats.skipped > 0
    assert stats.late == 89
    np.testing.assert_array_equal(after[: 3 * BLOCK], expected[: 3 * BLOCK])
    np.testing.assert_array_equal(after[5 * BLOCK :], 2 * expected[5 * BLOCK :])


def test_the_joints_to_dry_and_back_have_no_step():
    processor = Gated(gain=-1.0)
    backend = FakeBackend()
    audio = (0.5 * np.sin(2 * np.pi * 100 / 48_000 * np.arange(60 * BLOCK))).astype(np.float32)[:, None]
    with LiveStream(processor, backend=backend, block_size=BLOCK) as stream:
        parts = [play(backend, audio[: 20 * BLOCK])]
        parts.append(play_while_held(backend, processor, audio[20 * BLOCK : 30 * BLOCK]))
        processor.gate.set()
        assert stream._runner.engine.wait_idle(10.0)
        parts.append(play(backend, audio[30 * BLOCK :]))
        assert stream.stats.late > 0
    played = np.concatenate(parts)
    steps = np.abs(np.diff(played[:, 0]))
    # Sign and level flip, a bare switch would jump by up to 1; the steepest the tone itself gets is 0.0066.
    assert steps.max() < 0.04
    assert np.ptp(played[22 * BLOCK : 30 * BLOCK]) > 0.9


def test_bypass_and_removed_are_delay_matched():
    backend = FakeBackend()
    audio = signal(60)
    with LiveStream(Gated(delay=50, gain=0.25), backend=backend, block_size=BLOCK) as stream:
        expected = delayed(audio, 50 + BLOCK)
        play(backend, audio[: 20 * BLOCK])
        stream.bypass = True
        dry = play(backend, audio[20 * BLOCK : 40 * BLOCK])
        assert stream.listen == "dry"
        stream.listen = "removed"
        removed = play(backend, audio[40 * BLOCK :])
        assert not stream.bypass
        assert stream.stats.late == 0
    np.testing.assert_array_equal(dry[2 * BLOCK :], expected[22 * BLOCK : 40 * BLOCK])
    np.testing.assert_allclose(removed[2 * BLOCK :], 0.75 * expected[42 * BLOCK :], atol=1e-6)


@pytest.mark.parametrize(
    "inputs, channels, outputs", [(1, 1, 2), (2, 1, 2), (2, 2, 1), (1, 2, 2), (2, 2, 2), (4, 2, 6)]
)
def test_channel_counts_are_mapped(inputs, channels, outputs):
    backend = FakeBackend(input_channels=inputs, output_channels=outputs)
    audio = signal(10, inputs)
    with LiveStream(Gated(channels=channels), backend=backend, block_size=BLOCK):
        played = play(backend, audio)
    inner = audio if inputs == channels else np.repeat(audio.mean(axis=1, keepdims=True), channels, axis=1)
    outer = inner if outputs == channels else np.repeat(inner.mean(axis=1, keepdims=True), outputs, axis=1)
    assert played.shape == (640, outputs)
    np.testing.assert_allclose(played, delayed(outer, BLOCK), atol=1e-6)


def test_what_is_no_sound_reaches_neither_processor_nor_ear():
    backend = FakeBackend()
    audio = signal(10)
    audio[100], audio[200], audio[300], audio[301] = np.nan, np.inf, -1e8, 99.0
    with LiveStream(Gated(), backend=backend, block_size=BLOCK) as stream:
        played = play(backend, audio)
        stream.bypass = True
        dry = play(backend, audio)
    assert np.all(np.isfinite(played)) and np.all(np.isfinite(dry))
    np.testing.assert_array_equal(played, delayed(np.where(np.abs(audio) < 100, audio, 0), BLOCK))


def test_a_result_beyond_any_scale_is_forgotten_by_the_meters():
    backend = FakeBackend()
    processor = Gated(gain=1e30)
    with LiveStream(processor, backend=backend, block_size=480) as stream:
        backend.step(np.full((480, 1), 0.1, np.float32))
        processor.gain = np.float32(0.1)
        for _ in range(300):
            backend.step(np.full((480, 1), 0.1, np.float32))
        assert stream.stats.level_in_db == pytest.approx(-20.0, abs=0.1)
        assert stream.stats.level_out_db == pytest.approx(-40.0, abs=0.1)


def test_an_exception_in_the_processor_leaves_dry_signal_and_an_event():
    processor = Gated(delay=10, gain=-1.0)
    backend = FakeBackend()
    audio = signal(40)
    with LiveStream(processor, backend=backend, block_size=BLOCK) as stream:
        play(backend, audio[: 20 * BLOCK])
        processor.error = ValueError("boom")
        played = play(backend, audio[20 * BLOCK :])
        stats = stream.stats
    assert stats.failures == 1
    assert stats.callback_errors == 0
    np.testing.assert_array_equal(played[3 * BLOCK :], delayed(audio, BLOCK + 10)[23 * BLOCK :])
    failed = [event for event in stream.events() if event.kind == "failed"]
    assert len(failed) == 1
    assert "ValueError: boom" in failed[0].message


def test_an_exception_in_the_callback_gives_silence_and_is_counted():
    backend = FakeBackend()
    with LiveStream(Gated(), backend=backend, block_size=BLOCK) as stream:
        played = backend.step(np.zeros((BLOCK + 1, 1), np.float32), wait=False)
        assert stream.stats.callback_errors == 1
    assert np.array_equal(played, np.zeros((BLOCK, 1), np.float32))


def test_device_xruns_are_counted_and_told():
    backend = FakeBackend()
    with LiveStream(Gated(), backend=backend, block_size=BLOCK) as stream:
        backend.step(xruns=2)
        backend.step(xruns=1)
        assert stream.stats.xruns == 3
    assert "xrun" in [event.kind for event in stream.events()]


def test_levels_reduction_clipping_and_hop_times_are_measured():
    backend = FakeBackend()
    audio = np.full((3_000 * BLOCK, 1), 0.5, np.float32)
    audio[: 2 * BLOCK] = 1.0
    with LiveStream(Gated(gain=0.1), backend=backend, block_size=BLOCK) as stream:
        play(backend, audio)
        stats = stream.stats
    assert stats.level_in_db == pytest.approx(-6.02, abs=0.1)
    assert stats.reduction_db == pytest.approx(20.0, abs=0.1)
    assert stats.clipped == 2
    assert 0 < stats.hop_p50_ms <= stats.hop_p99_ms <= stats.hop_max_ms
    assert stats.load > 0
