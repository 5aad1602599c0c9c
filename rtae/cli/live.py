"""``rtae live``: clean a microphone and hear it, now."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rtae.errors import DeviceError
from rtae.live.devices import Side, choose, devices, is_number
from rtae.live.modes import MODES
from rtae.live.settings import Settings, load_settings, save_settings, settings_path
from rtae.live.view import stepped_strength

if TYPE_CHECKING:
    from rtae.live import LiveStream
    from rtae.live.plan import Target

DEFAULT_MODEL = "denoise"

DEFAULTS = {"input": "default", "output": "default", "model": DEFAULT_MODEL, "attenuation_limit_db": "none"}
"""How a person calls a setting of None, on the command line too: a setting from the file is taken back that way."""

_VIEW_PERIOD_S = 0.1
_LINE_PERIOD_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_stream_arguments(parser)
    parser.add_argument("-o", "--output", metavar="DEVICE", help="output device: number, part of its name, or default")
    parser.add_argument(
        "--mode", metavar="MODE", help=f"run a codec, too, and switch with the c key: {', '.join(MODES)}"
    )
    parser.add_argument("--kbps", type=float, help="bit rate of the codec")
    parser.add_argument(
        "--loss", type=_percent, default=0.0, metavar="PERCENT", help="packets of the codec to lose: 5%%"
    )
    parser.add_argument("--codec", metavar="MODEL", help="codec by name or path (default: codec)")
    parser.add_argument("--events", action="store_true", help="tell when speech starts and ends")
    parser.add_argument("--classifier", metavar="NAME", help="with --events: name each stretch of speech")
    parser.add_argument("--show-config", action="store_true", help="print the settings and where they come from")


def add_stream_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that `rtae live` and `rtae mic` share."""
    parser.add_argument("-m", "--model", help="model name or file (default: the one used last, or denoise)")
    parser.add_argument(
        "--fallback", action="append", metavar="MODEL", help="lighter model for overload (default: the shipped one)"
    )
    parser.add_argument("-i", "--input", metavar="DEVICE", help="input device: number, part of its name, or default")
    parser.add_argument("--latency", type=_target, default="low", help="low, safe or a total in ms (default: low)")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate (default: the device's own)")
    parser.add_argument("--channels", type=int, default=1, help="channels to process (default: 1)")
    parser.add_argument("--block", type=int, metavar="SAMPLES", help="block size (default: the best for the model)")
    parser.add_argument(
        "--attenuation-limit", type=_limit, metavar="DB", help="attenuate noise by at most this, or none"
    )
    parser.add_argument("--duration", type=float, metavar="S", help="stop after this many seconds")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of the view")


def run(arguments: argparse.Namespace) -> int:
    """Run a stream until a key, a signal, the duration or the device ends it."""
    saved = load_settings()
    settings = merged(saved, arguments)
    if arguments.show_config:
        _show_config(saved, settings)
        return 0
    # Numbers change when devices come and go: what is remembered is a name.
    settings = dataclasses.replace(
        settings, input=_named(settings.input, "input"), output=_named(settings.output, "output")
    )
    modes = {name: getattr(arguments, name) for name in ("mode", "codec", "kbps", "loss")}
    stream = open_stream(settings, arguments, **modes)
    beside = _events(arguments) if arguments.events else None
    status = watch(stream, duration_s=arguments.duration, as_json=arguments.json, beside=beside)
    if sys.stdout.isatty() and not arguments.json:
        # Only what a person did at a terminal is remembered; a script says what it wants each time.
        save_settings(dataclasses.replace(settings, attenuation_limit_db=stream.attenuation_limit_db))
    return status


def merged(saved: Settings, arguments: argparse.Namespace) -> Settings:
    """Return the saved settings with what the command line says in their place."""
    model = arguments.model
    given = {
        "input": arguments.input,
        "output": getattr(arguments, "output", None),
        # Whoever starts from these settings later does so in another folder.
        "model": str(Path(model).resolve()) if model and Path(model).is_file() else model,
        "attenuation_limit_db": arguments.attenuation_limit,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(
        saved, **{name: None if value in (DEFAULTS[name], math.inf) else value for name, value in given.items()}
    )


def _named(wanted: str | None, side: Side) -> str | None:
    return choose(devices(), wanted, side).full_name if is_number(wanted) else wanted


def open_stream(settings: Settings, arguments: argparse.Namespace, **options: Any) -> LiveStream:
    """Open the stream that settings and arguments ask for."""
    from rtae.live import LiveStream

    try:
        return LiveStream(
            settings.model or DEFAULT_MODEL,
            **{
                "input": settings.input,
                "output": settings.output,
                "sample_rate": arguments.rate,
                "channels": arguments.channels,
                "block_size": arguments.block,
                "latency": arguments.latency,
                "fallbacks": arguments.fallback,
                "attenuation_limit_db": settings.attenuation_limit_db,
                **options,
            },
        )
    except DeviceError as error:
        for side in ("input", "output"):
            remembered = getattr(settings, side)
            if getattr(arguments, side, None) is None and f"{side} device {remembered!r}" in str(error):
                raise DeviceError(f"{error} ('{remembered}' is from last time: --{side} default)") from None
        raise


def _show_config(saved: Settings, settings: Settings) -> None:
    print(f"settings file: {settings_path()}{'' if settings_path().exists() else ' (not there yet)'}")
    for name, value in dataclasses.asdict(settings).items():
        origin = "default" if value is None else "file" if value == getattr(saved, name) else "command line"
        shown = DEFAULTS[name] if value is None else value
        print(f"{name}: {shown} ({origin})")


def _events(arguments: argparse.Namespace) -> Callable[[LiveStream], AbstractContextManager[None]]:
    from rtae.cli.events import telling_events

    return lambda stream: telling_events(stream, arguments.classifier, as_json=arguments.json)


def watch(
    stream: LiveStream,
    *,
    duration_s: float | None = None,
    as_json: bool = False,
    beside: Callable[[LiveStream], AbstractContextManager[None]] | None = None,
) -> int:
    """Start a stream, show it until it ends, and close it; return the exit status.

    What ``beside`` makes of the stream lasts as long as it runs.

    Raises
    ------
    DeviceError
        If the device went away.
    """
    until = None if duration_s is None else time.monotonic() + duration_s
    with stop_signals() as stopped, stream, beside(stream) if beside else nullcontext():

        def running() -> bool:
            return not stopped() and stream.active and (until is None or time.monotonic() < until)

        if as_json:
            _print_json(stream, running)
        elif sys.stdout.isatty():
            _show(stream, running)
        else:
            _print_lines(stream, running)
        ended = not stream.active
    if ended:
        reason = [event.message for event in stream.events() if event.kind == "ended"]
        raise DeviceError(f"live audio stopped: {' '.join(reason) or 'the device is gone'}; start again")
    return 0


def _print_json(stream: LiveStream, running: Callable[[], bool]) -> None:
    def emit(line: str, /, **fields: object) -> None:
        print(json.dumps({"type": line, **fields}), flush=True)

    emit(
        "started",
        model=stream.model,
        input=stream.input_name,
        output=stream.output_name,
        sample_rate=stream.latency.sample_rate,
        block_size=stream.block_size,
        latency_samples=stream.latency.total,
        latency_ms={part: round(ms, 3) for part, ms in stream.latency.parts_ms().items()},
    )
    tap = stream.tap()
    while _pause(running):
        for event in stream.events():
            emit("event", kind=event.kind, message=event.message)
        spectrum = tap.spectrum()
        emit(
            "stats",
            **stream.stats.as_dict(),
            model=stream.name,
            mode=stream.mode,
            bands_hz=[round(value) for value in spectrum.centres_hz],
            before_db=[round(value, 1) for value in spectrum.before_db],
            after_db=[round(value, 1) for value in spectrum.after_db],
        )
    emit("stopped", **stream.stats.as_dict())


def _print_lines(stream: LiveStream, running: Callable[[], bool]) -> None:
    from rtae.live.view import line

    latency = stream.latency
    print(
        f"{stream.input_name} -> {stream.model} -> {stream.output_name}, latency {latency.total_ms:.1f} ms", flush=True
    )
    while _pause(running):
        for event in stream.events():
            print(event.message)
        print(line(stream.stats), flush=True)


def _show(stream: LiveStream, running: Callable[[], bool]) -> None:
    from rich.console import Console
    from rich.live import Live

    from rtae.live.keys import Keys
    from rtae.live.report import Event
    from rtae.live.tap import Recorder
    from rtae.live.view import View, line

    console = Console()
    view = View(stream, console.encoding)
    recorder = Recorder(stream.tap(), Path.cwd())
    try:
        with Keys() as keys, Live(view.render(), console=console, auto_refresh=False, transient=True) as live:
            while running():
                for key in keys.wait(_VIEW_PERIOD_S):
                    if key == "q":
                        return
                    if key == "s":
                        recorder.start()
                        view.add(Event("note", "recording 10 s before and after"))
                    _press(stream, key)
                outcome = recorder.outcome()
                for event in [*stream.events(), *([Event("note", outcome)] if outcome else [])]:
                    view.add(event)
                live.update(view.render(), refresh=True)
    finally:
        recorder.close()
        for text in (recorder.outcome(), line(stream.stats)):
            if text:
                console.print(text, highlight=False, markup=False)


def _press(stream: LiveStream, key: str) -> None:
    """Do what a key means for a stream."""
    if key == "b":
        stream.bypass = not stream.bypass
    elif key == "r":
        stream.listen = "processed" if stream.listen == "removed" else "removed"
    elif key == "m":
        stream.model_index = (stream.model_index + 1) % len(stream.models)
    elif key == "c" and stream.mode is not None:
        stream.mode = stream.modes[(stream.modes.index(stream.mode) + 1) % len(stream.modes)]
    elif key in "+=":
        stream.attenuation_limit_db = stepped_strength(stream.attenuation_limit_db, 1)
    elif key in "-_":
        stream.attenuation_limit_db = stepped_strength(stream.attenuation_limit_db, -1)


def _pause(running: Callable[[], bool]) -> bool:
    """Wait a line's period; return early, and False, when the stream is to end."""
    until = time.monotonic() + _LINE_PERIOD_S
    while time.monotonic() < until:
        if not running():
            return False
        time.sleep(_VIEW_PERIOD_S)
    return running()


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
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


def _percent(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / 100
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of percent") from None


def _limit(text: str) -> float:
    try:
        return math.inf if text == DEFAULTS["attenuation_limit_db"] else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of decibels nor none") from None


def _target(text: str) -> Target:
    try:
        return float(text)
    except ValueError:
        return text
