"""``rtae stress``: the live engine under load, and how it comes back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from rtae.cli.document import document
from rtae.errors import DeviceError, ParameterError

if TYPE_CHECKING:
    from rtae.live import LiveStream

_LOADS = ("idle", "cpu", "interpreter", "garbage", "memory")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("-m", "--model", default="denoise", help="model name or file (default: denoise)")
    parser.add_argument("-i", "--input", metavar="DEVICE", help="input device; without one a clock drives the engine")
    parser.add_argument("-o", "--output", metavar="DEVICE", help="output device")
    parser.add_argument("--latency", choices=("low", "safe"), default="low", help="aim of the stream (%(default)s)")
    parser.add_argument("--loads", nargs="+", default=list(_LOADS), choices=_LOADS, help="loads to endure (all)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each (%(default)s)")
    parser.add_argument("--calm", type=float, default=2.0, help="seconds after each to recover in (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Endure and print; 1 if the processor failed, or the processed signal was not back at the end of the calm."""
    from rtae.bench.stress import endure, to_text

    for name in ("seconds", "calm"):
        if not 0.2 <= getattr(arguments, name) <= 3600.0:
            raise ParameterError(f"--{name} is {getattr(arguments, name):g}; allowed are 0.2 to 3600")
    if (arguments.input is None) != (arguments.output is None):
        raise ParameterError("give both --input and --output, or neither for a clock without devices")
    make = _on_devices(arguments) if arguments.input is not None else _on_a_clock(arguments)
    results = []
    with Console(stderr=True).status("") as status:
        for load in arguments.loads:
            status.update(f"load: {load}")
            results.append(endure(make, load, arguments.seconds, arguments.calm))
            if not results[-1].blocks:
                raise DeviceError(
                    f"no block was moved under load {load!r}; the device does not call, see 'rtae devices'"
                )
    if arguments.json:
        print(document("rtae-stress", {"loads": [item.as_dict() for item in results]}))
    else:
        print(to_text(results))
    bad = [item.load for item in results if item.failures or item.recovery_ms is None]
    if bad:
        print(f"rtae: not back to the processed signal after: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


def _on_devices(arguments: argparse.Namespace) -> Callable[[], LiveStream]:
    from rtae.live import LiveStream

    return lambda: LiveStream(
        arguments.model, input=arguments.input, output=arguments.output, latency=arguments.latency
    )


def _on_a_clock(arguments: argparse.Namespace) -> Callable[[], LiveStream]:
    """Drive the engine by a clock in this process: the loads then reach it through the interpreter too."""
    from rtae.bench import speech_like
    from rtae.live import FileBackend, LiveStream
    from rtae.shipped import load

    rate = load(arguments.model).spec.sample_rate
    # Long enough for a slow start of the load; the stream is closed before its end.
    speech = speech_like(rate, 4.0)
    pieces = int((arguments.seconds + arguments.calm + 60.0) / 4.0) + 1

    def make() -> LiveStream:
        backend = FileBackend((speech for _ in range(pieces)), rate, sink=lambda block: None)
        return LiveStream(arguments.model, sample_rate=rate, latency=arguments.latency, backend=backend)

    return make
