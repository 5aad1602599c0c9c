"""What the engine adds around the model: Denoiser.process at block = hop beside the bare session, in one run.

python benchmarks/engine_overhead.py [--model NAME_OR_PATH] [--hops 20000] [-o overhead.json]

The ways take turns every few hops, so that whatever else the machine does falls on all alike; ratios are of medians.
Exit status 1 if the engine adds more than the bar to a plain session.run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rtae import Denoiser, RtaeError
from rtae.evaluate.environment import describe
from rtae.model import NO_LIMIT_DB, Model
from rtae.shipped import find

BAR = 0.15
"""Most the engine may add at the model's rate, as a part of session.run."""

TURN = 50
"""Hops until the next way has its turn."""

Way = Callable[[np.ndarray], object]


def bare_run(model: Model) -> Way:
    """Run the session by a dictionary, handing the state back: what a plain host of the model file does."""
    session = model._session  # the very session, with the very options, so that nothing else differs
    feed = {
        "audio": np.zeros((1, model.spec.hop), np.float32),
        "state": np.zeros((1, model.spec.state_size), np.float32),
        "attenuation_limit_db": np.full((1, 1), NO_LIMIT_DB, np.float32),
    }
    names = ["audio_out", "state_out", "speech"]

    def run(hop: np.ndarray) -> np.ndarray:
        feed["audio"] = hop.T
        audio, feed["state"], _ = session.run(names, feed)
        return audio

    return run


def bare_binding(model: Model) -> Way:
    """Run the session by its two bindings and nothing else: the least any engine can take."""

    def run(hop: np.ndarray) -> None:
        model._advance()

    return run


def engine(denoiser: Denoiser, out: np.ndarray) -> Way:
    def run(hop: np.ndarray) -> np.ndarray:
        return denoiser.process(hop, out)

    return run


def measure(ways: dict[str, Way], hops: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Nanoseconds of every hop of every way, the first turns left out."""
    times: dict[str, list[int]] = {name: [] for name in ways}
    for start in range(0, len(hops), TURN):
        for name, way in ways.items():
            for hop in hops[start : start + TURN]:
                begin = time.perf_counter_ns()
                way(hop)
                times[name].append(time.perf_counter_ns() - begin)
    return {name: np.array(values[10 * TURN :]) for name, values in times.items()}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="denoise", help="name of a shipped model or path (default: denoise)")
    parser.add_argument("--hops", type=int, default=20_000, help="hops to measure (default: 20000)")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args(argv)

    path = find(options.model)
    spec = Model(path).spec
    common = {"sample_rate": spec.sample_rate}
    other_rate = 44_100 if spec.sample_rate != 44_100 else 48_000
    block = spec.hop * other_rate // spec.sample_rate
    out = np.empty((spec.hop, 1), np.float32)
    ways = {
        "session.run": bare_run(Model(path)),
        "run_with_iobinding": bare_binding(Model(path)),
        "block_size=hop": engine(Denoiser(path, block_size=spec.hop, **common), out),
        "any block size": engine(Denoiser(path, **common), out),
    }
    resampled, short = Denoiser(path, sample_rate=other_rate), np.empty((block, 1), np.float32)
    ways[f"any, at {other_rate} Hz"] = lambda hop: resampled.process(hop[:block], short)
    random = np.random.default_rng(0)
    hops = list((0.1 * random.standard_normal((options.hops + 10 * TURN, spec.hop, 1))).astype(np.float32))
    times = measure(ways, hops)

    deadline = 1e9 * spec.hop / spec.sample_rate
    plain = float(np.median(times["session.run"]))
    rows = []
    for name, values in times.items():
        marks = np.percentile(values, [50, 95, 99, 99.9, 100]) / 1e3
        added = float(np.median(values)) / plain - 1
        rows.append({"way": name, "us": [round(float(mark), 1) for mark in marks], "added": round(added, 4)})
        rows[-1]["deadline_share"] = round(float(np.median(values)) / deadline, 4)
    print(f"model {spec.name}, hop {spec.hop} at {spec.sample_rate} Hz, {options.hops} hops, one thread\n")
    print(
        "| way | p50 us | p95 | p99 | p99.9 | max | p50 / hop | beside session.run |\n|---|---|---|---|---|---|---|---|"
    )
    for row in rows:
        marks_text = " | ".join(f"{mark:.1f}" for mark in row["us"])
        print(f"| {row['way']} | {marks_text} | {row['deadline_share']:.1%} | {row['added']:+.1%} |")
    if options.output:
        result = {"model": json.loads(spec.to_json()), "hops": options.hops, "rows": rows, "environment": describe()}
        options.output.write_text(json.dumps(result, indent=2) + "\n")
    worst = max(row["added"] for row in rows if row["way"] in ("block_size=hop", "any block size"))
    print(f"\nThe engine adds {worst:+.1%} to session.run; the bar is {BAR:+.0%}.")
    return 0 if worst <= BAR else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtaeError as error:
        sys.exit(f"engine_overhead: {error}")
