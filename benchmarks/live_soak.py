"""Simulated hours of a live stream: memory, latency and counters.

    python benchmarks/live_soak.py [--minutes 30] [--speed 20] [--model MODEL]

Plays noise through the engine at `speed` times real time. Without a model the processor is a plain delay, and every
output sample is compared with its input; with one, the latency of each minute is measured by correlation.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rtae.live import FileBackend, LiveStream
from rtae.processor import Delay

RATE, BLOCK, DELAY = 48_000, 128, 333


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--speed", type=float, default=20.0)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    second: list[np.ndarray] = []
    memory: list[float] = []
    delays: list[int] = []
    played: list[np.ndarray] = []
    began = time.perf_counter()

    def source() -> Iterator[np.ndarray]:
        for index in range(60 * arguments.minutes):
            # One probe second at the start of each minute; what comes out in the next two is searched for it.
            if index % 60 == 0:
                memory.append(resident_mib())
                second[:] = [generator.uniform(-0.3, 0.3, (RATE, 1)).astype(np.float32)]
                played.clear()
            if index % 60 == 2:
                delays.append(delay_of(np.concatenate(played)[:, 0], second[0][:, 0]))
            yield second[0] if index % 60 == 0 else generator.uniform(-0.3, 0.3, (RATE, 1)).astype(np.float32)
            time.sleep(max(0.0, began + (index + 1) / arguments.speed - time.perf_counter()))

    def sink(block: np.ndarray) -> None:
        if len(played) * BLOCK < 2 * RATE:
            played.append(block.copy())

    clock = FileBackend(source(), RATE, realtime=False, sink=sink)
    processor = arguments.model or Delay(DELAY)
    with LiveStream(processor, backend=clock, block_size=BLOCK) as stream:
        stream.wait()
        stats, latency = stream.stats, stream.latency.engine
    moved = 60 * arguments.minutes * RATE + BLOCK * -(-latency // BLOCK)
    print(
        json.dumps(
            {
                "minutes": arguments.minutes,
                "speed": round(60 * arguments.minutes / (time.perf_counter() - began), 1),
                "declared_latency": latency,
                "measured_latency": sorted(set(delays)),
                "memory_mib_after_1_min": round(memory[min(1, len(memory) - 1)], 2),
                "memory_mib_at_the_end": round(memory[-1], 2),
                "samples_in": moved,
                "samples_out": stats.blocks * BLOCK,
                "late": stats.late,
                "skipped": stats.skipped,
            }
        )
    )


def delay_of(heard: np.ndarray, sent: np.ndarray) -> int:
    """Delay of `sent` in `heard`; the pieces around it are other noise. `heard` begins up to a block early."""
    size = 1 << (len(heard) + len(sent)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sent, size))
    return int(np.argmax(np.fft.irfft(product, size)[: len(heard)]))


if __name__ == "__main__":
    main()
