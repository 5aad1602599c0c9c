"""The engine's own process on a real JACK server: what the host does, or what happens to either, is not heard."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from jack_lab import RATE, JackServer, best_delay, end, windows_right

from rtae.live import LiveStream

HOST = str(Path(__file__).with_name("host_program.py"))

TRIES = 3
"""A machine that others use too may stall for seconds: one of these tries must keep the time."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = JackServer(tmp_path_factory.mktemp("jack"), 512)
    yield server
    server.close()


@pytest.fixture
def on_server(server, monkeypatch):
    join(server, monkeypatch)
    return server


def join(server, monkeypatch):
    for name in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER", "JACK_NO_AUDIO_RESERVATION"):
        monkeypatch.setenv(name, server.environment[name])


def noise(seconds):
    print("seed 4")
    return np.random.default_rng(4).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child nobody has waited for yet still has a number.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def gone(pid, within_s):
    deadline = time.monotonic() + within_s
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_killed_engine_is_replaced_and_audio_is_back_at_the_same_latency(on_server, build):
    audio = noise(7)
    silences = []
    for _ in range(TRIES):
        events = []
        with LiveStream(
            build("identity"), input="system, jack", output="system, jack", on_event=events.append
        ) as stream:
            latency, first = stream.latency.total, stream._runner.pid
            heard = on_server.play(audio, lambda: kill_after(1.0, stream._runner.pid))
            assert stream.active
            second = stream._runner.pid
            assert stream.latency.total == latency and second != first
        kinds = [event.kind for event in events]
        assert kinds.count("restarted") == 1 and "ended" not in kinds
        assert not alive(first) and not alive(second)
        begin, back = longest_silence(heard[latency : len(audio)])
        silences.append((back - begin) / RATE)
        assert silences[-1] > 0.01  # the death was heard
        if silences[-1] < 2.0:
            assert windows_right(heard[back:], audio[back:], latency) > 0.5
            assert statistics.mode(best_delay(heard[back:], audio[back:], 4_000)) == latency
            print(f"audio was back after {silences[-1]:.2f} s")
            return
    pytest.fail(f"silent for {silences} s after the kill")


def kill_after(seconds, pid):
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)


def longest_silence(audio):
    """Return where the longest run of zeros begins and ends, in samples."""
    edges = np.flatnonzero(np.diff(audio == 0, prepend=False, append=False))
    if not len(edges):
        return 0, 0
    longest = int(np.argmax(edges[1::2] - edges[::2]))
    return int(edges[2 * longest]), int(edges[2 * longest + 1])


def test_an_engine_that_dies_twice_in_a_row_ends_the_stream(on_server, build):
    with LiveStream(build("identity"), input="system, jack", output="system, jack") as stream:
        os.kill(stream._runner.pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        # One that dies before it has opened its device took the device along, for all the host knows.
        while "restarted" not in [event.kind for event in stream.events()]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(stream._runner.pid, signal.SIGKILL)
        assert stream.wait(20.0)
        assert not stream.active
        assert [event.kind for event in stream.events()][-1] == "ended"


def test_a_killed_host_takes_its_engine_along(server, build):
    lasted = []
    for _ in range(TRIES):
        with host(server, build("identity"), 60, "idle") as process:
            engine = int(process.stdout.readline())
            assert alive(engine)
            process.kill()
            killed = time.monotonic()
            assert gone(engine, 20.0)
            lasted.append(time.monotonic() - killed)
        if lasted[-1] < 2.0:
            return
    pytest.fail(f"the engine outlived its host by {lasted} s")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_host_that_is_ended_leaves_nothing_behind(server, build, number):
    before = shared_memory()
    with host(server, build("identity"), 60, "idle") as process:
        engine = int(process.stdout.readline())
        os.killpg(process.pid, number)  # as a terminal does: to the host and the engine
        assert process.wait(20) != 0
        assert gone(engine, 4.0)
    assert not {name for name in shared_memory() - before if "jack" not in name}


def shared_memory():
    return {path.name for path in Path("/dev/shm").iterdir()}


@contextlib.contextmanager
def host(server, model, seconds, *habits):
    """Run the host program in a process group of its own."""
    with subprocess.Popen(
        [sys.executable, HOST, str(model), str(seconds), *habits],
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def quick_server(tmp_path_factory):
    server = JackServer(tmp_path_factory.mktemp("jack"), 128)
    yield server
    server.close()


HABITS = ("idle", "loop", "collect")
TURNS, TURN_S = 10, 2
"""Twenty seconds of each habit, in turns: what else goes on on the machine meets all alike."""


def test_a_busy_host_is_not_heard(quick_server, build):
    tried = []
    for _ in range(TRIES):
        with host(quick_server, build("identity"), TURN_S, *(HABITS * TURNS)) as process:
            _, *lines = process.stdout.read().splitlines()
            assert process.wait(20) == 0
        turns = [json.loads(line) for line in lines]
        assert [turn["habit"] for turn in turns] == [*HABITS] * TURNS and all(turn["blocks"] > 500 for turn in turns)
        found = {
            (habit, kind): sorted(turn[kind] for turn in turns if turn["habit"] == habit)
            for habit in HABITS
            for kind in ("late", "xruns")
        }
        # Where the idle host, too, is disturbed by what others do, the quieter half of the turns is compared.
        disturbed = any(sum(found["idle", kind]) > 3 for kind in ("late", "xruns"))
        counted = {key: sum(counts[: TURNS // 2] if disturbed else counts) for key, counts in found.items()}
        tried.append({"disturbed": disturbed} | {" ".join(key): count for key, count in counted.items()})
        print(tried[-1], "of all turns:", {" ".join(key): sum(counts) for key, counts in found.items()})
        if all(count <= counted["idle", kind] + 3 for (_, kind), count in counted.items()):
            return
    pytest.fail(f"late and xruns: {tried}")


QUIET_S, LOADED_S = 3.0, 30.0


def test_beside_cpu_hogs_there_is_no_gap_and_latency_is_what_it_was(quick_server, build, monkeypatch):
    join(quick_server, monkeypatch)
    audio = noise(QUIET_S + LOADED_S + QUIET_S)
    audio[audio == 0] = 0.1
    hogs = []

    def load():
        time.sleep(QUIET_S)
        hogs.extend(subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1))
        time.sleep(LOADED_S)
        for hog in hogs:
            assert hog.poll() is None
            end(hog)

    with LiveStream(build("identity"), input="system, jack", output="system, jack", block_size=128) as stream:
        heard = quick_server.play(audio, load)
        latency, stats = stream.latency.total, stream.stats
    assert len(hogs) >= 1 and stats.blocks > 30 * RATE / 128
    print(f"late {stats.late}, xruns {stats.xruns} of {stats.blocks} blocks")
    before, after = audio[: round(QUIET_S * RATE)], slice(round((QUIET_S + LOADED_S + 0.5) * RATE), len(audio))
    assert statistics.mode(best_delay(heard, before, 4_000)) == latency
    assert statistics.mode(best_delay(heard[after.start :], audio[after], 4_000)) == latency
    # Windows in which the server itself dropped a cycle say nothing about the engine; most must be others.
    size = RATE // 20
    count = (len(audio) - latency) // size
    played, dropped = (part[latency:][: count * size].reshape(count, size) for part in (heard, quick_server.dropped))
    whole = played[~dropped.any(axis=1)]
    print(f"{len(whole)} of {count} windows without a dropped cycle")
    assert len(whole) > count / 2
    assert max(end - begin for begin, end in map(longest_silence, whole)) <= RATE // 1000
