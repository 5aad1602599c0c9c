"""Which operators cost what: the profile of onnxruntime, summed up."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtae.bench.driver import Array, Driver, open_session
from rtae.bench.layout import Layout

_CONTAINERS = ("If", "Loop", "Scan")
"""Operators whose time is that of the nodes in them, which are counted already."""


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
        Time of all of them in one step, profiling included: of each node the mean of the middle half of its runs,
        so that what else the machine did does not count.
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
    runs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        if event["args"]["op_name"] not in _CONTAINERS:
            runs[event["args"]["op_name"], event["name"]].append(event["dur"])
    time: dict[str, float] = defaultdict(float)
    nodes: dict[str, int] = defaultdict(int)
    for (kind, _), durations in runs.items():
        time[kind] += _middle(durations) * len(durations) / len(frames)
        nodes[kind] += 1
    whole = sum(time.values()) or 1.0
    return [
        OperatorCost(kind, nodes[kind], spent, spent / whole)
        for kind, spent in sorted(time.items(), key=lambda item: -item[1])
    ]


def _middle(values: Sequence[float]) -> float:
    """Mean of the middle half: unlike the median it resolves less than the profiler's microsecond."""
    inner = sorted(values)[len(values) // 4 : len(values) - len(values) // 4]
    return sum(inner) / len(inner)
