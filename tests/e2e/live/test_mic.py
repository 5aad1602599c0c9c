"""``rtae mic`` on a real PipeWire desktop: other programs see a microphone and hear cleaned audio from it."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from jack_lab import RATE, best_delay, end, realtime_allowed
from pipewire_lab import PipeWire

import rtae
from rtae.live import graph

DATA = Path(__file__).parents[2] / "data"
TRIES = 3
FAINT = 10 ** (-40 / 20)
"""Level below which a window holds no speech to compare."""

PROMPT = ("chrt", "-f", "5") if realtime_allowed() else ()
"""Before the programs that speak and listen: what they miss on a busy machine says nothing about the microphone."""

RAW = ("--format=float32le", f"--rate={RATE}", "--channels=1", "--raw")


@pytest.fixture(scope="module")
def desktop(tmp_path_factory):
    desktop = PipeWire(tmp_path_factory.mktemp("pipewire"))
    yield desktop
    desktop.close()


class Mic:
    """``rtae mic --json`` in a process of its own; without PipeWire's tools it is a client of PulseAudio's protocol."""

    def __init__(self, desktop, model, *arguments, in_graph=True):
        path = desktop.environment["PATH"] if in_graph else str(Path(sys.executable).parent)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtae", "mic", "--json", "--model", str(model), *arguments],
            env={**desktop.environment, "PATH": path},
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
            [*PROMPT, "parec", "-d", "rtae_mic", "--latency-msec=200", *RAW], env=desktop.environment, stdout=file
        )
        time.sleep(1.0)
        speak(desktop, audio).wait(60)
        time.sleep(0.5)
        end(recorder)
    return np.fromfile(folder / "heard.raw", np.float32)


def speak(desktop, audio):
    """Start to play `audio` into the real microphone, from a buffer that a busy machine does not empty."""
    with tempfile.TemporaryFile() as file:
        audio.tofile(file)
        file.seek(0)
        return subprocess.Popen(
            [*PROMPT, "pacat", "-d", "fakemic", "--latency-msec=500", *RAW], env=desktop.environment, stdin=file
        )


def heard_right(desktop, audio, expected, folder):
    """Listen until most windows are as expected, three times at most: the machine is shared."""
    shares = []
    for _ in range(TRIES):
        heard = hear(desktop, audio, folder)
        share, level = windows_alike(heard, expected)
        shares.append(share)
        if share > 0.5:
            print(f"{share:.0%} of the windows, level {level:.3f}")
            assert level == pytest.approx(1.0, abs=0.1)
            # Loud speech is alike with and without noise; what was cleaned is also quiet in the pauses.
            start = int(np.argmax(correlation(heard, expected)))
            assert pauses_db(heard[start : start + len(audio)]) < pauses_db(audio) - 10
            return
    pytest.fail(f"shares of windows as expected: {shares}")


def windows_alike(heard, expected):
    """Share of the 200 ms windows of `expected` that `heard` holds in their place, and the level they are heard at.

    A place may be 100 ms off: where the sound system drops a cycle, all that follows comes earlier.
    """
    size, slack = RATE // 5, RATE // 10
    offset, windows, gains = int(np.argmax(correlation(heard, expected))), 0, []
    heard = np.concatenate([np.zeros(slack, np.float32), heard, np.zeros(len(expected) + slack, np.float32)])
    for start in range(0, len(expected) - size, size):
        window = expected[start : start + size]
        if np.linalg.norm(window) < FAINT * size**0.5:
            continue
        windows += 1
        around = heard[start + offset : start + offset + size + 2 * slack]
        energies = np.cumsum(np.square(around, dtype=np.float64))
        norms = np.sqrt(energies[size:] - energies[:-size] + 1e-12)
        alike = correlation(around, window)[1:] / norms / np.linalg.norm(window)
        place = int(np.argmax(alike))
        if alike[place] > 0.95:
            gains.append(norms[place] / np.linalg.norm(window))
    assert windows >= 10
    return len(gains) / windows, float(np.median(gains)) if gains else 0.0


def pauses_db(audio):
    """Level of the quietest fifth of the 50 ms frames."""
    size = RATE // 20
    powers = np.square(audio[: len(audio) // size * size].reshape(-1, size), dtype=np.float64).mean(axis=1)
    return 10 * np.log10(np.quantile(powers, 0.2) + 1e-12)


def correlation(long, short):
    """Correlate `short` with every piece of `long` of its length."""
    size = 1 << (len(long) + len(short)).bit_length()
    spectrum = np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size))
    return np.fft.irfft(spectrum, size)[: len(long) - len(short) + 1]


@pytest.fixture(scope="module")
def speech():
    audio, rate = soundfile.read(DATA / "full-band-minus-2dB-noisy.flac", dtype="float32")
    assert rate == RATE
    return np.tile(audio, 2)


def test_other_programs_hear_cleaned_speech_also_after_a_server_restart(desktop, speech, tmp_path):
    cleaned = rtae.denoise(speech, RATE)
    with Mic(desktop, "denoise") as mic:
        assert mic.started["output"] == "rtae microphone"
        assert "rtae_mic" in desktop.sources() and "rtae_sink.monitor" not in desktop.sources()
        assert "Description: rtae microphone" in desktop.pactl("list", "sources").stdout
        heard_right(desktop, speech, cleaned, tmp_path)
        refused = subprocess.run(
            [sys.executable, "-m", "rtae", "mic"],
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
        heard_right(desktop, speech, cleaned, tmp_path)
        mic.process.send_signal(signal.SIGTERM)
        out, errors = mic.process.communicate(timeout=30)
        assert (mic.process.returncode, errors) == (0, "")
    kinds = [line["kind"] for line in map(json.loads, out.splitlines()) if line["type"] == "event"]
    assert "lost" in kinds or "restarted" in kinds
    assert gone(desktop, 4.0)


def test_where_the_graph_is_out_of_reach_it_is_a_client_of_the_sound_server(desktop, build, speech, tmp_path):
    with Mic(desktop, build("identity"), "--latency", "safe", in_graph=False):
        assert {"rtae_mic", "rtae_sink.monitor"} <= set(desktop.sources())
        # Queues of the sound server run dry on a busy machine; some windows arrive whole all the same.
        shares = []
        while not shares or (shares[-1] <= 0.2 and len(shares) < TRIES):
            shares.append(windows_alike(hear(desktop, speech, tmp_path), speech)[0])
        assert shares[-1] > 0.2, shares
    assert gone(desktop, 4.0)


def test_in_the_graph_it_adds_what_is_declared_at_most_8_ms(desktop, build, tmp_path):
    print("seed 10")
    audio = np.random.default_rng(10).uniform(-0.3, 0.3, 60 * RATE).astype(np.float32)
    library = next(path for pattern in graph.LIBRARIES for path in Path("/").glob(pattern))
    with Mic(desktop, build("delay", samples=300), "--block", "128") as mic:
        pacat = speak(desktop, audio)
        time.sleep(1.5)
        ports = ("fakemic Audio/Sink sink:monitor_MONO", "rtae microphone:capture_MONO")
        subprocess.run(
            [
                sys.executable,
                str(Path(__file__).with_name("pipewire_pair.py")),
                *ports,
                "3",
                str(tmp_path / "pair.npy"),
            ],
            env={**desktop.environment, "LD_LIBRARY_PATH": str(library.parent)},
            check=True,
            timeout=60,
        )
        end(pacat)
    raw, cleaned = np.load(tmp_path / "pair.npy")
    latency, parts = mic.started["latency_samples"], mic.started["latency_ms"]
    assert statistics.mode(best_delay(cleaned, raw, 4_000)) == latency
    assert 1e3 * latency / RATE - parts["model"] - parts["hop_wait"] <= 8.0


def test_a_microphone_that_goes_is_waited_for_and_the_virtual_one_stays(desktop, build, tmp_path):
    module = load_microphone(desktop)
    try:
        with Mic(desktop, build("identity"), "--input", "usbmic") as mic:
            desktop.pactl("unload-module", module)
            wait_for(mic, "lost")
            assert "rtae_mic" in desktop.sources()
            module = load_microphone(desktop)
            wait_for(mic, "back")
            assert "rtae_mic" in desktop.sources()
    finally:
        desktop.pactl("unload-module", module)
    assert gone(desktop, 4.0)


def load_microphone(desktop):
    made = desktop.pactl("load-module", "module-remap-source", "master=fakemic.monitor", "source_name=usbmic")
    return made.stdout.strip()


def wait_for(mic, kind):
    """Read on until an event of that kind; there is a line a second."""
    for _ in range(60):
        line = json.loads(mic.process.stdout.readline())
        if line["type"] == "event" and line["kind"] == kind:
            return
    pytest.fail(f"no event {kind!r}")


def test_a_killed_host_takes_the_microphone_along(desktop, build):
    lasted = []
    for _ in range(TRIES):
        with Mic(desktop, build("identity")) as mic:
            assert "rtae_mic" in desktop.sources()
            mic.process.kill()
            killed = time.monotonic()
            assert gone(desktop, 20.0)
            lasted.append(time.monotonic() - killed)
        if lasted[-1] < 2.0:
            return
    pytest.fail(f"the microphone outlived its host by {lasted} s")


def test_what_a_crash_left_behind_is_removed(desktop, build):
    desktop.pactl(
        "load-module", "module-null-sink", "sink_name=rtae_sink", "sink_properties='rtae.pid=4000000'"
    )  # beyond the highest process number
    before = desktop.pactl("list", "short", "modules").stdout.count("rtae_sink")
    assert before == 1
    with Mic(desktop, build("identity")) as mic:
        modules = desktop.pactl("list", "short", "modules").stdout
        assert "rtae.pid=4000000" not in modules and modules.count("rtae.pid=") == 1
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
