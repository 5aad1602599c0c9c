"""Program: a host with a live stream in it, and something that keeps its interpreter busy.

    python host_program.py MODEL idle|loop|collect SECONDS

Prints the engine's process number, then its statistics as JSON.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time

from rtae.live import LiveStream


def loop(until: float) -> None:
    while time.monotonic() < until:
        sum(range(1_000))


def collect(until: float) -> None:
    kept = [[index] for index in range(300_000)]
    while time.monotonic() < until:
        gc.collect()
    del kept


def main(model: str, habit: str, seconds: float) -> None:
    with LiveStream(model, input="system, jack", output="system, jack") as stream:
        print(stream._runner.pid, flush=True)
        until = time.monotonic() + seconds
        if habit != "idle":
            threading.Thread(target={"loop": loop, "collect": collect}[habit], args=(until,)).start()
        time.sleep(seconds)
        print(json.dumps({**stream.stats.as_dict(), "latency": stream.latency.total}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
