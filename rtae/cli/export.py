"""``rtae export``: from a checkpoint to a verified model file."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtae.cli.torch_extra import need_torch
from rtae.errors import ParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="best.safetensors of a training")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="model file to write (.onnx)")
    parser.add_argument("--name", help="name of the model (that of its configuration)")
    parser.add_argument("--data", default="", metavar="TEXT", help="what it was trained on and under which licences")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="also write the averaged weights (.safetensors)")
    parser.add_argument("--int8", type=Path, metavar="FILE", help="also write a quantised model, and say what it costs")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def run(arguments: argparse.Namespace) -> int:
    """Export, verify, write, and print what the verification found."""
    need_torch()
    from rtae.train.export import export_denoiser
    from rtae.train.loop import prepare_process
    from rtae.train.session import load_denoiser, save_weights

    for path in (arguments.output, arguments.weights, arguments.int8):
        if path is not None and path.exists() and not arguments.force:
            raise ParameterError(f"{path} exists; --force overwrites it")
    prepare_process(1)
    net, config, facts = load_denoiser(arguments.checkpoint)
    hours = facts["examples"] * config.data.segment_s / 3600
    training = {"data": arguments.data, "hours_heard": round(hours, 2), "steps": facts["step"]}
    found = export_denoiser(net, arguments.output, arguments.name or config.name, training)
    if arguments.weights:
        save_weights(arguments.checkpoint, arguments.weights)
    if arguments.int8:
        from rtae.train.quantized import export_int8

        found |= export_int8(arguments.output, arguments.int8)
    for name, value in found.items():
        print(f"{name:24} {value:.3g}" if isinstance(value, float) else f"{name:24} {value}")
    return 0
