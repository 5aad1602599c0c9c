"""A live stream on a JACK dummy server beside busy hosts and beside CPU hogs.

    python benchmarks/live_stress.py MODEL [--seconds 60] [--period 128]

Needs jackd and JACK-Client; uses the server and harness of the end-to-end tests. Prints one line of JSON a case: late
blocks and xruns beside an idle host, a pure-Python loop and a collecting one; then, beside as many CPU hogs as there
are cores, the longest run of zeros in the output and the latency before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LAB = Path(__file__).resolve().parent.parent / "tests" / "e2e" / "live"
sys.path.insert(0, str(LAB))

from jack_lab import RATE, JackServer, LiveCommand, best_delay, end  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--period", type=int, default=128)
    arguments = parser.parse_args()
    server = JackServer(Path(tempfile.mkdtemp()), arguments.period)
    try:
        host = [sys.executable, str(LAB / "host_program.py"), arguments.model, str(arguments.seconds)]
        result = subprocess.run(
            [*host, "idle", "loop", "collect"], env=server.environment, stdout=subprocess.PIPE, text=True, check=True
        )
        print("\n".join(result.stdout.splitlines()[1:]))
        print(json.dumps(beside_hogs(server, arguments.model, arguments.seconds / 2)))
    finally:
        server.close()


def beside_hogs(server: JackServer, model: str, seconds: float) -> dict[str, object]:
    quiet = 5.0
    audio = np.random.default_rng(0).uniform(0.01, 0.5, round((seconds + 2 * quiet) * RATE)).astype(np.float32)

    def load() -> None:
        time.sleep(quiet)
        hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
        time.sleep(seconds)
        for hog in hogs:
            end(hog)

    with LiveCommand(server, "--model", model, "--input", "system, jack", "--output", "system, jack") as live:
        heard = server.play(audio, load)
        stats = live.finish()[-1]
    latency = live.started["latency_samples"]
    inner = heard[2 * latency : len(audio)]
    # Bounds of each run of zeros: where "is zero" switches on and off.
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (inner == 0).astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    delays = best_delay(heard, audio, 4_000)
    return {
        "hogs": os.cpu_count(),
        "late": stats["late"],
        "xruns": stats["xruns"],
        "longest_gap_ms": round(1e3 * int(runs.max(initial=0)) / RATE, 2),
        "gaps_over_1_ms": int((runs > RATE // 1000).sum()),
        "declared": latency,
        "latency_before": delays[:5],
        "latency_after": delays[-5:],
    }


if __name__ == "__main__":
    main()
