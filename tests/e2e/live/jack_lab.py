"""A JACK dummy server of our own, and a client on it that plays into one port and records another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np

RATE = 48_000
HARNESS = Path(__file__).with_name("jack_harness.py")


class JackServer:
    """A dummy JACK server under a name nobody else has."""

    def __init__(self, folder: Path, period: int = 256, rate: int = RATE) -> None:
        self.name = f"rtae-{uuid.uuid4().hex[:10]}"
        self.period, self.rate = period, rate
        self._folder = folder
        self._log = (folder / f"{self.name}.log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **os.environ,
            "JACK_DEFAULT_SERVER": self.name,
            "JACK_NO_START_SERVER": "1",
            "JACK_NO_AUDIO_RESERVATION": "1",
            "XDG_CONFIG_HOME": str(folder),
        }
        self.start()

    def start(self) -> None:
        # With real-time rights other programs on the machine are hardly noticed; without, the tests allow for it.
        priority = ["-R", "-P", "50"] if realtime_allowed() else ["-r"]
        arguments = [*priority, "-d", "dummy", "-r", str(self.rate), "-p", str(self.period), "-C", "1", "-P", "1"]
        self._process = subprocess.Popen(
            ["jackd", "-n", self.name, *arguments],
            env=self.environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        probe = "import jack, sys; jack.Client('probe', servername=sys.argv[1], no_start_server=True).close()"
        deadline = time.monotonic() + 20
        while subprocess.run(
            [sys.executable, "-c", probe, self.name], env=self.environment, capture_output=True
        ).returncode:
            assert self._process.poll() is None and time.monotonic() < deadline, "the JACK server did not start"
            time.sleep(0.2)

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None

    def close(self) -> None:
        self.stop()
        self._log.close()
        # What jackd leaves when it is ended while clients are there.
        for path in [*Path("/dev/shm").glob(f"*{self.name}*"), *Path("/tmp").glob(f"jack-{self.name}*")]:
            if path.is_file() or path.is_socket() or path.is_fifo():
                path.unlink(missing_ok=True)

    def play(self, audio: np.ndarray, meanwhile: Callable[[], object] = lambda: None) -> np.ndarray:
        """Play `audio` into the stream's input port and return what its output port gave back, from the same start.

        `meanwhile` is called once it plays. :attr:`dropped` then marks the frames around cycles the server dropped.
        """
        play, heard_at, dropped = (self._folder / f"{name}.npy" for name in ("play", "heard", "dropped"))
        np.save(play, audio.astype(np.float32))
        with subprocess.Popen(
            [sys.executable, str(HARNESS), self.name, str(play), str(heard_at), str(dropped)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as harness:
            try:
                assert harness.stdout is not None
                if harness.stdout.readline() == "playing\n":
                    meanwhile()
                _, errors = harness.communicate(timeout=len(audio) / RATE + 60)
            finally:
                if harness.poll() is None:
                    end(harness)
        assert harness.returncode == 0, errors
        self.dropped: np.ndarray = np.load(dropped)
        heard: np.ndarray = np.load(heard_at)
        return heard


def realtime_allowed() -> bool:
    """Whether this machine grants real-time priorities."""
    return subprocess.run(["chrt", "-f", "50", "true"], capture_output=True).returncode == 0


class LiveCommand:
    """``rtae live --json ...`` in a process of its own; ``started`` is its first line."""

    def __init__(self, server: JackServer, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtae", "live", "--json", *arguments],
            env=server.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first, self.process.communicate()[1]
        self.started = json.loads(first)

    def finish(self, number: int = signal.SIGTERM) -> list[dict]:
        """Send a signal, check that the command ends well, and return its remaining lines."""
        self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, errors
        assert errors == ""
        return [json.loads(line) for line in out.splitlines()]

    def __enter__(self) -> LiveCommand:
        return self

    def __exit__(self, *details: object) -> None:
        if self.process.poll() is None:
            end(self.process)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def end(process: subprocess.Popen) -> None:
    """End a process by its id, politely first."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def windows_right(heard: np.ndarray, expected: np.ndarray, delay: int, exact: bool = False) -> float:
    """Share of the 200 ms windows in which `heard` is `expected`, `delay` samples later."""
    size = RATE // 5
    heard = heard[delay:]
    count = min(len(heard), len(expected)) // size
    assert count >= 5
    right = 0
    for index in range(count):
        ours, theirs = (signal[index * size : (index + 1) * size] for signal in (heard, expected))
        assert np.any(theirs)
        if exact:
            right += np.array_equal(ours, theirs)
        else:
            norm = np.linalg.norm(ours) * np.linalg.norm(theirs)
            right += bool(norm) and float(ours @ theirs) / norm > 0.99
    return right / count


def best_delay(heard: np.ndarray, played: np.ndarray, longest: int) -> list[int]:
    """Delay in samples at which each 200 ms window of `heard` fits `played` best."""
    size = RATE // 5
    delays = []
    for start in range(0, len(played) - size, size):
        window = played[start : start + size]
        around = heard[start : start + size + longest]
        if len(around) == size + longest:
            delays.append(int(np.argmax(np.abs(np.correlate(around, window, "valid")))))
    assert len(delays) >= 5
    return delays
