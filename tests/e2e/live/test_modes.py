"""Denoiser and codec on a real JACK server, in the engine's own process: switched at the declared latency."""

from __future__ import annotations

import statistics
import threading

import numpy as np
import pytest
from jack_lab import RATE, JackServer, best_delay, windows_right

from rtae.live import LiveStream
from rtae.live.modes import MODES
from tests.unit.codec.conftest import pair

__all__ = ["pair"]


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = JackServer(tmp_path, 512)
    for name in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER", "JACK_NO_AUDIO_RESERVATION"):
        monkeypatch.setenv(name, server.environment[name])
    yield server
    server.close()


def test_the_latency_is_the_declared_one_through_every_switch(server, build, pair):
    print("seed 6")
    audio = np.random.default_rng(6).uniform(-0.5, 0.5, 4 * RATE).astype(np.float32)
    seen: list[str | None] = []
    with LiveStream(
        build("identity", hop=96), input="system, jack", output="system, jack", mode="passthrough",
        codec=pair(RATE, 48, 60), kbps=48 * 16, latency="safe",
    ) as stream:  # fmt: skip
        assert stream.isolated and stream.modes == MODES and stream.latency.model == 60

        def switch() -> None:
            for mode in (*MODES, *MODES):
                stream.mode = mode
                seen.append(stream.mode)
                over.wait(0.4)

        over = threading.Event()
        switching = threading.Thread(target=switch)
        heard = server.play(audio, switching.start)
        over.set()
        switching.join()
        latency = stream.latency.total
        assert stream.stats.failures == stream.stats.callback_errors == 0
    assert set(seen) == set(MODES)
    # A model and a codec that change nothing: whatever mode, the same sound at the same time, also while it changes.
    assert windows_right(heard, audio, latency) > 0.5
    assert statistics.mode(best_delay(heard, audio, 6_000)) == latency
