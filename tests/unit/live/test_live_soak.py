"""Half an hour through the live engine as fast as it goes: nothing drifts, nothing grows, nothing is lost."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from pathlib import Path

import numpy as np

from rtae.live import FileBackend, LiveStream
from rtae.processor import Delay

RATE, BLOCK, DELAY, SECONDS = 48_000, 4_800, 333, 30 * 60


def test_half_an_hour_keeps_latency_to_the_sample_counts_and_memory():
    print("seed 11")
    generator = np.random.default_rng(11)
    tail = np.zeros((DELAY + BLOCK, 1), np.float32)
    sent = [tail]
    checked, sizes = [0], []

    def source():
        for second in range(SECONDS):
            audio = generator.uniform(-0.5, 0.5, (RATE, 1)).astype(np.float32)
            sent.append(audio)
            if second in (60, SECONDS - 1):
                gc.collect()
                sizes.append((tracemalloc.get_traced_memory()[0], resident_bytes()))
            yield audio
        sent.append(np.zeros((BLOCK, 1), np.float32))  # the clock fills its last block up

    def sink(block):
        # What comes out is what went in, DELAY + BLOCK samples earlier.
        while len(sent[0]) < len(block) and len(sent) > 1:
            sent[0:2] = [np.concatenate(sent[0:2])]
        if not np.array_equal(block, sent[0][: len(block)]):
            checked.append(-1)
        sent[0] = sent[0][len(block) :]
        checked[0] += len(block)

    tracemalloc.start()
    try:
        clock = FileBackend(source(), RATE, realtime=False, sink=sink)
        with LiveStream(Delay(DELAY), backend=clock, block_size=BLOCK) as stream:
            assert stream.wait(300.0)
            stats, latency = stream.stats, stream.latency.engine
    finally:
        tracemalloc.stop()
    assert latency == DELAY + BLOCK
    assert checked == [SECONDS * RATE + BLOCK * -(-latency // BLOCK)]
    assert stats.blocks * BLOCK == checked[0]
    assert (stats.late, stats.skipped, stats.xruns, stats.callback_errors) == (0, 0, 0, 0)
    # One second of audio is 192 kB and may be in flight at either measurement.
    (traced_before, before), (traced_after, after) = sizes
    assert traced_after - traced_before < 500_000
    assert after - before < 2 << 20


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
