"""The report of a benchmark: JSON of a versioned schema, Markdown, a comparison with an older one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtae.errors import ParameterError

SCHEMA, VERSION = "rtae-bench", 1
"""Name and version of the JSON document; a field is never given another meaning within a version."""

NOISE_MS = 0.005
"""Differences below this are the clock's, not the code's."""

Document = dict[str, Any]


def document(
    systems: Sequence[Mapping[str, Any]],
    budgets: Sequence[Mapping[str, Any]],
    machine: Mapping[str, Any],
    overhead_us: float,
) -> Document:
    """Put a report together; every value is ready for JSON."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": dict(machine),
        "measuring_overhead_us": overhead_us,
        "systems": [dict(system) for system in systems],
        "budgets": [dict(budget) for budget in budgets],
    }


def read_document(path: Path) -> Document:
    """Read an older report.

    Raises
    ------
    ParameterError
        If it cannot be read, is no report of ours, or of a version this program does not know.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"cannot read {path}: {error.strerror}; name a JSON report of 'rtae bench'") from None
    except ValueError:
        raise ParameterError(f"{path} is no JSON; name a report of 'rtae bench -o'") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or not isinstance(data.get("systems"), list):
        raise ParameterError(f"{path} is no report of 'rtae bench'; name its bench.json")
    if data.get("version") != VERSION:
        raise ParameterError(f"{path} is a report of version {data.get('version')}; this rtae reads {VERSION}")
    return data


@dataclass(frozen=True)
class Change:
    """One figure, then and now.

    Attributes
    ----------
    system, figure : str
        What of what.
    old, new : float
        Values; more is worse.
    """

    system: str
    figure: str
    old: float
    new: float

    @property
    def ratio(self) -> float:
        """New over old."""
        return self.new / self.old if self.old else float("inf") if self.new else 1.0


def compare(old: Document, new: Document) -> list[Change]:
    """Compare the systems that both reports have.

    Raises
    ------
    ParameterError
        If they have none in common: a comparison of nothing must not pass.
    """
    before = {system["name"]: system for system in old["systems"]}
    changes = []
    for system in new["systems"]:
        other = before.get(system["name"])
        if other is None:
            continue
        for name, then in _figures(other).items():
            now = _figures(system).get(name)
            if now is not None:
                changes.append(Change(system["name"], name, then, now))
    if not changes:
        raise ParameterError(
            f"nothing to compare: the old report has {', '.join(before) or 'no systems'}, this one "
            f"{', '.join(system['name'] for system in new['systems']) or 'none'}"
        )
    return changes


def worse(changes: Sequence[Change], threshold: float) -> list[Change]:
    """Return those whose ratio is past a threshold; the p99 is the machine's mood, and not judged."""
    judged = [item for item in changes if "p99" not in item.figure]
    return [item for item in judged if item.ratio > threshold and item.new - item.old > NOISE_MS]


