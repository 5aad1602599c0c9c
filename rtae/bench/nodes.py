"""Which operators cost what: the profile of onnxruntime, summed up."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from rtae.bench.driver import Array, Driver, open_session
from rtae.bench.layout import Layout


@dataclass(frozen=True)
class OperatorCost:
    """Time of one kind of operator in a step.

    Attributes
    ----------
    operator : str
        Its ONNX or onnxruntime type.
    nodes : int
        Nodes of this kind that are run, after optimisation.
    microseconds : float
        Mean time of all of them in one step, profiling included.
    share : float
        Part of the time of all nodes.
    """

    operator: str
    nodes: int
    microseconds: float
    share: float


def operator_costs(path: Path, layout: Layout, frames: Array) -> list[OperatorCost]:
    """Run frames under onnxruntime's profiler; return the costs by kind of operator, dearest first."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(path, profile=str(Path(folder) / "profile"))
        driver = Driver(session, layout)
        for frame in frames:
            driver.step(frame)
        events = json.loads(Path(session.end_profiling()).read_text())
    time: dict[str, float] = defaultdict(float)
    names: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kind = event["args"]["op_name"]
            time[kind] += event["dur"]
            names[kind].add(event["name"])
    whole = sum(time.values()) or 1.0
    return [
        OperatorCost(kind, len(names[kind]), spent / len(frames), spent / whole)
        for kind, spent in sorted(time.items(), key=lambda item: -item[1])
    ]
