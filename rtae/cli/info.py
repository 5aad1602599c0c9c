"""``rtae info``: what a model file says of itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from rtae.model import Model
from rtae.shipped import find
from rtae.spec import ModelSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="shipped model or model file")


def run(arguments: argparse.Namespace) -> int:
    """Load the model, which checks it, and print its spec."""
    path = find(arguments.model)
    facts = dict(_facts(Model(path).spec)) | {"file": f"{path}, {path.stat().st_size / 1024:.0f} KiB"}
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:{width}}  {value}")
    return 0


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
