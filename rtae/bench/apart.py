"""Program: what a model does in a process of its own, whose sessions do not flush denormals.

python -m rtae.bench.apart MODEL.onnx FRAMES.npy OUTPUTS.npy < layout.json

Prints how a dying signal fares as JSON, and leaves what the model makes of the frames in OUTPUTS.npy. A process of
its own, because onnxruntime sets the processor's flag for the thread of the first session that asks, and seeds its
generators once in a process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable

import numpy as np

from rtae.bench.driver import Array, Driver, open_session
from rtae.bench.layout import make_layout

TINY = 1e-39
"""Smaller than the smallest normal float32, 1.18e-38."""

SPEECH_STEPS, DYING_STEPS = 150, 900
RUNS = 3
_WINDOW = 25
_EXPONENT, _FRACTION = 0x7F800000, 0x007FFFFF


def denormal_share(array: Array) -> float:
    """Share of denormal numbers in a float32 array, whatever the processor makes of them."""
    if array.dtype != np.float32 or not array.size:
        return 0.0
    bits = np.ascontiguousarray(array).view(np.uint32)
    return float(np.mean(((bits & _EXPONENT) == 0) & ((bits & _FRACTION) != 0)))


def dying(driver: Driver) -> dict[str, float]:
    """Return what happens when a signal dies away.

    Silence and a denormal constant follow noise for as long as it takes a state that is multiplied by 0.9 to pass
    through the denormals (87 to 103 nepers below one). What is slow with denormals is so every time; a stretch in which
    the machine was busy with other things is not, and counts as it was at best.

    Returns
    -------
    dict
        ``slow_down``: slowest stretch over the median of noise; ``share``: largest share of denormal numbers that a
        state or the output holds; ``steps``: number of steps in which one holds more than a hundredth.
    """
    runs = [_dying_once(driver) for _ in range(RUNS)]
    share = runs[0][1]
    return {
        "slow_down": float(np.min([stretches for stretches, _ in runs], axis=0).max()),
        "share": float(share.max()),
        "steps": float(np.sum(share > 0.01)),
    }


def _dying_once(driver: Driver) -> tuple[np.ndarray, np.ndarray]:
    """Return (levels, stretches): how long steps took, 1 as with noise, and (steps,): shares of denormal numbers."""
    layout = driver.layout
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, SPEECH_STEPS * layout.hop)).astype(np.float32)
    speech = driver.frames(noise)
    stretches, shares = [], []
    for level in (0.0, TINY):
        driver.reset()
        usual = float(np.median(_watch(driver, speech)[0][SPEECH_STEPS // 3 :]))
        silent = driver.frames(np.full((1, 8 * layout.hop), level, np.float32))[-1]
        seconds, found = _watch(driver, [silent] * DYING_STEPS)
        stretches.append(np.median(seconds.reshape(-1, _WINDOW), axis=1) / usual)
        if not level:  # what goes in is no fault of the model's, and may come out again
            shares.append(found)
    return np.array(stretches), np.concatenate(shares)


def processor_slow_down() -> float:
    """By how much denormal numbers slow this processor's multiplication down."""
    out = np.empty(1 << 16, np.float32)
    fastest = []
    for level in (1.0, TINY):
        numbers, times = np.full_like(out, level), []
        for _ in range(50):
            begin = time.thread_time()
            np.multiply(numbers, np.float32(0.9), out)
            times.append(time.thread_time() - begin)
        fastest.append(min(times))
    return fastest[1] / fastest[0]


def _watch(driver: Driver, frames: Iterable[Array]) -> tuple[np.ndarray, np.ndarray]:
    """Return seconds of each step, and the largest share of denormal numbers in a state after it.

    The states are read after every signal's steps: reading them makes the next step of a small model slower.
    """
    seconds, shares = [], []
    for frame in frames:
        begin = time.thread_time()
        driver.step(frame)
        seconds.append(time.thread_time() - begin)
        states = [driver.state(name) for name, _ in driver.layout.states]
        shares.append(max((denormal_share(state) for state in states), default=0.0))
    return np.array(seconds), np.array(shares)


def main(model: str, frames: str, outputs: str) -> None:
    """Look, and report."""
    layout = make_layout(json.load(sys.stdin))
    driver = Driver(open_session(model, flush_denormals=False), layout)
    np.save(outputs, driver.run(np.load(frames)))
    print(json.dumps(dying(driver) | {"processor": processor_slow_down()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
