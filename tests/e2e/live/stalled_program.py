"""Program: a live stream on a JACK server whose processor stalls while a load lasts, then for good.

python stalled_program.py SECONDS

Prints what ``rtae stress`` says of both, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rtae.bench.load import LOADS
from rtae.bench.stress import endure
from rtae.live import LiveStream
from rtae.processor import Delay


class Stalling(Delay):
    stalls = False

    def _process(self, frames, out):
        if self.stalls:
            time.sleep(0.2)
        super()._process(frames, out)


@contextmanager
def stall() -> Iterator[None]:
    Stalling.stalls = True
    yield
    Stalling.stalls = False


@contextmanager
def break_down() -> Iterator[None]:
    Stalling.stalls = True
    yield


def main(seconds: str) -> None:
    LOADS.update({"stall": stall, "break down": break_down})

    def make() -> LiveStream:
        return LiveStream(Stalling(100), input="system, jack", output="system, jack", latency="safe")

    print(json.dumps([endure(make, load, float(seconds), 1.5).as_dict() for load in ("stall", "break down")]))


if __name__ == "__main__":
    main(*sys.argv[1:])
