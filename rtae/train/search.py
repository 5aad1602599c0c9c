"""Search for a network's size: equal small budgets, validated on several folds, timed in onnxruntime."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from rtae.model import Model
from rtae.train.config import TrainConfig
from rtae.train.distributed import World
from rtae.train.export import export_denoiser
from rtae.train.nets import Denoiser, parameter_count
from rtae.train.session import Folders, make_trainer

CHOICES: dict[str, list[Any]] = {
    "channels": [16, 24, 32, 48],
    "bottleneck_channels": [24, 32, 48, 64],
    "full_band": [32, 64, 96, 128],
    "blocks": [1, 2],
    "learning_rate": [1e-3, 2e-3, 4e-3],
}


@dataclass(frozen=True)
class Trial:
    """One choice and what came of it.

    Attributes
    ----------
    choice : dict
        Values by name, see :data:`CHOICES`.
    score, spread : float
        Mean and standard deviation of the best validation loss over the folds.
    parameters : int
    microseconds : float
        Median time of one hop in onnxruntime on one thread.
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
        for section in ("data", "net", "loss", "optim"):
            lines += ["", f"[{section}]"]
            lines += [f"{key} = {_toml(value)}" for key, value in dataclasses.asdict(getattr(chosen, section)).items()]
        return "\n".join(lines) + "\n"


def search(
    config: TrainConfig, folders: Folders, output: Path, trials: int, budget_minutes: float, folds: int
) -> list[Trial]:
    """Try ``trials`` choices, ``budget_minutes`` a fold, as Optuna's tree-structured Parzen estimator draws them."""
    done: list[Trial] = []

    def objective(trial: optuna.Trial) -> float:
        choice = {name: trial.suggest_categorical(name, values) for name, values in CHOICES.items()}
        chosen = _apply(config, choice)
        world = World(0, 1, Denoiser(chosen.net).analysis.device)
        scores = []
        for fold in range(folds):
            trainer = make_trainer(chosen, folders, output / f"trial-{trial.number}-{fold}", world, fold)
            trainer.run(budget_minutes)
            scores.append(trainer.best)
        assert isinstance(trainer.average, Denoiser)
        microseconds = hop_microseconds(trainer.average, output)
        count = parameter_count(trainer.average)
        done.append(Trial(choice, float(np.mean(scores)), float(np.std(scores)), count, microseconds))
        return done[-1].score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=config.optim.seed))
    study.optimize(objective, n_trials=trials)
    return done


def hop_microseconds(net: Denoiser, folder: Path, hops: int = 500) -> float:
    """Export ``net`` and return the median time of one hop, in microseconds, on one thread."""
    path = folder / "timed.onnx"
    export_denoiser(net, path, "timed", {})
    model = Model(path)
    hop = (0.1 * np.random.default_rng(0).standard_normal((1, model.spec.hop))).astype(np.float32)
    times = []
    for _ in range(hops):
        began = time.perf_counter()
        model.step(hop)
        times.append(time.perf_counter() - began)
    path.unlink()
    return 1e6 * float(np.median(times))


def _apply(config: TrainConfig, choice: dict[str, Any]) -> TrainConfig:
    net = {name: value for name, value in choice.items() if name != "learning_rate"}
    optim = dataclasses.replace(config.optim, learning_rate=choice["learning_rate"])
    return dataclasses.replace(config, net=dataclasses.replace(config.net, **net), optim=optim)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)
