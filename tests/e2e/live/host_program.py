"""Program: a host with a live stream in it, and things that keep its interpreter busy.

    python host_program.py MODEL SECONDS HABIT...

Takes up each habit (idle, loop, collect) for the seconds given, one after the other. Prints the engine's process
number, then a line of JSON a habit: what the stream counted meanwhile.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time

from rtae.live import LiveStream

COUNTED = ("blocks", "late", "xruns")


def idle(until: float) -> None:
    time.sleep(until - time.monotonic())


def loop(until: float) -> None:
    while time.monotonic() < until:
        sum(range(1_000))


def collect(until: float) -> None:
    while time.monotonic() < until:
        gc.collect()


def main(model: str, seconds: float, habits: list[str]) -> None:
    kept = [[index] for index in range(300_000)]  # for the collector to look at, again and again
    with LiveStream(model, input="system, jack", output="system, jack", block_size=128) as stream:
        print(stream._runner.pid, flush=True)
        for habit in habits:
            before = stream.stats.as_dict()
            work = {"idle": idle, "loop": loop, "collect": collect}[habit]
            # A daemon: an interrupted host does not wait for the end of its habit.
            busy = threading.Thread(target=work, args=(time.monotonic() + seconds,), daemon=True)
            busy.start()
            busy.join()
            after = stream.stats.as_dict()
            counted = {name: after[name] - before[name] for name in COUNTED}
            print(json.dumps({"habit": habit, **counted, "load": after["load"]}), flush=True)
    del kept


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
