from __future__ import annotations

import numpy as np
import pytest

from rtae.evaluate.resampling import resample


def tone(frequency: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48_000, 16_000), (16_000, 48_000), (44_100, 16_000), (8_000, 48_000)])
def test_a_tone_stays_itself_in_place(from_hz: int, to_hz: int) -> None:
    given, expected = tone(1000, from_hz), tone(1000, to_hz)
    found = resample(given, from_hz, to_hz)
    assert len(found) == -(-len(given) * to_hz // from_hz)
    middle = slice(to_hz // 8, -to_hz // 8)
    error = found[: len(expected)][middle] - expected[: len(found)][middle]
    assert len(error) > 1000
    assert np.abs(error).max() < 1e-4


def test_the_pass_band_ends_at_0_913_and_the_stop_band_begins_at_1() -> None:
    def level(frequency: float) -> float:
        return float(np.std(resample(tone(frequency, 48_000), 48_000, 16_000)[1000:-1000]) * np.sqrt(2))

    assert level(0.913 * 8000) == pytest.approx(1.0, abs=1e-3)
    assert level(8000) < 10 ** (-100 / 20)
    assert level(8700) < 10 ** (-100 / 20), "the default filter of scipy lets this alias"


def test_the_same_rate_is_the_same_array() -> None:
    audio = tone(100, 16_000)
    assert resample(audio, 16_000, 16_000) is audio


def test_the_type_is_kept() -> None:
    assert resample(tone(100, 48_000).astype(np.float32), 48_000, 16_000).dtype == np.float32
