"""``rtae check``: may this streaming model be used live? A verdict with reasons."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rtae.cli.document import document
from rtae.errors import ParameterError

if TYPE_CHECKING:
    from rtae.bench.layout import Layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="any streaming ONNX file, or a shipped model")
    parser.add_argument("--layout", metavar="FILE.toml", help="how to drive it, if it is not recognised")
    parser.add_argument("--input", metavar="NAME", help="input of the frame")
    parser.add_argument("--output", metavar="NAME", help="output of the frame")
    parser.add_argument("--state", action="append", metavar="IN=OUT", help="a state's input and output; once for each")
    parser.add_argument("--constant", action="append", metavar="NAME=VALUE", help="an input that stays as it is")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate")
    parser.add_argument("--hop", type=int, metavar="SAMPLES", help="samples a step")
    parser.add_argument("--delay", type=int, metavar="SAMPLES", help="delay it is to have")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Check and print; 1 if a check failed."""
    from rtae.bench.verdict import check
    from rtae.shipped import find

    path = find(arguments.model)
    layout = _layout(arguments, path)
    with Console(stderr=True).status("") as status:
        verdict = check(path, layout, progress=lambda name: status.update(f"checking {name}"))
    print(document("rtae-check", verdict.as_dict()) if arguments.json else verdict.to_text())
    return 0 if verdict.good else 1


def _layout(arguments: argparse.Namespace, path: Any) -> Layout | None:
    """Return the layout that the flags describe, or change of the recognised one; None if there are none."""
    from rtae.bench.driver import open_session
    from rtae.bench.layout import make_layout, read_layout, recognise

    given: dict[str, Any] = {
        "input": arguments.input,
        "output": arguments.output,
        "states": None if arguments.state is None else [_split(text) for text in arguments.state],
        "constants": None
        if arguments.constant is None
        else {name: _number(value) for name, value in map(_split, arguments.constant)},
        "sample_rate": arguments.rate,
        "hop": arguments.hop,
        "delay": arguments.delay,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if arguments.layout is not None:
        return dataclasses.replace(read_layout(arguments.layout), **given)
    if "input" in given:
        return make_layout({"name": path.name, **given})
    return dataclasses.replace(recognise(open_session(path)), **given) if given else None


def _split(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise ParameterError(f"{text!r} is no pair; write NAME=OTHER")
    return name, value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"{text!r} is no number; write --constant NAME=VALUE") from None
