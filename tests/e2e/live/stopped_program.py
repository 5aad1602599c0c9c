"""Program: the way through a sound server and back, before and after this process was stopped for a while.

    python stopped_program.py DEVICE SECONDS

DEVICE plays into itself. Prints a line of JSON: milliseconds from a click to its return (three each time), what the
stream declares, and its events.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from rtae.live import LiveStream
from rtae.processor import StreamProcessor

PATIENCE_S = 20.0


class Clicker(StreamProcessor):
    """Clicks when it is told to and waits for the return."""

    def __init__(self) -> None:
        super().__init__(48_000, 1, 0)
        self._position = 0
        self._sent: int | None = None
        self._wanted = False
        self.returned: int | None = None

    def _process(self, frames, out) -> None:
        out[:] = 0.0
        heard = abs(frames[:, 0]) > 0.1
        if self._sent is not None and heard.any():
            self.returned, self._sent = self._position + int(heard.argmax()) - self._sent, None
        if self._wanted:
            self._sent, self._wanted = self._position, False
            out[0] = 0.5
        self._position += len(frames)

    def _reset(self) -> None:
        self._position, self._sent = 0, None

    def round_trip_ms(self) -> float | None:
        self.returned, self._wanted = None, True
        deadline = time.monotonic() + 4.0
        while self.returned is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self._sent = None
        return None if self.returned is None else self.returned / 48.0


def main(device: str, seconds: str) -> None:
    clicker = Clicker()
    with LiveStream(clicker, input=device, output=device, block_size=256, latency="safe") as stream:
        time.sleep(1.0)
        before = [clicker.round_trip_ms() for _ in range(3)]
        subprocess.run(["sh", "-c", f"kill -STOP {os.getpid()}; sleep {seconds}; kill -CONT {os.getpid()}"], check=True)
        deadline, events = time.monotonic() + PATIENCE_S, []
        while "back" not in [event.kind for event in events] and time.monotonic() < deadline:
            time.sleep(0.05)
            events += stream.events()
        time.sleep(0.5)
        after = [clicker.round_trip_ms() for _ in range(3)]
        declared = stream.latency.total_ms
    print(json.dumps({"before": before, "after": after, "declared": declared, "events": [str(e) for e in events]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
