"""What a desktop does to a program: loads to measure under, as context managers."""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing.synchronize import Event

_CHUNK_MIB = 16


@contextmanager
def cpu_hogs() -> Iterator[None]:
    """Keep every core busy with a process that computes."""
    context = multiprocessing.get_context("spawn")
    started = [context.Event() for _ in range(os.cpu_count() or 1)]
    hogs = [context.Process(target=_burn, args=(event,), daemon=True) for event in started]
    for hog in hogs:
        hog.start()
    try:
        for event in started:
            event.wait(30)
        yield
    finally:
        for hog in hogs:
            hog.terminate()
        for hog in hogs:
            hog.join()


@contextmanager
def busy_interpreter() -> Iterator[None]:
    """Keep this interpreter's lock busy with a thread that computes in Python."""
    with _thread(lambda: sum(range(1000))):
        yield


@contextmanager
def garbage() -> Iterator[None]:
    """Keep the garbage collector busy with cycles among a million live objects."""
    alive = [[index] for index in range(1_000_000)]

    def churn() -> None:
        for _ in range(100):
            first: list[object] = []
            second: list[object] = [first]
            first.append(second)
        gc.collect()

    with _thread(churn):
        yield
    alive.clear()


@contextmanager
def memory_pressure() -> Iterator[None]:
    """Take and give back memory all the time, every page of it touched."""

    def take() -> None:
        # Mapped, not allocated: the C library keeps what it is given back for the next time.
        held = [mmap.mmap(-1, _CHUNK_MIB << 20) for _ in range(4)]
        for piece in held:
            piece[:: mmap.PAGESIZE] = b"\x01" * len(range(0, len(piece), mmap.PAGESIZE))
        for piece in held:
            piece.close()

    with _thread(take):
        yield


LOADS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "idle": nullcontext,
    "cpu": cpu_hogs,
    "interpreter": busy_interpreter,
    "garbage": garbage,
    "memory": memory_pressure,
}
"""Name -> load. ``idle`` adds nothing to what the machine does anyway."""


@contextmanager
def _thread(work: Callable[[], object]) -> Iterator[None]:
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            work()

    thread = threading.Thread(target=run, name="rtae-load", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _burn(started: Event) -> None:
    started.set()
    while True:
        sum(range(10_000))
