"""Voice over a bad network, in real time: `rtae send` through a relay on this machine to `rtae receive`.

    python benchmarks/wire.py SPEECH.wav -m codec --seconds 300

The relay loses packets, holds each back for a random time, lets the sender's clock run slow by delaying every packet
more than the one before, and sends garbage. Prints what the receiver said of itself: the latency against its
target, under-runs after the first second, what was lost and ignored. Exit status 1 if the latency left its target by
more than 10 ms or the output ran dry.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

TOLERANCE_MS = 10.0
GARBAGE_SHARE = 0.05
MOST_WAIT_S = 0.05


class Relay:
    """Hands datagrams on: late, not all of them, and not alone."""

    def __init__(self, target: int, loss: float, jitter_s: float, ppm: float, seed: int) -> None:
        self._loss, self._jitter_s, self._slower = loss, jitter_s, 1e-6 * ppm
        self._rng = random.Random(seed)
        self._wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._wire.bind(("127.0.0.1", 0))
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.connect(("127.0.0.1", target))
        self._waiting: list[tuple[float, int, bytes]] = []
        self.port = self._wire.getsockname()[1]
        self.packets = self.lost = self.garbage = 0

    def step(self, began_s: float) -> None:
        """Take one datagram if one comes, and send what is due."""
        wait_s = self._waiting[0][0] - time.monotonic() if self._waiting else MOST_WAIT_S
        self._wire.settimeout(min(max(wait_s, 1e-4), MOST_WAIT_S))
        try:
            data = self._wire.recv(2048)
        except TimeoutError:
            data = b""
        now_s = time.monotonic()
        if data:
            self.packets += 1
            if self._rng.random() < self._loss:
                self.lost += 1
            else:
                due_s = now_s + self._rng.uniform(0, self._jitter_s) + self._slower * (now_s - began_s)
                heapq.heappush(self._waiting, (due_s, self.packets, data))
            if self._rng.random() < GARBAGE_SHARE:
                self.garbage += 1
                self._send(self._rng.randbytes(self._rng.randrange(1, 200)))
        while self._waiting and self._waiting[0][0] <= now_s:
            self._send(heapq.heappop(self._waiting)[2])

    def _send(self, data: bytes) -> None:
        try:
            self._out.send(data)
        except ConnectionRefusedError:  # the receiver has ended
            pass


def long_recording(path: Path, seconds: float, folder: str) -> Path:
    """Return a file that repeats the recording at `path` for so long."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    target = Path(folder) / "speech.wav"
    soundfile.write(target, np.resize(audio[:, :1], (round(seconds * rate), 1)), rate, subtype="PCM_16")
    return target


def receiving(model: str, folder: str) -> tuple[subprocess.Popen[bytes], int, Path]:
    """Start `rtae receive` on a free port and wait until it listens; what it says goes to a file."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = Path(folder) / "said.jsonl"
    words = [sys.executable, "-m", "rtae", "receive", str(port), "-o", str(Path(folder) / "heard.wav"), "-m", model]
    with said.open("wb") as file:  # a pipe nobody reads would stop it when full
        receiver = subprocess.Popen([*words, "--json"], stdout=file)
    while not said.stat().st_size:
        if receiver.poll() is not None:
            sys.exit(receiver.returncode)
        time.sleep(0.05)
    return receiver, port, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path)
    parser.add_argument("-m", "--model", default="codec")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--loss", type=float, default=0.05, help="share of the packets (%(default)s)")
    parser.add_argument("--jitter-ms", type=float, default=40.0, help="longest time in the network (%(default)s)")
    parser.add_argument("--ppm", type=float, default=100.0, help="what the sender's clock loses (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speech = long_recording(arguments.speech, arguments.seconds, folder)
        receiver, port, said = receiving(arguments.model, folder)
        relay = Relay(port, arguments.loss, 1e-3 * arguments.jitter_ms, arguments.ppm, arguments.seed)
        words = ["send", f"127.0.0.1:{relay.port}", "-i", str(speech), "-m", arguments.model]
        sender = subprocess.Popen([sys.executable, "-m", "rtae", *words], stdout=subprocess.DEVNULL)
        began_s = time.monotonic()
        while receiver.poll() is None and time.monotonic() < began_s + arguments.seconds + 30:
            relay.step(began_s)
        sender.wait(10)
        receiver.wait(10)
        lines = [json.loads(line) for line in said.read_text().splitlines()]
    rows = [line for line in lines if line["type"] in ("stats", "stopped") and line["streams"]]
    settled, end = rows[1:], rows[-1]
    away = np.array([row["latency_ms"] - row["target_ms"] for row in settled[:-1]])
    dry = end["underruns"] - settled[0]["underruns"]
    print(f"relay: {relay.packets} packets, {relay.lost} lost, {relay.garbage} of garbage beside them")
    print(f"receiver: {end['received']} received, {end['lost']} lost, {end['garbage'] + end['foreign']} ignored, "
          f"{end['late']} late, clocks {end['drift_ppm']:+.0f} ppm")  # fmt: skip
    print(f"latency {np.median([row['latency_ms'] for row in settled]):.0f} ms, from its target "
          f"{away.min():+.1f} to {away.max():+.1f} ms over {len(away)} seconds")  # fmt: skip
    print(f"under-runs after the first second: {dry}")
    return int(dry > 0 or np.abs(away).max() > TOLERANCE_MS)


if __name__ == "__main__":
    sys.exit(main())
