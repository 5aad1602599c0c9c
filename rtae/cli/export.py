"""``rtae export``: from a checkpoint to a verified model file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtae.cli.torch_extra import need_torch
from rtae.errors import ParameterError

if TYPE_CHECKING:
    from rtae.train.config import TrainConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="best.safetensors of a training, last.safetensors of a classifier's",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="model file to write (.onnx); for a codec the folder of its two files",
    )
    parser.add_argument("--name", help="name of the model (that of its configuration; of a classifier, of FILE)")
    parser.add_argument("--data", default="", metavar="TEXT", help="what it was trained on and under which licences")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="also write the averaged weights (.safetensors)")
    parser.add_argument("--int8", type=Path, metavar="FILE", help="also write a quantised model, and say what it costs")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def run(arguments: argparse.Namespace) -> int:
    """Export, verify, write, and print what the verification found."""
    need_torch()
    from rtae.train.head_session import is_head
    from rtae.train.loop import prepare_process
    from rtae.train.session import is_codec, save_weights

    classifying = is_head(arguments.checkpoint)
    coding = not classifying and is_codec(arguments.checkpoint)
    if arguments.int8 and (coding or classifying):
        raise ParameterError("--int8 is for denoisers; leave it out")
    if arguments.weights and classifying:
        raise ParameterError("a classifier's checkpoint is its weights already; leave out --weights")
    # the names of a codec's files are known only to its export, which checks them itself
    for path in (None if coding else arguments.output, arguments.weights, arguments.int8):
        if path is not None and path.exists() and not arguments.force:
            raise ParameterError(f"{path} exists; --force overwrites it")
    prepare_process(1)
    found = (_classifier if classifying else _codec if coding else _denoiser)(arguments)
    if arguments.weights:
        save_weights(arguments.checkpoint, arguments.weights)
    if arguments.int8:
        from rtae.train.quantized import export_int8

        found |= export_int8(arguments.output, arguments.int8)
    for name, value in found.items():
        print(f"{name:24} {value:.3g}" if isinstance(value, float) else f"{name:24} {value}")
    return 0


def _classifier(arguments: argparse.Namespace) -> dict[str, Any]:
    from rtae.train.export_head import export_head_checkpoint

    name = arguments.name or arguments.output.stem
    return export_head_checkpoint(arguments.checkpoint, arguments.output, name, arguments.data)


def _denoiser(arguments: argparse.Namespace) -> dict[str, Any]:
    from rtae.train.export import export_denoiser
    from rtae.train.session import load_denoiser

    net, config, facts = load_denoiser(arguments.checkpoint)
    name = arguments.name or config.name
    return export_denoiser(net, arguments.output, name, _training(arguments, config, facts))


def _codec(arguments: argparse.Namespace) -> dict[str, Any]:
    from rtae.train.export_codec import export_codec
    from rtae.train.session import load_codec

    codec, config, facts = load_codec(arguments.checkpoint)
    name, training = arguments.name or config.name, _training(arguments, config, facts)
    return export_codec(codec, arguments.output, name, training, overwrite=arguments.force)


def _training(arguments: argparse.Namespace, config: TrainConfig, facts: dict[str, Any]) -> dict[str, Any]:
    from rtae.train.metric_losses import trained_on

    hours = facts["examples"] * config.data.segment_s / 3600
    measures = trained_on(config.loss)
    return {
        "data": arguments.data,
        "hours_heard": round(hours, 2),
        "steps": facts["step"],
        **({"trained_on_measures": measures} if measures else {}),
    }
