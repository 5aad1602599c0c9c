"""Ten simulated minutes of two clocks that differ: flows, pitch, fill.

python benchmarks/live_drift.py [--minutes 10] [--ppm 200]
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from rtae.drift import ClockBridge

RATE, BLOCK, TONE_HZ = 48_000, 128, 1_000
QUIET_S = 5.0
"""Beginning that does not count."""


def run(ppm: float, minutes: float) -> dict[str, float]:
    bridge = ClockBridge(1, RATE, RATE, BLOCK, BLOCK)
    input_period, output_period = BLOCK / (RATE * (1 + 1e-6 * ppm)), BLOCK / RATE
    out = np.zeros((round(60 * minutes / output_period), BLOCK, 1), np.float32)
    pushed = early = 0
    for index in range(len(out)):
        now = (index + 1.3) * output_period
        while (pushed + 1) * input_period <= now:
            at = np.arange(pushed * BLOCK, (pushed + 1) * BLOCK)
            bridge.push(
                (0.5 * np.sin(2 * np.pi * TONE_HZ / RATE * at)).astype(np.float32)[:, None], pushed * input_period
            )
            bridge.pump()
            pushed += 1
        bridge.pull(out[index], now)
        if now < QUIET_S:
            early = bridge.underflows + bridge.overflows
    carrier = np.exp(-2j * np.pi * TONE_HZ / RATE * np.arange(out.size))
    windows = (out.reshape(-1) * carrier)[round(QUIET_S * RATE) :]
    windows = windows[: len(windows) // (RATE // 2) * (RATE // 2)].reshape(-1, RATE // 2).mean(axis=1)
    pitch_ppm = 1e6 * np.diff(np.unwrap(np.angle(windows))) / np.pi / TONE_HZ
    return {
        "ppm": ppm,
        "learned_ppm": round(bridge.ppm, 2),
        "flows_after_5_s": bridge.underflows + bridge.overflows - early,
        "largest_pitch_error_ppm": round(float(np.abs(pitch_ppm).max()), 1),
        "bridge_latency_ms": round(1e3 * bridge.latency / RATE, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--ppm", type=float, default=200.0)
    arguments = parser.parse_args()
    for ppm in (arguments.ppm, -arguments.ppm, 0.0):
        print(json.dumps(run(ppm, arguments.minutes)))


if __name__ == "__main__":
    main()