def _figures(system: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for load, times in system.get("loads", {}).items():
        if load == "idle":
            found |= {"hop p50, ms": times["p50_ms"], "hop p99, ms": times["p99_ms"]}
    if "streams" in system:
        found["batched stream, us"] = min(system["streams"]["stream_us"].values())
    if "size_bytes" in system:
        found["model, KiB"] = system["size_bytes"] / 1024
    return found


def comparison_table(changes: Sequence[Change], threshold: float) -> str:
    """Return the changes as a Markdown table."""
    late = worse(changes, threshold)
    rows = [
        [
            item.system,
            item.figure,
            *(f"{value:.4g}" for value in (item.old, item.new)),
            f"{item.ratio:.2f}",
            "worse" if item in late else "",
        ]
        for item in changes
    ]
    return table(["system", "figure", "old", "new", "new / old", ""], rows)


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sections(report: Document) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return the report's tables as (title, heading, rows), for any kind of page."""
    systems = report["systems"]
    times = [
        [
            system["name"],
            load,
            *(f"{found[key]:.3f}" for key in ("p50_ms", "p95_ms", "p99_ms", "p99_9_ms", "max_ms")),
            f"{found['deadline_share_p50']:.1%}",
            f"{found['rtf']:.3f}",
            f"{found['late']} of {found['hops']}",
        ]
        for system in systems
        for load, found in system["loads"].items()
    ]
    heading = ["system", "load", "p50 ms", "p95", "p99", "p99.9", "max", "p50 / hop", "RTF", "late"]
    result = [("Hop times", heading, times)]
    facts = [
        [
            system["name"],
            f"{system['hop']} at {system['sample_rate']} Hz",
            f"{system['new_process_ms']:.0f}" if "new_process_ms" in system else "",
            f"{system['start_ms']:.0f}",
            f"{system['first_hop_ms']:.2f}",
            "" if system["memory_growth_mib"] is None else f"{system['memory_growth_mib']:+.2f}",
            f"{system['allocation_kept_bytes_a_hop']:.0f}",
            f"{system['size_bytes'] / 1024:.0f}" if "size_bytes" in system else "",
            str(system.get("nodes", "")),
            f"{system['file_times_real_time']:.0f}" if "file_times_real_time" in system else "",
            f"{system['agreement']:.3f}" if "agreement" in system else "",
            f"{system['run_time']:.3f}" if "run_time" in system else "",
            f"{system['error']:.0e}" if "error" in system else "",
        ]
        for system in systems
    ]
    heading = [
        "system",
        "hop",
        "new process ms",
        "load ms",
        "first hop ms",
        "memory MiB",
        "kept bytes a hop",
        "KiB",
        "nodes",
    ]
    result.append(
        ("Systems", [*heading, "file x real time", "bench / plain loop", "run time / plain loop", "error"], facts)
    )
    streams = [
        [
            system["name"],
            *(str(found[key]) for key in ("one_by_one", "batched", "best_batch")),
            f"{found['gain']:.2f}",
            f"{found['all_cores']} ({found['cores']})",
            found.get("reason", ""),
        ]
        for system in systems
        if (found := system.get("streams"))
    ]
    if streams:
        heading = ["system", "one by one", "batched", "batch", "gain", "all cores", "why no more"]
        result.append(("Real-time streams on a core", heading, streams))
    blocks = [
        [
            system["name"],
            *(str(row[key]) for key in ("block", "delay")),
            *(f"{row[key]:.3f}" for key in ("p50_ms", "p99_ms", "deadline_ms", "rtf")),
            str(row["late"]),
        ]
        for system in systems
        for row in system.get("blocks", [])
    ]
    if blocks:
        heading = ["system", "block", "delay", "p50 ms", "p99 ms", "block ms", "RTF", "late"]
        result.append(("Block sizes", heading, blocks))
    variants = [
        [system["name"], row["provider"], str(row["threads"]), f"{row['p50_ms']:.3f}", f"{row['p99_ms']:.3f}"]
        for system in systems
        for row in system.get("variants", [])
    ]
    if variants:
        result.append(("Threads and providers", ["system", "provider", "threads", "p50 ms", "p99 ms"], variants))
    budgets = [
        [
            row["what"],
            *("not reported" if part is None else str(part) for part in row["parts_samples"].values()),
            str(row["reported_samples"]),
            "none" if row["measured_samples"] is None else f"{row['measured_samples']:.2f}",
        ]
        for row in report["budgets"]
    ]
    if budgets:
        parts = [name.replace("_", " ") for name in report["budgets"][0]["parts_samples"]]
        result.append(("Latency budget, samples", ["path", *parts, "reported", "measured"], budgets))
    return result


def machine_line(report: Document) -> str:
    """Return where and with what it was measured, in one paragraph."""
    machine = report["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine.get("packages", {}).items() if version)
    load = machine.get("load_average")
    return (
        f"{machine.get('cpu', 'unknown processor')}, {machine.get('cores')} cores, {machine.get('system')}; governor "
        f"{machine.get('governor') or 'unknown'}, load {'unknown' if load is None else f'{load:.1f}'}; Python "
        f"{machine.get('python')}, {packages}; {machine.get('threads')} thread; "
        f"commit {machine.get('commit') or 'unknown'}. "
        f"Timing a hop adds {report['measuring_overhead_us']:.2f} us to it."
    )


def to_markdown(report: Document) -> str:
    """Return the report as a Markdown page."""
    parts = ["# Benchmark", machine_line(report)]
    for title, heading, rows in sections(report):
        parts += [f"## {title}", table(heading, rows)]
    return "\n\n".join(parts) + "\n"
