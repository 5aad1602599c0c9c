"""``rtae analyze``: see and measure what is in sound files."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rtae.analysis import Analysis, analyze, compared
from rtae.analysis.tables import summary_rows, write_csv, write_json
from rtae.atomic import AtomicFile
from rtae.errors import AudioFileError, ParameterError

FORMATS = (".html", ".png", ".json", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="sound file: wav, flac, ogg, opus, mp3, ...")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        help="report.html with players and pictures, .png, .json or .csv; without it a summary is printed",
    )
    parser.add_argument(
        "--compare", action="store_true", help="take two FILEs as one recording before and after, show what changed"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Measure, then print or write."""
    output: Path | None = arguments.output
    compare: bool = arguments.compare
    if compare and len(arguments.files) != 2:
        raise ParameterError(f"--compare takes two files, before and after; got {len(arguments.files)}")
    if output is not None:
        _check(output, arguments.force)
    if compare:
        analyses = list(compared(*arguments.files))
    else:
        analyses = [analyze(name) for name in arguments.files]
    if output is None:
        Console(highlight=False).print(_table(analyses, compare=compare))
    else:
        _write(output, analyses, compare=compare)
        print(f"written: {output}")
    return 0


def _check(output: Path, force: bool) -> None:
    """Find out what would fail before minutes are spent on measuring."""
    if output.suffix.lower() not in FORMATS:
        raise ParameterError(f"cannot write '{output}': the suffix decides the format; use {', '.join(FORMATS)}")
    if output.exists() and not force:
        raise ParameterError(f"'{output}' exists and was kept; add --force to replace it")
    try:
        AtomicFile(output).discard()
    except OSError as error:
        raise AudioFileError(f"cannot write '{output}': {error.strerror}") from None


def _write(output: Path, analyses: list[Analysis], *, compare: bool) -> None:
    match output.suffix.lower():
        case ".json":
            write_json(output, analyses)
        case ".csv":
            write_csv(output, analyses)
        case ".png":
            from rtae.analysis.pictures import write_png

            write_png(output, analyses, compare=compare)
        case _:
            from rtae.analysis.report import write_html

            write_html(output, analyses, compare=compare)


def _table(analyses: list[Analysis], *, compare: bool) -> Table:
    table = Table("", *(Path(analysis.path).name for analysis in analyses), *(["change"] if compare else []))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in summary_rows(analyses, compare=compare):
        table.add_row(*row)
    return table
