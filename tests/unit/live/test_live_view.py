"""The view, the keys and the command, without a sound card."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import textwrap
import time

import numpy as np
import pytest
from live_doubles import Gated
from rich.console import Console

from rtae.cli.live import watch
from rtae.errors import DeviceError
from rtae.live import Event, FakeBackend, FileBackend, LiveStream
from rtae.live.view import STRENGTHS_DB, View, stepped_strength

PROGRAM = """
    import sys
    import numpy as np
    from rtae.cli.live import watch
    from rtae.live import FileBackend, LiveStream
    clock = FileBackend((np.full(4_800, 0.25, np.float32) for _ in iter(int, 1)), 48_000, sink=lambda block: None)
    stream = LiveStream(sys.argv[1], backend=clock)
    status = watch(stream, as_json="--json" in sys.argv)
    print("limit", stream.attenuation_limit_db, "bypass", stream.bypass)
    sys.exit(status)
"""


def test_the_view_fits_a_small_terminal_and_shows_what_matters():
    backend = FakeBackend(input_latency=48, output_latency=96)
    with LiveStream(Gated(gain=0.1), backend=backend, block_size=480) as stream:
        for _ in range(400):
            backend.step(np.full((480, 1), 0.5, np.float32))
        view = View(stream)
        for index in range(9):
            view.add(Event("late", f"event {index}"))
        stream.bypass = True
        console = Console(width=80, height=24, file=io.StringIO(), force_terminal=False)
        console.print(view.render())
    lines = console.file.getvalue().splitlines()
    text = " ".join(" ".join(lines).replace("│", " ").split())
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert "fake -> Gated -> fake" in text
    assert "-6.0 dBFS" in text and "-26.0 dBFS" in text and "20.0 dB" in text
    assert "13.0 ms = input device 1.0 + model 0.0 + hop wait 0.0 + headroom 10.0" in text
    assert "event 8" in text and "event 4" not in text
    assert "BYPASS" in text


@pytest.mark.parametrize("long_ones", [(True, True), (True, False), (False, True)])
def test_long_names_and_messages_leave_the_small_terminal_whole(long_ones):
    names = {
        f"{side}_name": f"Built-in Audio Analog Stereo of the {side} side, Family 17h Controller" if is_long else "USB"
        for side, is_long in zip(("input", "output"), long_ones, strict=True)
    }
    with LiveStream(Gated(), backend=FakeBackend(input_latency=4_800, output_latency=9_600), block_size=480) as stream:
        stream._runner.facts = dataclasses.replace(stream._runner.facts, **names)
        view = View(stream)
        for index in range(4):
            view.add(Event("note", f"event {index}: {'a long story ' * 11}"))
        console = Console(width=80, height=24, file=io.StringIO(), force_terminal=False)
        console.print(view.render())
    lines = console.file.getvalue().splitlines()
    assert 20 <= len(lines) <= 23 and max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).replace("│", " ").split())
    # The newest in whole, no piece of an older one; all three names; the keys.
    assert "event 3:" in text and "event 2:" in text and text.count("a long story") == 22
    for name, is_long in zip(names.values(), long_ones, strict=True):
        assert (f"{name[:15]}" if is_long else f"{name}") in lines[0]
    assert " -> Gated -> " in lines[0] and ("..." in lines[0])
    assert "q quit" in lines[-1]


def test_the_strength_steps_through_its_ladder_and_stays_at_the_ends():
    seen, value = [], 0.0
    for _ in range(12):
        seen.append(value)
        value = stepped_strength(value, 1)
    assert seen == [*STRENGTHS_DB, None, None]
    assert stepped_strength(None, -1) == 40.0
    assert stepped_strength(10.0, -1) == 9.0 and stepped_strength(10.0, 1) == 12.0
    assert stepped_strength(0.0, -1) == 0.0


def test_json_lines_tell_start_events_and_end(capsys):
    clock = FileBackend(np.zeros(480_000, np.float32), 48_000)
    stream = LiveStream(Gated(delay=30), backend=clock, block_size=480)
    assert watch(stream, duration_s=1.5, as_json=True) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [lines[0]["type"], lines[-1]["type"]] == ["started", "stopped"]
    assert lines[0]["latency_samples"] == 510
    assert lines[-1]["blocks"] > 0
    assert "stats" in {line["type"] for line in lines}


def test_plain_lines_where_there_is_no_terminal(capsys):
    stream = LiveStream(Gated(), backend=FileBackend(np.zeros(480_000, np.float32), 48_000), block_size=480)
    assert watch(stream, duration_s=1.5) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "file -> Gated -> file, latency 10.0 ms"
    assert any(line.startswith("in -120.0 dBFS, out -120.0 dBFS") for line in lines[1:])


def test_a_stream_that_ends_by_itself_is_an_error_that_says_why():
    fresh = FileBackend(np.zeros(10, np.float32), 48_000, realtime=False)
    with pytest.raises(DeviceError, match="live audio stopped: the file is at its end; start again"):
        watch(LiveStream(Gated(), backend=fresh), duration_s=30.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_clean_end(number, build):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(build("gain")), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert json.loads(process.stdout.readline())["type"] == "started"
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert json.loads(out.splitlines()[-2])["type"] == "stopped"


def read_until(terminal, text, timeout_s=30.0):
    seen, deadline = b"", time.monotonic() + timeout_s
    while text not in seen:
        assert time.monotonic() < deadline, seen.decode(errors="replace")
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 65_536)
            except OSError:  # the other end is closed
                break
    return seen


@pytest.mark.parametrize("ending", [b"q", b"\x03"])
def test_keys_work_in_a_terminal_which_is_put_back(ending, build):
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(build("gain"))],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        preexec_fn=lambda: (os.setsid(), __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0)),
    )
    try:
        read_until(ours, b"quit")
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        os.write(ours, b"b--+")
        read_until(ours, b"BYPASS")
        os.write(ours, b"r")
        read_until(ours, b"HEARING")
        os.write(ours, b"b")
        read_until(ours, b"BYPASS")
        os.write(ours, ending)
        end = read_until(ours, b"bypass True")
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        after = termios.tcgetattr(theirs)
        os.close(ours)
        os.close(theirs)
    assert b"limit 40.0" in end
    assert after == before
