"""Resident memory of a denoiser over minutes of audio: it must not grow. Linux (reads /proc/self/statm).

python benchmarks/memory.py [--model NAME_OR_PATH] [--minutes 10] [--sample-rate 44100]

Exit status 1 if memory after the first minute grows by more than the bar.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from rtae import Denoiser, RtaeError

BAR_MIB = 1.0


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="denoise", help="name of a shipped model or path (default: denoise)")
    parser.add_argument("--minutes", type=int, default=10, help="minutes of audio, at least 2 (default: 10)")
    parser.add_argument("--sample-rate", type=int, default=44_100, help="hertz; by default one that is resampled")
    options = parser.parse_args(argv)
    if options.minutes < 2:
        parser.error(f"--minutes is {options.minutes}; at least 2 show growth")

    denoiser = Denoiser(options.model, sample_rate=options.sample_rate, channels=2)
    random = np.random.default_rng(0)
    second = (0.1 * random.standard_normal((options.sample_rate, 2))).astype(np.float32)
    sizes = random.integers(1, 1_000, 200)
    levels = []
    for minute in range(options.minutes):
        for _ in range(60):
            start, turn = 0, 0
            while start < len(second):
                size = int(sizes[turn % len(sizes)])
                denoiser.process(second[start : start + size])
                start, turn = start + size, turn + 1
        levels.append(resident_mib())
        print(f"minute {minute + 1:3}: {levels[-1]:.2f} MiB")
    growth = max(levels[1:]) - levels[0]
    print(f"growth after the first minute {growth:.2f} MiB; the bar is {BAR_MIB:g} MiB")
    return 0 if growth <= BAR_MIB else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtaeError as error:
        sys.exit(f"memory: {error}")
