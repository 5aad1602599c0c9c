"""Means with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """Mean over recordings.

    Attributes
    ----------
    mean : float
        The mean.
    low, high : float
        Ends of its 95 % confidence interval.
    count : int
        Recordings it is the mean of.
    """

    mean: float
    low: float
    high: float
    count: int


def bootstrap(values: Sequence[float | None], seed: int) -> Estimate | None:
    """Mean of the values that are defined, with a percentile bootstrap interval (Efron 1979).

    Parameters
    ----------
    values : sequence of float or None
        One value a recording.
    seed : int
        Seed of the resampling. With the same seed, the same recordings are drawn for every system.

    Returns
    -------
    Estimate or None
        None if no value is defined.
    """
    defined = np.array([value for value in values if value is not None])
    if not len(defined):
        return None
    draws = np.random.default_rng(seed).integers(0, len(defined), (RESAMPLES, len(defined)))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(defined[draws].mean(axis=1), [tail, 100 - tail])
    return Estimate(float(defined.mean()), float(low), float(high), len(defined))
