"""``rtae info``: what a model file, or a stream of the codec, says of itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rtae.codec.container import StreamReader
from rtae.codec.header import MAGIC
from rtae.errors import BitstreamError, TruncatedStreamError
from rtae.model import Model
from rtae.shipped import find
from rtae.spec import ModelSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="shipped model, model file, or stream that 'rtae encode' wrote")


def run(arguments: argparse.Namespace) -> int:
    """Check the model by loading it, or the stream by reading it through, and print the facts."""
    path = Path(arguments.file)
    if _is_stream(path):
        return _show_stream(path)
    path = find(arguments.file)
    _show(dict(_facts(Model(path).spec)) | {"file": f"{path}, {path.stat().st_size / 1024:.0f} KiB"})
    return 0


def _show(facts: Mapping[str, object]) -> None:
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:{width}}  {value}")


def _is_stream(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _show_stream(path: Path) -> int:
    """Print what a stream holds; 1 if it is damaged or ends early."""
    packets = hops = bits = missing = 0
    stages = set()
    early = ""
    with path.open("rb") as file:
        try:
            reader = StreamReader(file)
            for lost, packet in reader.packets():
                missing += lost
                if packet is not None:
                    packets, hops = packets + 1, hops + packet.hops
                    bits += packet.codes.size * packet.bits
                    stages.add(packet.stages)
        except TruncatedStreamError as error:
            early = str(error)
        except BitstreamError as error:
            raise BitstreamError(f"cannot read '{path}': {error}") from None
    header, size = reader.header, path.stat().st_size
    form, hop_s = header.packet_format, float(header.hop_s)
    stage_kbps = form.bits / hop_s / 1e3
    facts: dict[str, object] = {
        "kind": "stream",
        "codec": header.name,
        "SHA-256 of its decoder": header.identity,
        "sample rate": f"{header.sample_rate} Hz",
        "channels": form.channels,
    }
    if reader.samples is not None:
        facts["length"] = f"{reader.samples} samples, {reader.samples / header.sample_rate:.2f} s"
    facts["packets"] = f"{packets} of up to {header.hops_per_packet} hops of {1e3 * hop_s:g} ms"
    if hops:
        low, high = (f"{count * stage_kbps:g}" for count in (min(stages), max(stages)))
        facts["bit rate"] = f"{low if low == high else f'{low} to {high}'} kbit/s a channel"
        seconds = hops * hop_s
        facts["mean bit rate"] = f"{bits / seconds / 1e3:.2f} kbit/s in all, {8e-3 * size / seconds:.2f} with overhead"
    facts["file"] = f"{path}, {size} bytes"
    _show(facts)
    if reader.damaged:
        print(
            f"rtae: '{path}' is damaged: {reader.damaged} bytes skipped, {missing * hop_s:.2f} s lost", file=sys.stderr
        )
    if early:
        print(f"rtae: '{path}': {early}", file=sys.stderr)
    return 1 if reader.damaged or early else 0


def _facts(spec: ModelSpec) -> Iterator[tuple[str, object]]:
    def time(samples: int) -> str:
        return f"{samples} samples, {1e3 * samples / spec.sample_rate:.2f} ms"

    yield "name", spec.name
    yield "kind", spec.kind
    yield "sample rate", f"{spec.sample_rate} Hz"
    yield "hop", time(spec.hop)
    yield "delay", time(spec.delay)
    yield "algorithmic latency", time(spec.algorithmic_latency)
    yield "bandwidth", f"{spec.bandwidth_hz:g} Hz"
    yield "state", f"{spec.state_size} numbers a stream"
    if spec.codebooks:
        rate = spec.codebooks * spec.codebook_bits * spec.sample_rate / spec.hop
        yield "codebooks", f"{spec.codebooks} of {spec.codebook_bits} bits, up to {rate:.0f} bit/s"
    if spec.latent_size:
        yield "latents", f"{spec.latent_size} numbers a hop"
    if spec.classes:
        yield "classes", ", ".join(spec.classes)
    yield from _leaves("training", spec.training)
    yield from _leaves("metrics", spec.metrics)
    yield "commit", spec.commit or "unknown"
    yield "format", spec.format_version


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Flatten nested mappings to dotted names."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{prefix}.{name}", inner)
    else:
        yield prefix, value
