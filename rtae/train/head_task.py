"""What a head is trained on and what it is tested on: unseen speakers, unseen noise, clean and disturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from rtae.errors import ParameterError
from rtae.train.head_data import Sounds, denoised, in_noise

SNRS: dict[str, float | None] = {"clean": None, "10 dB": 10.0, "0 dB": 0.0}
"""Conditions of a test: ratio of sound to noise in decibels, None without noise."""

Made = Callable[[], np.ndarray]
"""Makes audio (examples, samples) when it is needed."""


@dataclass(frozen=True)
class Split:
    """Examples by what they are for, as indices into :class:`rtae.train.head_data.Sounds`.

    Attributes
    ----------
    train : ndarray of int
        What a head learns from.
    validation : ndarray of int
        What heads are compared on; may be empty.
    test : ndarray of int
        What is reported, and decides nothing.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def unseen(self) -> np.ndarray:
        """What no head learns from, in order."""
        return np.sort(np.concatenate([self.validation, self.test]))


def held_out(sounds: Sounds) -> Split:
    """Hold out a fifth of the groups (speakers) for the test, and a sixth of the others to compare heads on.

    Raises
    ------
    ParameterError
        If there are fewer than three groups.
    """
    groups = sorted(set(sounds.groups.tolist()))
    if len(groups) < 3:
        raise ParameterError(
            f"the sounds are of {len(groups)} speakers (SPEAKER in SPEAKER-TAKE.wav); "
            "give at least 3, of which some are held out"
        )
    test = groups[::5]
    rest = [group for group in groups if group not in test]
    return _split(sounds, rest[::6], test)


def folds(sounds: Sounds) -> list[Split]:
    """Hold out one group after the other for the test; nothing is left to compare heads on."""
    return [_split(sounds, [], [group]) for group in sorted(set(sounds.groups.tolist()))]


def _split(sounds: Sounds, validation: list[str], test: list[str]) -> Split:
    in_validation, in_test = (np.isin(sounds.groups, part) for part in (validation, test))
    return Split(*map(np.flatnonzero, (~(in_validation | in_test), in_validation, in_test)))


def conditions(audio: np.ndarray, noises: list[np.ndarray]) -> dict[str, Made]:
    """Return what makes each of :data:`SNRS` of ``audio`` (examples, samples), by name."""

    def noisy(snr_db: float | None) -> np.ndarray:
        return audio if snr_db is None else in_noise(audio, noises, np.full(len(audio), snr_db), seed=11)

    return {name: partial(noisy, snr_db) for name, snr_db in SNRS.items()}


def variants(audio: np.ndarray, noises: list[np.ndarray]) -> dict[str, Made]:
    """Return what makes the versions a head learns from: clean, in noise of -3 to 20 dB, and such noise denoised."""
    snr_db = [np.random.default_rng(seed).uniform(-3, 20, len(audio)) for seed in (21, 22)]
    return {
        "clean": lambda: audio,
        "noisy": lambda: in_noise(audio, noises, snr_db[0], seed=21),
        "denoised": lambda: denoised(in_noise(audio, noises, snr_db[1], seed=22)),
    }
