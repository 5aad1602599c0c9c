"""Search for a network's size: equal small budgets, validated on several folds, timed in onnxruntime."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from torch import nn

from rtae.model import Model
from rtae.train.codec_nets import Codec
from rtae.train.coding import CodingNet
from rtae.train.config import TrainConfig
from rtae.train.distributed import World
from rtae.train.export import export_denoiser
from rtae.train.export_codec import export_codec
from rtae.train.nets import Denoiser, parameter_count
from rtae.train.session import Folders, make_trainer

CHOICES: dict[str, list[Any]] = {
    "channels": [16, 24, 32, 48],
    "bottleneck_channels": [24, 32, 48, 64],
    "full_band": [64, 96, 128, 192, 256],
    "blocks": [1, 2],
    "learning_rate": [1e-3, 2e-3, 4e-3],
}
"""Of a denoiser."""

CODEC_CHOICES: dict[str, list[Any]] = {"latent": [8, 16, 32, 64]}
"""Of a codec: its bottleneck, each in turn."""


@dataclass(frozen=True)
class Trial:
    """One choice and what came of it.

    Attributes
    ----------
    choice : dict
        Values by name, see :data:`CHOICES` and :data:`CODEC_CHOICES`.
    score, spread : float
        Mean and standard deviation of the best validation loss over the folds.
    parameters : int
    microseconds : float
        Median time of one hop in onnxruntime on one thread; of a codec, of both ends.
    """

    choice: dict[str, Any]
    score: float
    spread: float
    parameters: int
    microseconds: float

    def toml(self, config: TrainConfig) -> str:
        """Return ``config`` with this choice, as a TOML file."""
        chosen = _apply(config, self.choice)
        lines = [f'name = "{chosen.name}"']
        for section in ("data", "net" if chosen.codec is None else "codec", "loss", "optim"):
            lines += ["", f"[{section}]"]
            lines += [f"{key} = {_toml(value)}" for key, value in dataclasses.asdict(getattr(chosen, section)).items()]
        return "\n".join(lines) + "\n"


def search(
    config: TrainConfig, folders: Folders, output: Path, trials: int, budget_minutes: float, folds: int
) -> list[Trial]:
    """Try ``trials`` choices, ``budget_minutes`` a fold; each leaves its checkpoints in ``output/trial-NUMBER-FOLD``.

    A denoiser's choices are drawn by Optuna's tree-structured Parzen estimator, a codec's are taken in turn. Codebooks
    start after ``codec.continuous_steps`` and the budget must reach beyond; a VAE has none.
    """
    choices = CHOICES if config.codec is None else CODEC_CHOICES
    done: list[Trial] = []

    def objective(trial: optuna.Trial) -> float:
        choice = {name: trial.suggest_categorical(name, values) for name, values in choices.items()}
        chosen = _apply(config, choice)
        scores = []
        for fold in range(folds):
            folder = output / f"trial-{trial.number}-{fold}"
            trainer = make_trainer(chosen, folders, folder, World(0, 1, torch.device("cpu")), fold)
            trainer.run(budget_minutes)
            scores.append(trainer.best)
        net = trainer.average.codec if isinstance(trainer.average, CodingNet) else trainer.average
        microseconds = hop_microseconds(net, output)
        done.append(Trial(choice, float(np.mean(scores)), float(np.std(scores)), parameter_count(net), microseconds))
        return done[-1].score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = config.optim.seed
    drawn = optuna.samplers.TPESampler(seed=seed)
    sampler = drawn if config.codec is None else optuna.samplers.GridSampler(choices, seed=seed)
    optuna.create_study(sampler=sampler).optimize(objective, n_trials=trials)
    return done


def hop_microseconds(net: nn.Module, folder: Path, hops: int = 500) -> float:
    """Export a denoiser or codec and return the median time of one hop, in microseconds, on one thread."""
    noise = (0.1 * np.random.default_rng(0).standard_normal((1, 1 << 16))).astype(np.float32)
    with tempfile.TemporaryDirectory(dir=folder) as exported:
        if isinstance(net, Denoiser):
            export_denoiser(net, Path(exported) / "timed.onnx", "timed", {})
        else:
            assert isinstance(net, Codec)
            export_codec(net, Path(exported), "timed", {})
        models = {model.spec.kind: model for model in map(Model, sorted(Path(exported).glob("*.onnx")))}
    chain = [_stepper(models[kind]) for kind in sorted(models, reverse=True)]  # the encoder before the decoder
    audio = noise[:, : next(iter(models.values())).spec.hop]
    times = []
    for _ in range(hops):
        began = time.perf_counter()
        passed = audio
        for step in chain:
            passed = step(passed)
        times.append(time.perf_counter() - began)
    return 1e6 * float(np.median(times))


def _stepper(model: Model) -> Callable[[Any], Any]:
    steps: dict[str, Callable[[Any], Any]] = {
        "denoiser": model.step,
        "encoder": model.encode_step,
        "decoder": model.decode_step,
        "vae-encoder": model.latents_step,
        "vae-decoder": model.decode_latents_step,
    }
    return steps[model.spec.kind]


def _apply(config: TrainConfig, choice: dict[str, Any]) -> TrainConfig:
    if config.codec is not None:
        return dataclasses.replace(config, codec=dataclasses.replace(config.codec, **choice))
    net = {name: value for name, value in choice.items() if name != "learning_rate"}
    optim = dataclasses.replace(config.optim, learning_rate=choice["learning_rate"])
    return dataclasses.replace(config, net=dataclasses.replace(config.net, **net), optim=optim)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(list(value)) if isinstance(value, tuple) else str(value)
