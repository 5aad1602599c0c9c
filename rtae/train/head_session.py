"""A classifier from folders of recordings to its checkpoint: what ``rtae train heads/...`` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rtae.errors import ModelFormatError, ParameterError
from rtae.train.checkpoint import load_checkpoint, save_checkpoint
from rtae.train.head_data import load_noises, load_words, log_mel
from rtae.train.head_task import conditions, held_out, variants
from rtae.train.head_training import Examples, predictions, train_head
from rtae.train.heads import BANDS, CONFIGS, Head, HeadConfig, load_head_config

PREFIX = "heads/"
"""Configurations of heads are named so, as their files lie."""

LEVEL = 0.3
"""Spread of the loudness in training, in the units of log-mel bands: about 5 dB."""


def find_head_config(name: str) -> HeadConfig:
    """Load a head's configuration by path, or by name from those in the package.

    Raises
    ------
    ParameterError
        If there is none; the message lists those in the package.
    """
    bundled = {f"{PREFIX}{path.stem}": path for path in sorted(CONFIGS.glob("*.toml"))}
    path = bundled.get(name, Path(name))
    if not path.is_file():
        raise ParameterError(f"no configuration {name} of a head; give a .toml file or one of {', '.join(bundled)}")
    return load_head_config(path)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A head over log-mel bands and what it gets right.

    Attributes
    ----------
    head : Head
    config : HeadConfig
    classes : tuple of str
    validation, test : dict
        Share of right answers by condition, on speakers and noises it was not trained on: to compare
        configurations on, and to report.
    """

    head: Head
    config: HeadConfig
    classes: tuple[str, ...]
    validation: Mapping[str, float]
    test: Mapping[str, float]


def train_classifier(config: HeadConfig, sounds_folder: Path, noise_folder: Path, seed: int = 1) -> Trained:
    """Train a head to tell the sounds of a folder apart, see :func:`rtae.train.head_data.load_words`.

    Raises
    ------
    ParameterError
        If there are no sounds or noises, or too few speakers to hold some out.
    """
    sounds = load_words(sounds_folder)
    split = held_out(sounds)
    made = variants(sounds.audio[split.train], load_noises(noise_folder, test=False))
    features = np.stack([log_mel(make()) for make in made.values()], axis=1)
    examples = Examples(features, sounds.labels[split.train])
    head = train_head(config, examples, len(sounds.classes), seed=seed, level=LEVEL)
    unseen = split.unseen
    heard = conditions(sounds.audio[unseen], load_noises(noise_folder, test=True))
    right = {name: predictions(head, log_mel(make())) == sounds.labels[unseen] for name, make in heard.items()}
    validation, test = ({name: float(values[np.isin(unseen, part)].mean()) for name, values in right.items()}
                        for part in (split.validation, split.test))  # fmt: skip
    return Trained(head, config, sounds.classes, validation, test)


def save_head(path: Path, trained: Trained) -> None:
    """Write a head's checkpoint.

    Raises
    ------
    RtaeError
        If the file cannot be written.
    """
    facts = {
        "head": dataclasses.asdict(trained.config),
        "classes": trained.classes,
        "accuracy": dict(trained.test),
        "validation_accuracy": dict(trained.validation),
    }
    save_checkpoint(path, {f"average.{key}": value for key, value in trained.head.state_dict().items()}, facts)


def is_head(path: Path) -> bool:
    """Return whether the checkpoint at ``path`` is a head's."""
    return "head" in load_checkpoint(path)[1]


def load_head(path: Path) -> tuple[Head, dict[str, Any]]:
    """Return the head of a checkpoint and the checkpoint's facts.

    Raises
    ------
    ModelFormatError
        If it is missing or not a head's.
    """
    tensors, facts = load_checkpoint(path)
    if "head" not in facts:
        raise ModelFormatError(f"{path} is not a head's checkpoint")
    head = Head(HeadConfig(**facts["head"]), BANDS, len(facts["classes"])).eval()
    head.load_state_dict({key.removeprefix("average."): value for key, value in tensors.items()})
    return head, facts
