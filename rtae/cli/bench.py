"""``rtae bench``: how fast, how evenly, how many streams; a report, and a comparison for CI."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rtae.atomic import AtomicFile
from rtae.cli.folder import report_folder
from rtae.errors import ModelFormatError, ParameterError

if TYPE_CHECKING:
    from rtae.bench.speed import Extent

_LOADS = ("idle", "cpu", "interpreter")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="shipped models or ONNX files (default: denoise)")
    parser.add_argument("-p", "--peers", nargs="+", default=[], metavar="PEER", help="others beside, as for rtae eval")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for bench.json, bench.md and bench.html")
    parser.add_argument("--quality", metavar="FILE", help="evaluation.json of rtae eval, for quality against latency")
    parser.add_argument("--compare", metavar="FILE", help="older bench.json; status 1 if this is worse")
    parser.add_argument(
        "--threshold", type=float, default=1.25, help="ratio past which a figure is worse (%(default)s)"
    )
    parser.add_argument("--hops", type=int, default=3000, help="hops of each measurement (%(default)s)")
    parser.add_argument(
        "--loads", nargs="+", default=list(_LOADS), choices=_LOADS, help="what the machine does meanwhile (all)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, write and compare; 1 if a figure is worse than it was."""
    from rtae.bench.hops import measuring_overhead_us
    from rtae.bench.report import compare, comparison_table, document, read_document, to_markdown, worse
    from rtae.bench.speed import Extent
    from rtae.evaluate.environment import describe

    if arguments.hops < 100:
        raise ParameterError(f"--hops is {arguments.hops}; percentiles need at least 100")
    if not arguments.threshold >= 1.0:
        raise ParameterError(f"--threshold is {arguments.threshold:g}; it must be at least 1")
    older = None if arguments.compare is None else read_document(Path(arguments.compare))
    quality = None if arguments.quality is None else _read_quality(Path(arguments.quality))
    folder = None if arguments.output is None else report_folder(arguments.output)
    machine = describe()
    extent = Extent(hops=arguments.hops, loads=arguments.loads)
    systems, budgets = _measure(arguments, extent)
    report = document(systems, budgets, machine, measuring_overhead_us())
    if folder is not None:
        _write(folder, report, quality)
    print(json.dumps(report, indent=1) if arguments.json else to_markdown(report))
    if older is None:
        return 0
    changes = compare(older, report)
    then, now = older["machine"].get("cpu"), machine["cpu"]
    if then != now:
        print(
            f"rtae: the older report is of another processor ({then}, now {now}); times do not compare", file=sys.stderr
        )
    Console(stderr=True, highlight=False).print(
        comparison_table(changes, arguments.threshold), markup=False, soft_wrap=True
    )
    return 1 if worse(changes, arguments.threshold) else 0


def _measure(arguments: argparse.Namespace, extent: Extent) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from rtae.bench.speed import measure_model, measure_network, measure_system
    from rtae.cli.latency import prove
    from rtae.evaluate.peers import make_peer
    from rtae.shipped import find

    systems, budgets = [], []
    with Console(stderr=True).status("") as status:
        for name in arguments.models or ([] if arguments.peers else ["denoise"]):
            path = find(name)
            status.update(f"measuring {path.stem}")
            kind, make = way_of(path)
            found = measure_system(_maker(make, path), extent)
            found |= measure_network(path, extent) if kind is None else measure_model(path, extent)
            if kind == "denoiser":
                budgets.append(prove(str(path)).as_dict())
            systems.append(found)
        for peer in arguments.peers:
            status.update(f"measuring {peer}")
            systems.append(measure_system(_maker(make_peer, peer), extent))
    return systems, budgets


def way_of(path: Path) -> tuple[str | None, Callable[[Any], Any]]:
    """Return the kind of a model of rtae, None of another's, and what makes the system to time."""
    from rtae.bench.systems import CodecEnd, Network
    from rtae.evaluate.systems import ModelSystem
    from rtae.model import Model

    try:
        kind = Model(path).spec.kind
    except ModelFormatError:
        return None, Network
    return kind, ModelSystem if kind == "denoiser" else CodecEnd


def _maker(make: Callable[[Any], Any], given: Any) -> Callable[[], Any]:
    return lambda: make(given)


def _read_quality(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParameterError(f"cannot read {path} ({error}); name the evaluation.json of 'rtae eval -o'") from None
    if not isinstance(data, dict) or "measures" not in data or "systems" not in data:
        raise ParameterError(f"{path} is no report of 'rtae eval'; name its evaluation.json")
    return data


def _write(folder: Path, report: dict[str, Any], quality: dict[str, Any] | None) -> None:
    from rtae.bench.page import to_html
    from rtae.bench.report import to_markdown

    contents = {
        "bench.json": json.dumps(report, indent=1, allow_nan=False),
        "bench.md": to_markdown(report),
        "bench.html": to_html(report, quality),
    }
    for name, text in contents.items():
        try:
            with AtomicFile(folder / name) as beside:
                beside.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ParameterError(f"cannot write {folder / name}: {error.strerror}; choose another folder") from None
