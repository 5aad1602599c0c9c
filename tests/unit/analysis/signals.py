"""Signals that the tests of the analysis share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

RATES = (8_000, 16_000, 44_100, 48_000, 192_000)
CLIPS = sorted((Path(__file__).parents[2] / "data").glob("*-noisy.flac"))


def random_signal(seed: int, samples: int) -> np.ndarray:
    """Noise whose level and slope change, so that no measure is constant."""
    print("seed", seed)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(samples)
    slow = np.convolve(noise, np.ones(16) / 16, mode="same")
    swell = np.linspace(0, 1, samples)
    return (0.1 * (0.1 + swell) * (swell * noise + (1 - swell) * slow)).astype(np.float32)
