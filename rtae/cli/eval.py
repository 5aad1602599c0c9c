"""``rtae eval``: measure quality, latency and time of models and of other people's denoisers, side by side."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rtae.atomic import AtomicFile
from rtae.cli.folder import report_folder
from rtae.errors import ParameterError
from rtae.evaluate import environment, pictures
from rtae.evaluate.pairs import read_pairs
from rtae.evaluate.peers import PEERS, make_peer
from rtae.evaluate.report import Report
from rtae.evaluate.run import evaluate
from rtae.evaluate.systems import ModelSystem, System


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    files = {0: "", 1: "=FILE", 2: "=FILE,FILE"}
    peers = ", ".join(name + files[count] for name, (count, _) in PEERS.items())
    parser.add_argument("pairs", metavar="PAIRS", help="folder with clean/ and noisy/ recordings of equal names")
    parser.add_argument(
        "-m", "--models", nargs="+", default=[], metavar="MODEL", help="shipped models or model files to evaluate"
    )
    parser.add_argument("-p", "--peers", nargs="+", default=[], metavar="PEER", help=f"others to run beside: {peers}")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="folder for evaluation.json, evaluation.md and two pictures"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of tables")
    parser.add_argument("--seed", type=int, default=0, help="seed of the confidence intervals (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print, and write the report if a folder is given."""
    if arguments.seed < 0:
        raise ParameterError(f"seed is {arguments.seed}; it must be 0 or more")
    folder = None if arguments.output is None else report_folder(arguments.output)
    with environment.one_thread():
        pairs = read_pairs(arguments.pairs)
        systems: list[System] = [*_models(arguments.models), *map(make_peer, arguments.peers)]
        console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
        with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("", total=len(pairs) * (1 + len(systems)))

            def advance(recording: str, system: str) -> None:
                progress.update(task, description=f"{system}: {recording}")
                progress.advance(task)

            results = evaluate(pairs, systems, seed=arguments.seed, progress=advance)
        report = Report(
            results,
            data=Path(arguments.pairs).resolve().name,
            recordings=len(pairs),
            seconds=sum(pair.seconds for pair in pairs),
            seed=arguments.seed,
            environment=environment.describe(),
        )
    if folder is not None:
        _write(folder, report)
    if arguments.json:
        print(report.to_json())
    else:
        print(report.quality_table(), report.latency_table(), sep="\n\n")
    for problem in report.problems:
        console.print(f"rtae: {escape(problem)}", style="bold red", soft_wrap=True)
    return 0


def _models(paths: Sequence[str]) -> Iterator[ModelSystem]:
    stems = Counter(Path(path).stem for path in paths)
    for path in paths:
        yield ModelSystem(path, Path(path).stem if stems[Path(path).stem] == 1 else path)


def _write(folder: Path, report: Report) -> None:
    contents = {
        "evaluation.json": report.to_json().encode(),
        "evaluation.md": report.to_markdown().encode(),
        "quality-latency.png": pictures.quality_against_latency(report.results),
        "quality-time.png": pictures.quality_against_time(report.results),
    }
    for name, content in contents.items():
        try:
            with AtomicFile(folder / name) as beside:
                beside.write_bytes(content)
        except OSError as error:
            raise ParameterError(
                f"cannot write {folder / name}: {error.strerror}; name another folder with -o"
            ) from None
