"""Devices that go and come back, and microphones with dead channels."""

from __future__ import annotations

import time

import numpy as np
import pytest
from live_doubles import Gated

from rtae.live import FakeBackend, LiveStream, session
from rtae.live.channels import ChannelMix


def wait_for(stream, kind, seen):
    deadline = time.monotonic() + 20
    while kind not in [event.kind for event in seen]:
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
        seen += stream.events()


def test_an_unplugged_device_is_waited_for_and_taken_back(monkeypatch):
    monkeypatch.setattr(session, "RETRY_S", 0.05)
    backend = FakeBackend(input_latency=10)
    print("seed 6")
    generator = np.random.default_rng(6)
    seen = []
    with LiveStream(Gated(delay=5), backend=backend, block_size=64) as stream:
        latency = stream.latency
        for _ in range(20):
            backend.step(generator.uniform(-1, 1, (64, 1)).astype(np.float32))
        backend.unplug()
        wait_for(stream, "lost", seen)
        time.sleep(0.2)  # several attempts in vain
        assert stream.active
        backend.plug()
        wait_for(stream, "back", seen)
        audio = generator.uniform(-0.9, 0.9, (20 * 64, 1)).astype(np.float32)
        played = np.concatenate([backend.step(block) for block in audio.reshape(-1, 64, 1)])
        assert stream.latency == latency
        assert stream.stats.blocks == 40 and stream.stats.late == 0
    assert [event.kind for event in seen] == ["lost", "back"]
    assert "unplugged; waiting" in seen[0].message
    np.testing.assert_array_equal(played[69:], audio[:-69])


def test_a_device_that_falls_silent_counts_as_gone(monkeypatch):
    backend = FakeBackend()
    backend.silence_s = 0.2
    seen = []
    with LiveStream(Gated(), backend=backend, block_size=64) as stream:
        backend.step()
        wait_for(stream, "lost", seen)
    assert "silent for 0.2 s" in seen[0].message


def judged(mix, block, times=60):
    for _ in range(times):
        out = np.zeros((len(block), mix._outputs), np.float32)
        mix.apply(block, out)
        mix.judge()
    return out


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_dead_channel_is_left_out_and_comes_back_when_it_lives(outputs):
    print("seed 7")
    both = np.random.default_rng(7).uniform(-0.5, 0.5, (64, 2)).astype(np.float32)
    half = both * np.float32([1.0, 1e-4])
    mix = ChannelMix(2, outputs, 100.0)
    np.testing.assert_allclose(judged(mix, half)[:, 0], half[:, 0], rtol=1e-6)
    np.testing.assert_allclose(judged(mix, half)[:, -1], half[:, 0], rtol=1e-6)
    living = judged(mix, both)
    if outputs == 2:
        np.testing.assert_array_equal(living, both)
    else:
        np.testing.assert_allclose(living[:, 0], both.mean(axis=1), rtol=1e-5, atol=1e-7)


def test_silence_says_nothing_about_channels():
    mix = ChannelMix(2, 1, 100.0)
    judged(mix, np.float32([[0.0, 1e-6]] * 64))
    assert judged(mix, np.float32([[1.0, 0.5]] * 64), times=1)[0, 0] == 0.75


def test_a_stream_from_a_half_dead_microphone_is_as_loud_as_its_living_half():
    backend = FakeBackend(input_channels=2)
    block = np.tile(np.float32([[0.0, 0.5]]), (480, 1))
    with LiveStream(Gated(), backend=backend, block_size=480):
        for _ in range(120):
            played = backend.step(block)
    np.testing.assert_array_equal(played, np.full((480, 1), 0.5, np.float32))
