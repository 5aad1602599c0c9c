"""``rtae receive``: hear what ``rtae send`` sends."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rtae.cli.live import stop_signals
from rtae.errors import DeviceError

if TYPE_CHECKING:
    from rtae.net.endpoints import Sink
    from rtae.net.receiver import ReceiverStats
    from rtae.net.sockets import Listener

_LINE_PERIOD_S = 1.0
_POLL_S = 0.01
_TAIL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("port", metavar="PORT", help="UDP port to listen on")
    parser.add_argument(
        "--interface", metavar="NAME|ADDRESS", help="interface to listen on (default: this machine alone, 127.0.0.1)"
    )
    parser.add_argument("-o", "--output", metavar="FILE|DEVICE", help="sound file (.wav, .flac) to write, or device")
    parser.add_argument("-m", "--model", default="codec", help="codec by name or path, the sender's (%(default)s)")
    parser.add_argument("--duration", type=float, metavar="S", help="stop after this many seconds")
    parser.add_argument("--json", action="store_true", help="print JSON lines")


def run(arguments: argparse.Namespace) -> int:
    """Receive until a signal or the duration ends it; a file ends with its sender, too."""
    from rtae.codec import Codec
    from rtae.net.endpoints import FileSink, Loudspeaker
    from rtae.net.receiver import Receiver
    from rtae.net.sockets import Listener, bind, check_port, clock

    port = check_port(arguments.port)
    codec = Codec(arguments.model)
    is_file = arguments.output is not None and Path(arguments.output).suffix.lower() in (".wav", ".flac")
    until = None if arguments.duration is None else time.monotonic() + arguments.duration
    bound = bind(arguments.interface, port)
    with (
        bound,
        FileSink(arguments.output, codec.spec.sample_rate) if is_file else Loudspeaker(arguments.output) as sink,
        stop_signals() as stopped,
    ):
        receiver = Receiver(codec, sink.sample_rate, sink.block, clock())
        where = bound.getsockname()[0]
        only = " (this machine alone; --interface for others, unencrypted)" if arguments.interface is None else ""
        _tell(
            arguments.json,
            f"listening on {where} port {port}{only} -> {codec.name} -> {sink.name}",
            type="started",
            address=where,
            port=port,
            codec=codec.name,
            output=sink.name,
        )

        def over() -> bool:
            return stopped() or (until is not None and time.monotonic() > until)

        with Listener(receiver, bound) as listener:
            sink.begin(receiver.playout)
            _listen(listener, sink, over, is_file, arguments.json)
        stats = receiver.stats
        _tell(arguments.json, _line(stats, sink), type="stopped", **stats.as_dict())
        if not stats.streams:
            raise DeviceError(
                f"no voice came to {where} port {port} ({stats.garbage} datagrams were no RTP, {stats.foreign} of "
                f"another kind or model); start 'rtae send' with the same codec"
            )
    return 0


def _listen(listener: Listener, sink: Sink, over: Callable[[], bool], until_goodbye: bool, as_json: bool) -> None:
    receiver = listener.receiver
    told, streams, left = time.monotonic(), 0, None
    while not over():
        listener.check()
        stats = receiver.stats
        sink.step(stats.streams > 0)
        if stats.streams != streams:
            streams = stats.streams
            _tell(as_json, f"stream {streams} begins", type="event", kind="began", stream=streams)
        if receiver.ended and left is None:
            left = time.monotonic() + receiver.playout.latency_s + _TAIL_S
            _tell(as_json, "the sender said goodbye", type="event", kind="ended", stream=streams)
        elif not receiver.ended:
            left = None
        if until_goodbye and left is not None and time.monotonic() > left:
            return
        if time.monotonic() - told >= _LINE_PERIOD_S:
            told += _LINE_PERIOD_S
            _tell(as_json, _line(stats, sink), type="stats", **stats.as_dict())
        time.sleep(_POLL_S)


def _line(stats: ReceiverStats, sink: Sink) -> str:
    ignored = f", ignored {stats.garbage} garbage {stats.foreign} foreign" if stats.garbage + stats.foreign else ""
    return (
        f"received {stats.received}, lost {100 * stats.loss:.1f} %, jitter {stats.jitter_ms:.1f} ms, "
        f"latency {stats.latency_ms + 1e3 * sink.latency_s:.0f} ms, clocks {stats.drift_ppm:+.0f} ppm, "
        f"late {stats.late}, underruns {stats.underruns}{ignored}"
    )


def _tell(as_json: bool, line: str, **fields: object) -> None:
    print(json.dumps(fields) if as_json else line, flush=True)
