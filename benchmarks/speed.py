"""Speed benchmark: the time of a hop beside others', streams per core, and whether what comes out is right.

python benchmarks/speed.py [MODEL ...] [--peers rnnoise webrtc-ns ...] [--hops 3000] [-o speed.json]

One run, one thread, the machine otherwise as it is. "plain loop" is the bench's time of a step over that of a plain
onnxruntime loop; it should be between 0.9 and 1.1. Two columns hold the result: "delay" is the declared delay and what
recorded speech through the system shows, in samples; "error" is the largest difference from that loop, relative to the
peak. Exit status 1 if a result is wrong. `rtae bench` has loads, block sizes, threads and a report with pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from rtae import RtaeError
from rtae.bench import measure_delay
from rtae.bench.hops import measuring_overhead_us
from rtae.bench.report import table
from rtae.bench.speed import Extent, measure_model, measure_system
from rtae.cli.bench import way_of
from rtae.evaluate.environment import describe
from rtae.evaluate.peers import make_peer
from rtae.evaluate.resampling import resample
from rtae.shipped import find

BAR = 1e-4
"""Largest error, relative to the peak."""

SPEECH, SECONDS = "dataset-voice-kath--kathleen-49.opus", 6


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", default=["denoise"], help="shipped models or model files")
    parser.add_argument("--peers", nargs="+", default=[], help="others beside, as for rtae eval")
    parser.add_argument("--hops", type=int, default=3000, help="hops of each measurement (default: 3000)")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args(argv)

    extent = Extent(hops=options.hops, loads=("idle",), variants=False)
    results = []
    for name in options.models:
        path = find(name)
        kind, make = way_of(path)
        results.append(measure_system(lambda make=make, path=path: make(path), extent))
        if kind is not None:
            results[-1] |= measure_model(path, extent)
        results[-1] |= delay(lambda make=make, path=path: make(path))
    for name in options.peers:
        results.append(measure_system(lambda name=name: make_peer(name), extent))
        results[-1] |= delay(lambda name=name: make_peer(name))

    heading = ["system", "hop ms", "p50 ms", "p99 ms", "p50 / hop", "streams a core", "batched"]
    heading += ["plain loop", "delay", "error"]
    print(table(heading, [row(item) for item in results]))
    print(f"\nTiming a hop adds {measuring_overhead_us():.2f} us to it.")
    reasons = [
        f"{item['name']}: {item['streams']['reason']}" for item in results if "reason" in item.get("streams", {})
    ]
    for reason in reasons:
        print(f"Why no more streams in a batch: {reason}.")
    if options.output:
        options.output.write_text(json.dumps({"systems": results, "environment": describe()}, indent=2) + "\n")
    return 0 if all(right(item) for item in results) else 1


def delay(make: Callable[[], Any]) -> dict[str, float | None]:
    """Declared and measured delay of a system from signal to signal; None where it has none."""
    system = make()
    declared = getattr(system, "delay", None)
    if declared is None:
        return {"delay": None, "delay_measured": None}
    # Real speech: what imitates it is noise to some systems.
    with as_file(files("rtae") / "assets" / "speech" / SPEECH) as path:
        speech, rate = soundfile.read(path, dtype="float32")
    probe = np.asarray(resample(speech[: SECONDS * rate], rate, system.sample_rate), np.float32)
    hops = probe[: len(probe) // system.hop * system.hop].reshape(-1, system.hop)
    heard = np.concatenate([system.step(hop).copy() for hop in hops])
    return {"delay": declared, "delay_measured": measure_delay(probe, heard, system.sample_rate).delay_samples}


def right(item: dict[str, Any]) -> bool:
    late = item["delay"] is not None and (
        item["delay_measured"] is None or abs(item["delay_measured"] - item["delay"]) > 0.5
    )
    return not late and item.get("error", 0.0) <= BAR


def row(item: dict[str, Any]) -> list[str]:
    times, streams = item["loads"]["idle"], item.get("streams")
    measured = item["delay_measured"]
    return [
        item["name"],
        f"{times['deadline_ms']:.2f}",
        f"{times['p50_ms']:.3f}",
        f"{times['p99_ms']:.3f}",
        f"{times['deadline_share_p50']:.1%}",
        str(streams["one_by_one"]) if streams else "",
        f"{streams['batched']} (by {streams['best_batch']})" if streams else "",
        f"{item['agreement']:.2f}" if "agreement" in item else "",
        "" if item["delay"] is None else f"{item['delay']}, is {'none' if measured is None else f'{measured:.2f}'}",
        f"{item['error']:.0e}" if "error" in item else "",
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtaeError as error:
        sys.exit(f"speed: {error}")
