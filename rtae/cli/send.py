"""``rtae send``: speak to another machine, through the codec, as RTP over UDP."""

from __future__ import annotations

import argparse
import ipaddress
import json
import time
from pathlib import Path

from rtae.cli.live import stop_signals

_LINE_PERIOD_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("target", metavar="HOST:PORT", help="where 'rtae receive' listens")
    parser.add_argument("-i", "--input", metavar="FILE|DEVICE", help="sound file, sent at the speed of time, or device")
    parser.add_argument("-m", "--model", default="codec", help="codec by name or path (%(default)s)")
    parser.add_argument("--kbps", type=float, help="bit rate of the voice, headers not counted")
    parser.add_argument("--duration", type=float, metavar="S", help="stop after this many seconds")
    parser.add_argument("--json", action="store_true", help="print JSON lines")


def run(arguments: argparse.Namespace) -> int:
    """Send until the file, the duration or a signal ends it."""
    from rtae.codec import Codec
    from rtae.codec.codec import DEFAULT_KBPS
    from rtae.net.endpoints import FileSource, Microphone
    from rtae.net.sender import HOPS_PER_PACKET, Sender
    from rtae.net.sockets import connect, parse_target

    host, port = parse_target(arguments.target)
    is_file = arguments.input is not None and (Path(arguments.input).suffix or Path(arguments.input).exists())
    until = None if arguments.duration is None else time.monotonic() + arguments.duration
    with (
        FileSource(arguments.input) if is_file else Microphone(arguments.input) as source,
        connect(host, port) as wire,
        stop_signals() as stopped,
    ):
        kbps = DEFAULT_KBPS if arguments.kbps is None else arguments.kbps
        codec = Codec(arguments.model, sample_rate=source.sample_rate, kbps=kbps, hops_per_packet=HOPS_PER_PACKET)
        sender = Sender(codec)
        unheard = 0
        _tell(
            arguments.json,
            f"{source.name} -> {codec.name} {codec.kbps:g} kbps -> {host} port {port}"
            + ("" if _is_loopback(wire.getpeername()[0]) else "; not encrypted: whoever is on the way can listen"),
            type="started",
            input=source.name,
            codec=codec.name,
            kbps=codec.kbps,
            host=host,
            port=port,
        )
        told = time.monotonic()

        def send(datagrams: list[bytes]) -> None:
            nonlocal unheard
            for data in datagrams:
                try:
                    wire.send(data)
                except OSError:  # nobody listens there yet, or the network is away: neither ends the stream
                    unheard += 1

        def over() -> bool:
            return stopped() or (until is not None and time.monotonic() > until)

        for block in source.blocks(over):
            send(sender.send(block))
            if time.monotonic() - told >= _LINE_PERIOD_S:
                told += _LINE_PERIOD_S
                _report(arguments.json, "stats", sender.packets, sender.octets, unheard)
        send(sender.finish())
        _report(arguments.json, "stopped", sender.packets, sender.octets, unheard)
    return 0


def _report(as_json: bool, kind: str, packets: int, octets: int, unheard: int) -> None:
    hint = f", {unheard} refused: is 'rtae receive' running there?" if unheard else ""
    _tell(as_json, f"sent {packets} packets, {octets} bytes{hint}", type=kind, packets=packets, octets=octets,
          refused=unheard)  # fmt: skip


def _tell(as_json: bool, line: str, **fields: object) -> None:
    print(json.dumps(fields) if as_json else line, flush=True)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
