"""``rtae live``: clean a microphone and hear it, now."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from rtae.errors import DeviceError

if TYPE_CHECKING:
    from rtae.live import LiveStream
    from rtae.live.plan import Target

_VIEW_PERIOD_S = 0.1
_LINE_PERIOD_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("-m", "--model", default="denoise", help="model name or file (default: denoise)")
    parser.add_argument("-i", "--input", metavar="DEVICE", help="input device: number or part of its name")
    parser.add_argument("-o", "--output", metavar="DEVICE", help="output device: number or part of its name")
    parser.add_argument("--latency", type=_target, default="low", help="low, safe or a total in ms (default: low)")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate (default: the device's own)")
    parser.add_argument("--channels", type=int, default=1, help="channels to process (default: 1)")
    parser.add_argument("--block", type=int, metavar="SAMPLES", help="block size (default: the best for the model)")
    parser.add_argument("--limit", type=float, metavar="DB", help="attenuate noise by at most this (default: no limit)")
    parser.add_argument("--duration", type=float, metavar="S", help="stop after this many seconds")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of the view")


def run(arguments: argparse.Namespace) -> int:
    """Run a stream until a key, a signal, the duration or the device ends it."""
    from rtae.live import LiveStream

    stream = LiveStream(
        arguments.model,
        input=arguments.input,
        output=arguments.output,
        sample_rate=arguments.rate,
        channels=arguments.channels,
        block_size=arguments.block,
        latency=arguments.latency,
        attenuation_limit_db=arguments.limit,
    )
    return watch(stream, arguments.model, duration_s=arguments.duration, as_json=arguments.json)


def watch(stream: LiveStream, name: str, *, duration_s: float | None = None, as_json: bool = False) -> int:
    """Start a stream, show it until it ends, and close it; return the exit status.

    Raises
    ------
    DeviceError
        If the device went away.
    """
    until = None if duration_s is None else time.monotonic() + duration_s
    with _stop_signals() as stopped, stream:

        def running() -> bool:
            return not stopped() and stream.active and (until is None or time.monotonic() < until)

        if as_json:
            _print_json(stream, name, running)
        elif sys.stdout.isatty():
            _show(stream, name, running)
        else:
            _print_lines(stream, name, running)
        ended = not stream.active
    if ended:
        reason = [event.message for event in stream.events() if event.kind == "ended"]
        raise DeviceError(f"live audio stopped: {' '.join(reason) or 'the device is gone'}; start again")
    return 0


def _print_json(stream: LiveStream, name: str, running: Callable[[], bool]) -> None:
    def emit(line: str, /, **fields: object) -> None:
        print(json.dumps({"type": line, **fields}), flush=True)

    emit(
        "started",
        model=name,
        input=stream.input_name,
        output=stream.output_name,
        sample_rate=stream.latency.sample_rate,
        block_size=stream.block_size,
        latency_samples=stream.latency.total,
        latency_ms={part: round(ms, 3) for part, ms in stream.latency.parts_ms().items()},
    )
    while _pause(running):
        for event in stream.events():
            emit("event", kind=event.kind, message=event.message)
        emit("stats", **stream.stats.as_dict())
    emit("stopped", **stream.stats.as_dict())


def _print_lines(stream: LiveStream, name: str, running: Callable[[], bool]) -> None:
    from rtae.live.view import line

    latency = stream.latency
    print(f"{stream.input_name} -> {name} -> {stream.output_name}, latency {latency.total_ms:.1f} ms", flush=True)
    while _pause(running):
        for event in stream.events():
            print(event.message)
        print(line(stream.stats), flush=True)


def _show(stream: LiveStream, name: str, running: Callable[[], bool]) -> None:
    from rich.console import Console
    from rich.live import Live

    from rtae.live.keys import Keys
    from rtae.live.view import View, line, stepped_strength

    console = Console()
    view = View(stream, name)
    with Keys() as keys, Live(view.render(), console=console, auto_refresh=False, transient=True) as live:
        while running():
            for key in keys.wait(_VIEW_PERIOD_S):
                if key == "q":
                    return
                if key == "b":
                    stream.bypass = not stream.bypass
                elif key in "+=":
                    stream.attenuation_limit_db = stepped_strength(stream.attenuation_limit_db, 1)
                elif key in "-_":
                    stream.attenuation_limit_db = stepped_strength(stream.attenuation_limit_db, -1)
            for event in stream.events():
                view.add(event)
            live.update(view.render(), refresh=True)
    console.print(line(stream.stats))


def _pause(running: Callable[[], bool]) -> bool:
    """Wait a line's period; return early, and False, when the stream is to end."""
    until = time.monotonic() + _LINE_PERIOD_S
    while time.monotonic() < until:
        if not running():
            return False
        time.sleep(_VIEW_PERIOD_S)
    return running()


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a flag: stopping is the normal end of a live stream."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    saved = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


def _target(text: str) -> Target:
    try:
        return float(text)
    except ValueError:
        return text
