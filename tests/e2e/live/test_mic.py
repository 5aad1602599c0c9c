"""``rtae mic`` on a real PipeWire desktop: other programs see a microphone and hear cleaned audio from it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from jack_lab import end
from pipewire_lab import PipeWire

import rtae

RATE = 48_000
RAW = ("--format=float32le", f"--rate={RATE}", "--channels=1", "--raw")


@pytest.fixture(scope="module")
def desktop(tmp_path_factory):
    desktop = PipeWire(tmp_path_factory.mktemp("pipewire"))
    yield desktop
    desktop.close()


class Mic:
    """``rtae mic --json`` in a process of its own."""

    def __init__(self, desktop, model, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtae", "mic", "--json", "--model", str(model), *arguments],
            env=desktop.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        first = self.process.stdout.readline()
        assert first, self.process.communicate()[1]
        self.started = json.loads(first)

    def __enter__(self):
        return self

    def __exit__(self, *details):
        if self.process.poll() is None:
            end(self.process)
        self.process.stdout.close()
        self.process.stderr.close()


def gone(desktop, within_s):
    deadline = time.monotonic() + within_s
    while any("rtae" in name for name in desktop.sources()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def hear(desktop, audio, folder: Path):
    """Speak `audio` into the real microphone, return what a recorder hears from the virtual one."""
    with (folder / "heard.raw").open("wb") as file:
        recorder = subprocess.Popen(
            ["parec", "-d", "rtae_mic", "--latency-msec=20", *RAW], env=desktop.environment, stdout=file
        )
        time.sleep(1.0)
        subprocess.run(
            ["pacat", "-d", "fakemic", "--latency-msec=50", *RAW],
            env=desktop.environment,
            input=audio.tobytes(),
            timeout=60,
        )
        time.sleep(0.5)
        end(recorder)
    return np.fromfile(folder / "heard.raw", np.float32)


def windows_alike(heard, expected):
    """Share of the 200 ms windows of `expected` that `heard` holds somewhere, and the levels they are heard at."""
    size, alike, gains = RATE // 5, [], []
    for start in range(0, len(expected) - size, size):
        window = expected[start : start + size]
        place = _place(heard, window)
        found = heard[place : place + size]
        norm = np.linalg.norm(found) * np.linalg.norm(window)
        alike.append(bool(norm) and float(found @ window) / norm > 0.95)
        gains.append(np.linalg.norm(found) / np.linalg.norm(window))
    assert len(alike) >= 10
    return sum(alike) / len(alike), float(np.median(gains))


def _place(heard, window):
    size = 1 << (len(heard) + len(window)).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(window, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: len(heard) - len(window)]))


def speech_like(seconds):
    print("seed 10")
    generator = np.random.default_rng(10)
    audio = generator.normal(0, 0.1, round(seconds * RATE))
    audio *= 1 + 0.8 * np.sin(2 * np.pi * 3 * np.arange(len(audio)) / RATE)
    return audio.astype(np.float32)


def test_other_programs_hear_the_processed_microphone_also_after_a_server_restart(desktop, build, tmp_path):
    model = build("gain", factor=0.25)
    audio = speech_like(4)
    offline = rtae.denoise(audio, RATE, model=model)
    with Mic(desktop, model) as mic:
        assert mic.started["output"] == "rtae microphone"
        assert "rtae_mic" in desktop.sources()
        described = desktop.pactl("list", "sources").stdout
        assert "Description: rtae microphone" in described
        share, level = windows_alike(hear(desktop, audio, tmp_path), offline)
        assert share > 0.5
        assert level == pytest.approx(1.0, abs=0.02)
        refused = subprocess.run(
            [sys.executable, "-m", "rtae", "mic", "--model", str(model)],
            env=desktop.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert refused.returncode == 2 and "is in use by process" in refused.stderr
        assert "rtae_mic" in desktop.sources()

        desktop.stop()
        time.sleep(1.0)
        desktop.start()
        deadline = time.monotonic() + 60
        while "rtae_mic" not in desktop.sources():
            assert time.monotonic() < deadline and mic.process.poll() is None
            time.sleep(0.2)
        time.sleep(2.0)
        share, _ = windows_alike(hear(desktop, audio, tmp_path), offline)
        assert share > 0.5
        mic.process.send_signal(signal.SIGTERM)
        out, errors = mic.process.communicate(timeout=30)
        assert (mic.process.returncode, errors) == (0, "")
    kinds = [line["kind"] for line in map(json.loads, out.splitlines()) if line["type"] == "event"]
    assert "lost" in kinds or "restarted" in kinds
    assert gone(desktop, 4.0)


def test_a_killed_host_takes_the_microphone_along(desktop, build):
    with Mic(desktop, build("identity")) as mic:
        assert "rtae_mic" in desktop.sources()
        mic.process.kill()
        mic.process.wait()
        assert gone(desktop, 4.0)


def test_what_a_crash_left_behind_is_removed(desktop, build):
    desktop.pactl(
        "load-module", "module-null-sink", "sink_name=rtae_sink", "sink_properties='rtae.pid=4000000'"
    )  # beyond the highest process number
    before = desktop.pactl("list", "short", "modules").stdout.count("rtae_sink")
    assert before == 1
    with Mic(desktop, build("identity")) as mic:
        modules = desktop.pactl("list", "short", "modules").stdout
        assert "rtae.pid=4000000" not in modules and modules.count("sink_name=rtae_sink") == 1
        mic.process.send_signal(signal.SIGINT)
        assert mic.process.wait(30) == 0
    assert gone(desktop, 4.0)


def test_an_unknown_microphone_lists_what_there_is(desktop, build):
    refused = subprocess.run(
        [sys.executable, "-m", "rtae", "mic", "--model", str(build("identity")), "--input", "nothing like it"],
        env=desktop.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 2
    assert "there is no input device 'nothing like it'; there are: " in refused.stderr and "fakemic" in refused.stderr
    assert gone(desktop, 1.0)
