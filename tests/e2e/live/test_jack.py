"""``rtae live`` on a real JACK server: the latency it declares is the latency there is, to the sample."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys

import numpy as np
import pytest
from jack_lab import RATE, LiveCommand, best_delay, windows_right

DEVICE = ("--input", "system, jack", "--output", "system, jack")


def noise(seconds):
    print("seed 3")
    return np.random.default_rng(3).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("block", [128, None])
def test_an_identity_model_is_bit_exact_at_the_declared_latency(jack, build, block):
    audio = noise(3)
    options = () if block is None else ("--block", str(block))
    with LiveCommand(jack, "--model", str(build("identity")), *DEVICE, *options) as live:
        heard = jack.play(audio)
        lines = live.finish()
    latency = live.started["latency_samples"]
    assert 0 < latency < 3_000
    assert sum(live.started["latency_ms"].values()) == pytest.approx(1e3 * latency / RATE, abs=0.01)
    assert windows_right(heard, audio, latency, exact=True) > 0.5
    assert statistics.mode(best_delay(heard, audio, 4_000)) == latency
    stopped = lines[-1]
    assert stopped["type"] == "stopped"
    assert stopped["blocks"] > 3 * RATE / live.started["block_size"]
    assert stopped["callback_errors"] == stopped["failures"] == 0


def test_a_model_with_delay_and_another_hop_arrives_with_the_declared_latency(jack, build):
    audio = noise(3)
    model = build("delay", samples=300, hop=192)
    with LiveCommand(jack, "--model", str(model), *DEVICE, "--block", "128", "--latency", "safe") as live:
        heard = jack.play(audio)
        live.finish(signal.SIGINT)
    latency = live.started["latency_samples"]
    parts = live.started["latency_ms"]
    assert parts["model"] == pytest.approx(6.25) and parts["hop_wait"] == pytest.approx(128 / 48, abs=1e-3)
    assert parts["headroom"] >= 10.0
    assert windows_right(heard, audio, latency) > 0.5
    assert statistics.mode(best_delay(heard, audio, 4_000)) == latency


def test_the_device_is_listed_and_a_rate_the_server_lacks_is_refused(jack, build):
    listed = subprocess.run(
        [sys.executable, "-m", "rtae", "devices", "--json"], env=jack.environment, capture_output=True, text=True
    )
    assert any(device["host_api"].startswith("JACK") for device in json.loads(listed.stdout))
    refused = subprocess.run(
        [sys.executable, "-m", "rtae", "live", "--model", str(build("identity")), *DEVICE, "--rate", "16000"],
        env=jack.environment,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 2
    assert "at 16000 Hz" in refused.stderr and "choose a rate the device has, such as 48000" in refused.stderr
    assert "Traceback" not in refused.stderr
