"""DNSMOS as the reference implementation scores it."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from rtae.errors import MissingDependencyError
from rtae.evaluate import dnsmos
from rtae.evaluate.pairs import Pair
from rtae.evaluate.resampling import resample


def speech(pairs: list[Pair], seconds: float) -> np.ndarray:
    audio = np.concatenate([pair.noisy for pair in pairs] * 3)[: round(seconds * 48_000)]
    return resample(audio, 48_000, 16_000)


# By speechmos.dnsmos.run of speechmos 0.0.1.1, on the same signals.
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (3.0, (3.0183, 2.3416, 2.0240)),
        (9.5, (3.3228, 2.7396, 2.4323)),
        (20.5, (3.3015, 2.7499, 2.4113)),
    ],
)
def test_scores_are_those_of_the_reference(
    seconds: float, expected: tuple[float, float, float], pairs: list[Pair]
) -> None:
    assert dnsmos.score(speech(pairs, seconds)) == pytest.approx(expected, abs=0.002)


def test_what_exceeds_full_scale_is_clipped(pairs: list[Pair]) -> None:
    loud = 20 * speech(pairs, 3.0)
    assert np.abs(loud).max() > 1
    assert dnsmos.score(loud) == dnsmos.score(np.clip(loud, -1, 1))


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    dnsmos._session.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"speechmos.*rtae\[peers\]"):
        dnsmos.score(np.zeros(16_000))
