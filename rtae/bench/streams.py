"""How many real-time streams a core carries: one by one, and batched in one ``run``."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from rtae.bench.systems import feed, stepper
from rtae.model import Model

BATCHES = (1, 2, 4, 8, 16, 32)
GOAL = 2.0
"""Batching should carry at least this many times as many streams."""
_TURNS, _TURN = 12, 10
_CORES_S = 1.0


def streams_per_core(path: Path) -> dict[str, Any]:
    """Count the streams of a model that one core and all cores carry.

    Time is the processor's own of the running thread, so that other programs on the machine do not count; the batch
    sizes take turns. A batch counts only if it is done within one hop.

    Returns
    -------
    dict
        ``one_by_one`` and ``batched`` streams of one core; ``gain``; ``best_batch``; ``all_cores``, with one thread a
        core, as measured by the wall clock; ``stream_us`` by batch size; ``reason`` if the gain misses its goal.
    """
    models = {size: Model(path, streams=size) for size in BATCHES}
    spec = models[1].spec
    steps = {size: stepper(model) for size, model in models.items()}
    frames = {size: feed(path, size, 1)[0] for size in BATCHES}
    seconds: dict[int, list[float]] = {size: [] for size in BATCHES}
    for turn in range(_TURNS + 1):
        for size, step in steps.items():
            for _ in range(_TURN):
                begin = time.thread_time()
                step(frames[size])
                if turn:  # the first warms up
                    seconds[size].append(time.thread_time() - begin)
    period = spec.hop / spec.sample_rate
    each = {size: float(np.median(values)) / size for size, values in seconds.items()}
    fitting = [size for size in BATCHES if each[size] * size <= period]
    best = min(fitting, key=lambda size: each[size], default=1)
    gain = each[1] / each[best]
    result: dict[str, Any] = {
        "one_by_one": int(period / each[1]),
        "batched": int(period / each[best]),
        "gain": gain,
        "best_batch": best,
        "all_cores": _all_cores(path, best, period),
        "cores": os.cpu_count() or 1,
        "stream_us": {str(size): 1e6 * value for size, value in each.items()},
    }
    if gain < GOAL:
        result["reason"] = _why(each, fitting)
    return result


def _why(each: dict[int, float], fitting: list[int]) -> str:
    missed = [size for size in BATCHES if size not in fitting]
    if missed and min(missed, default=0) <= 4:
        return f"a batch of {min(missed)} does not end within a hop on this core"
    floor = min(each, key=lambda size: each[size])
    return (
        f"a stream costs {1e6 * each[1]:.0f} us alone and {1e6 * each[floor]:.0f} us in a batch of {floor}: the cost "
        "is arithmetic and memory, which batching does not save, more than calls, which it does"
    )


def _all_cores(path: Path, batch: int, period_s: float) -> int:
    """Streams of all cores together: a thread a core, each with a model of its own."""
    cores = os.cpu_count() or 1
    counts = [0] * cores
    steps = [stepper(Model(path, streams=batch)) for _ in range(cores)]
    frame = feed(path, batch, 1)[0]
    ready, ended = threading.Barrier(cores + 1), threading.Event()

    def run(index: int) -> None:
        ready.wait()
        while not ended.is_set():
            steps[index](frame)
            counts[index] += 1

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(cores)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = time.perf_counter()
    ended.wait(_CORES_S)
    ended.set()
    for thread in threads:
        thread.join()
    return int(sum(counts) * batch * period_s / (time.perf_counter() - begin))
