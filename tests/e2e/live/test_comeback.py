"""A sound server that is restarted under a live stream."""

from __future__ import annotations

import statistics
import time

import numpy as np
from jack_lab import RATE, JackServer, best_delay, windows_right

from rtae.live import LiveStream


def test_a_restarted_server_gets_its_stream_back(tmp_path, monkeypatch, build):
    server = JackServer(tmp_path, 512)
    for name in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER", "JACK_NO_AUDIO_RESERVATION"):
        monkeypatch.setenv(name, server.environment[name])
    print("seed 8")
    audio = np.random.default_rng(8).uniform(-0.5, 0.5, 4 * RATE).astype(np.float32)
    seen = []

    def wait_for(kinds):
        deadline = time.monotonic() + 40
        while not kinds & {event.kind for event in seen}:
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)

    try:
        with LiveStream(build("identity"), input="system, jack", output="system, jack", on_event=seen.append) as stream:
            server.stop()
            wait_for({"lost"})
            assert stream.active
            server.start()
            wait_for({"back", "restarted"})
            heard = server.play(audio)
            latency = stream.latency.total
            assert stream.active
    finally:
        server.close()
    assert "ended" not in {event.kind for event in seen}
    assert statistics.mode(best_delay(heard, audio, 4_000)) == latency
    assert windows_right(heard, audio, latency) > 0.5
