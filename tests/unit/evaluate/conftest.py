from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtae.evaluate.pairs import Pair

DATA = Path(__file__).parents[2] / "data"
NAMES = ("full-band-17dB", "full-band-minus-2dB", "wide-band-2dB")


def read(name: str, side: str) -> np.ndarray:
    audio, rate = soundfile.read(DATA / f"{name}-{side}.flac", dtype="float32")
    assert rate == 48_000 and len(audio) > rate
    return audio


@pytest.fixture(scope="session")
def pairs() -> list[Pair]:
    """Real recordings: speech and the same with a kitchen noise."""
    return [Pair(name, read(name, "clean"), read(name, "noisy"), 48_000) for name in NAMES]


@pytest.fixture(scope="session")
def pair(pairs: list[Pair]) -> Pair:
    return pairs[1]
