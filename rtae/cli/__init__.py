"""The command line: ``rtae COMMAND ...``, one module a command.

A command module has ``add_arguments(parser)`` and ``run(arguments) -> int`` (the exit status). Only the module of the
command that was asked for is imported, so that ``rtae denoise`` works where a library of another command is missing.

Exit status: 0 done, 1 part of the work failed, 2 wrong usage or nothing could be done, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import rtae
from rtae.errors import RtaeError

COMMANDS: dict[str, tuple[str, str]] = {
    "analyze": ("rtae.cli.analyze", "see and measure what is in sound files"),
    "bench": ("rtae.cli.bench", "measure speed and streams per core, write a report, compare with another"),
    "check": ("rtae.cli.check", "tell whether a streaming ONNX model may be used live"),
    "decode": ("rtae.cli.decode", "decode a stream of the codec to a sound file"),
    "denoise": ("rtae.cli.denoise", "remove the noise from sound files"),
    "devices": ("rtae.cli.devices", "list the sound devices"),
    "demo": ("rtae.cli.demo", "run a noisy recording through the live engine, show before and after"),
    "encode": ("rtae.cli.encode", "encode a sound file to a few kilobits a second"),
    "eval": ("rtae.cli.eval", "measure quality, latency and time, beside other denoisers"),
    "export": ("rtae.cli.export", "write a trained network as a verified model file"),
    "generate": ("rtae.cli.generate", "make sound from a variational autoencoder: room tone, texture, in-between"),
    "info": ("rtae.cli.info", "show what a model or a coded stream says of itself"),
    "latency": ("rtae.cli.latency", "prove the delay of a model, measure the round trip of devices"),
    "listen": ("rtae.cli.listen", "name the words in a recording"),
    "live": ("rtae.cli.live", "clean a microphone and hear it, now"),
    "mic": ("rtae.cli.mic", "make a microphone without noise that every program can use"),
    "segment": ("rtae.cli.segment", "find speech and sounds in a recording"),
    "receive": ("rtae.cli.receive", "hear what rtae send sends"),
    "send": ("rtae.cli.send", "speak to another machine through the codec"),
    "stress": ("rtae.cli.stress", "put the live engine under load, see it come back"),
    "train": ("rtae.cli.train", "train a model, or adapt one to a room"),
}
"""Command -> (module, one line of help)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        The exit status.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        with _unwinding_when_terminated():
            status = _dispatch(arguments)
        sys.stdout.flush()
    except SystemExit as stop:  # argparse: 0 after --help and --version, 2 after wrong usage; or the signal's number
        return stop.code if isinstance(stop.code, int) else 2
    except RtaeError as error:
        print(message(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rtae: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output is gone (rtae ... | head). Without this the interpreter's last flush fails aloud.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def message(error: RtaeError) -> str:
    """Return the one line that tells a person of an error."""
    return f"rtae: {' '.join(str(error).split())}"


@contextmanager
def _unwinding_when_terminated() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that half-written files are removed."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only there may a handler be set
        yield
        return
    saved = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, saved)


def _dispatch(arguments: list[str]) -> int:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(prog="rtae", description="Streaming real-time audio with neural networks.")
    parser.add_argument("--version", action="version", version=f"rtae {rtae.__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    module = None
    for name, (path, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == chosen:
            module = importlib.import_module(path)
            module.add_arguments(subparser)
    parsed = parser.parse_args(arguments)
    assert module is not None  # parse_args has refused anything that is not in the table
    return int(module.run(parsed))
