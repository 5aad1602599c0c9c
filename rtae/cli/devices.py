"""``rtae devices``: the sound devices of this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """List the devices."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rtae.live.devices import devices

    found = devices()
    if arguments.json:
        json.dump([dataclasses.asdict(device) for device in found], sys.stdout, indent=2)
        print()
        return 0
    if not found:
        print("rtae: PortAudio sees no sound device; connect one, or start the sound server", file=sys.stderr)
        return 0
    table = Table(box=None, pad_edge=False)
    for column, justify in (("#", "right"), ("name", "left"), ("in", "right"), ("out", "right"), ("Hz", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    table.add_column("default")
    for device in found:
        default = " ".join(
            name for name, is_it in (("input", device.default_input), ("output", device.default_output)) if is_it
        )
        counts = [str(count) if count else "-" for count in (device.input_channels, device.output_channels)]
        name = Text(device.full_name)
        table.add_row(str(device.index), name, *counts, str(device.sample_rate), default)
    Console(soft_wrap=not sys.stdout.isatty()).print(table)
    return 0
