"""What a load does to a live stream is seen, and what it does not do is not."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
from types import SimpleNamespace

import pytest

from rtae.bench.load import LOADS
from rtae.bench.machine import resident_mib
from rtae.bench.stress import endure, to_text


class Stream:
    """A stream that plays dry signal at given times, in seconds from its start."""

    models = ("a",)
    active = True

    def __init__(self, *dry):
        self._dry = dry

    def __enter__(self):
        self._start = time.monotonic()
        return self

    def __exit__(self, *details):
        pass

    @property
    def stats(self):
        at = time.monotonic() - self._start
        on_dry = any(begin <= at < end for begin, end in self._dry)
        late = sum(begin <= at for begin, _ in self._dry)
        return SimpleNamespace(
            blocks=int(100 * at), late=late, xruns=0, failures=0, on_dry=on_dry, level=0, hop_p99_ms=1.0, hop_max_ms=2.0
        )


def test_outages_and_recovery_are_timed():
    found = endure(lambda: Stream((0.3, 0.5), (0.9, 1.4)), "idle", 1.0, 1.5)
    assert found.outages == 2 and found.late == 2 and found.blocks > 50
    # The lower bounds hold on any machine, the upper ones leave it a stall.
    assert 400 <= found.longest_outage_ms + 100 and 300 <= found.recovery_ms <= 700
    assert "| idle |" in to_text([found])


def test_a_short_return_is_no_recovery():
    # Processed signal for 50 ms at 1.2 s, for good at 1.5 s; the load ends at 1.0 s.
    found = endure(lambda: Stream((0.9, 1.2), (1.25, 1.5)), "idle", 1.0, 1.5)
    assert 400 <= found.recovery_ms <= 800


def test_a_stream_that_stays_dry_has_not_recovered():
    found = endure(lambda: Stream((0.1, 99.0)), "idle", 0.3, 0.5)
    assert found.recovery_ms is None and found.outages == 1
    assert "never" in to_text([found])


def test_a_stream_that_is_never_dry_has_nothing_to_recover_from():
    found = endure(lambda: Stream(), "idle", 0.3, 0.5)
    assert (found.recovery_ms, found.outages, found.longest_outage_ms) == (0.0, 0, 0.0)


def happens(condition):
    """Whether a condition comes true, however slow the machine is."""
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("load", ["interpreter", "garbage", "memory"])
def test_a_load_takes_processor_time_and_ends(load):
    threads, before = threading.active_count(), time.process_time()
    with LOADS[load]():
        assert happens(lambda: time.process_time() - before > 0.3)
    assert threading.active_count() == threads


def test_every_core_gets_a_process_that_computes():
    with LOADS["cpu"]():
        hogs = multiprocessing.active_children()
        assert len(hogs) == os.cpu_count() and all(hog.is_alive() for hog in hogs)
        before = os.times().children_user
        time.sleep(0.3)
    assert not multiprocessing.active_children()
    assert os.times().children_user > before  # children count once they have ended


def test_garbage_is_collected_again_and_again():
    with LOADS["garbage"]():
        before = gc.get_stats()[2]["collections"]
        assert happens(lambda: gc.get_stats()[2]["collections"] - before >= 3)


def test_memory_is_taken_and_given_back():
    before = resident_mib()
    with LOADS["memory"]():
        assert happens(lambda: resident_mib() - before > 30)
        high = resident_mib()
        assert happens(lambda: resident_mib() < high - 15)
    assert resident_mib() - before < 30
