"""Delays measured on real speech."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from rtae.evaluate.alignment import DelayMeter
from rtae.evaluate.pairs import Pair

RATE = 48_000


def delayed(audio: np.ndarray, samples: int) -> np.ndarray:
    return np.concatenate([np.zeros(samples, audio.dtype), audio])[: len(audio)]


@pytest.mark.parametrize("samples", [0, 1, 63, 480, 2048])
@pytest.mark.parametrize("declared", [0, 384])
def test_a_delay_is_found_whatever_is_declared(samples: int, declared: int, pairs: list[Pair]) -> None:
    meter = DelayMeter(RATE, declared)
    for pair in pairs:
        meter.add(pair.clean, delayed(pair.clean, samples))
    assert meter.delay == pytest.approx(samples, abs=0.01)


def test_an_output_ahead_of_its_input_is_told(pair: Pair) -> None:
    meter = DelayMeter(RATE, 0)
    meter.add(delayed(pair.clean, 100), pair.clean)
    assert meter.delay == pytest.approx(-100, abs=0.01)


def test_half_a_sample_is_seen(pair: Pair) -> None:
    size = 1 << len(pair.clean).bit_length()
    spectrum = np.fft.rfft(pair.clean, size)
    shift = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * 10.5)
    meter = DelayMeter(RATE, 0)
    meter.add(pair.clean, np.fft.irfft(spectrum * shift, size)[: len(pair.clean)])
    assert meter.delay == pytest.approx(10.5, abs=0.1)


def test_noise_gain_and_a_filter_do_not_hide_the_delay(pair: Pair) -> None:
    rng = np.random.default_rng(1)
    changed = 0.2 * delayed(pair.clean, 300) + rng.normal(0, 0.0005, len(pair.clean))
    changed = sosfilt(butter(1, 100, "highpass", fs=RATE, output="sos"), changed)
    meter = DelayMeter(RATE, 0)
    meter.add(pair.clean, changed)
    assert meter.delay == pytest.approx(300, abs=0.5)


def test_what_does_not_resemble_the_input_has_no_delay(pair: Pair) -> None:
    meter = DelayMeter(RATE, 0)
    assert meter.delay is None
    meter.add(pair.clean, np.zeros_like(pair.clean))
    assert meter.delay is None
    meter.add(pair.clean, np.random.default_rng(2).normal(size=len(pair.clean)))
    assert meter.delay is None


def test_another_voice_has_no_delay(pairs: list[Pair]) -> None:
    meter = DelayMeter(RATE, 0)
    meter.add(pairs[0].clean, pairs[1].clean)
    assert meter.delay is None


def test_a_recording_shorter_than_the_search_is_no_trouble(pair: Pair) -> None:
    short = pair.clean[30_000:32_000]
    assert np.abs(short).max() > 0.01
    meter = DelayMeter(RATE, 9_600)
    meter.add(short, delayed(short, 40))
    assert meter.delay == pytest.approx(40, abs=0.05)
