"""From a configuration and folders of recordings to a trainer that is ready to run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor

from rtae.errors import ParameterError
from rtae.shipped import OTHER_NAMES, find
from rtae.train.checkpoint import load_checkpoint, save_checkpoint
from rtae.train.codec_nets import Codec
from rtae.train.coding import CodingTask
from rtae.train.config import TrainConfig, load_config, parse_config
from rtae.train.denoising import DenoisingTask
from rtae.train.distributed import World, first_on_each_machine
from rtae.train.loop import Task, Trainer
from rtae.train.mix import Material, Mixer
from rtae.train.nets import Denoiser
from rtae.train.rooms import simulated_rooms
from rtae.train.store import Store, open_store

CONFIGS = Path(__file__).parent / "configs"
VALIDATION_SHARE = 0.05
VALIDATION_SEED = 1_000_003


@dataclass(frozen=True)
class Folders:
    """Where recordings are and where decoded ones are kept."""

    speech: Path
    noise: Path
    cache: Path


def find_config(name: str) -> TrainConfig:
    """Load a configuration by path, or by name from those in the package.

    Raises
    ------
    ParameterError
        If there is none; the message lists those in the package.
    """
    bundled = {path.stem: path for path in sorted(CONFIGS.glob("*.toml"))}
    path = bundled.get(name, Path(name))
    if not path.is_file():
        raise ParameterError(f"no configuration {name}; give a .toml file or one of {', '.join(bundled)}")
    return load_config(path)


def open_material(config: TrainConfig, folders: Folders, fold: int = 0) -> tuple[Material, Material]:
    """Open what training and validation draw from: other speakers, other classes of noise, other rooms.

    ``fold`` chooses which speakers and classes are held out, for cross-validation.
    """
    rate = config.sample_rate
    speech, noise = (open_store(folder, folders.cache, rate) for folder in (folders.speech, folders.noise))
    parts = zip(speech.split(VALIDATION_SHARE, fold), noise.split(VALIDATION_SHARE, fold), (1, 2), strict=True)

    def material(speech: Store, noise: Store, seed: int) -> Material:
        count = 100 if seed == 1 else 20
        return Material(speech, noise, simulated_rooms(folders.cache, rate, seed, count))

    training, validation = (material(*part) for part in parts)
    return training, validation


def make_trainer(config: TrainConfig, folders: Folders, output: Path, world: World, fold: int = 0) -> Trainer:
    """Return a trainer of the network that ``config`` describes."""
    if config.optim.batch % world.size:
        raise ParameterError(f"optim.batch is {config.optim.batch}; it must divide by the {world.size} processes")
    with first_on_each_machine():
        training, validation = open_material(config, folders, fold)
    mixer = Mixer(training, config.data, config.optim.seed)
    task_of = DenoisingTask if config.codec is None else CodingTask
    as_recorded = dataclasses.replace(config.data, speed_share=0.0, quiet_share=0.0)
    task: Task = task_of(config, mixer, Mixer(validation, as_recorded, VALIDATION_SEED))
    return Trainer(config, task, output, world)


def load_denoiser(path: Path) -> tuple[Denoiser, TrainConfig, dict[str, Any]]:
    """Return the averaged network of a checkpoint, its configuration and the checkpoint's facts."""
    tensors, facts = load_checkpoint(path)
    config = parse_config(facts["config"])
    if config.codec is not None:
        raise ParameterError(f"{path} is a codec's checkpoint, a denoiser's is needed")
    net = Denoiser(config.net).eval()
    net.load_state_dict(_averaged(tensors))
    return net, config, facts


def load_codec(path: Path) -> tuple[Codec, TrainConfig, dict[str, Any]]:
    """Return the averaged codec of a checkpoint, its configuration and the checkpoint's facts."""
    tensors, facts = load_checkpoint(path)
    config = parse_config(facts["config"])
    if config.codec is None:
        raise ParameterError(f"{path} is a denoiser's checkpoint, a codec's is needed")
    net = Codec(config.codec).eval()
    net.load_state_dict({key.removeprefix("codec."): value for key, value in _averaged(tensors).items()})
    return net, config, facts


def is_codec(path: Path) -> bool:
    """Return whether the checkpoint at ``path`` is a codec's."""
    return load_checkpoint(path)[1]["config"].get("codec") is not None


def _averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the averaged weights of a checkpoint without those of an adversary."""
    averaged = {key.removeprefix("average."): value for key, value in tensors.items() if key.startswith("average.")}
    return {key: value for key, value in averaged.items() if not key.startswith("discriminator.")}


def save_weights(checkpoint: Path, path: Path) -> None:
    """Write the averaged weights of ``checkpoint`` alone: a fifth of its size, enough to adapt or export the model.

    A codec's matrices are kept in half precision, as its export rounds them.
    """
    tensors, facts = load_checkpoint(checkpoint)
    coding = facts["config"].get("codec") is not None
    weights = {
        f"average.{key}": value.half() if coding and value.ndim > 1 and value.is_floating_point() else value
        for key, value in _averaged(tensors).items()
    }
    save_checkpoint(path, weights, facts)


def find_weights(name: str) -> Path:
    """Return the file of weights of that path, or of the shipped model of that name.

    Raises
    ------
    ParameterError
        If there is none.
    """
    for path in (Path(name), find("denoise").parent / f"{OTHER_NAMES.get(name, name)}.safetensors"):
        if path.is_file():
            return path
    raise ParameterError(f"no weights {name}: give a .safetensors file or the name of a shipped model")


def fine_tuning(weights: str) -> TrainConfig:
    """Return the configuration that adapts the model of ``weights``: its own, with small and short steps."""
    config = parse_config(load_checkpoint(find_weights(weights))[1]["config"])
    optim = dataclasses.replace(
        config.optim, learning_rate=2e-4, warmup_steps=20, ema=0.99, steps=2000, validate_every=100
    )
    return dataclasses.replace(config, name=f"{config.name}-adapted", optim=optim)


def bundled_speech() -> Path:
    """Return the folder of clean speech in the package: some minutes, enough to adapt a model or try the trainer."""
    return Path(str(resources.files("rtae") / "assets" / "speech"))
