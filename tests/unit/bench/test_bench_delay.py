"""Delay measured from signals whose delay is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from rtae.bench import coded, measure_delay, speech_like
from rtae.errors import ParameterError

RATES = [8_000, 16_000, 44_100, 48_000]


def delayed(probe, delay, offset_ppm=0.0):
    """`probe` after a delay that need not be whole, on a clock that runs otherwise: 64-tap windowed sinc."""
    ratio = 1.0 + 1e-6 * offset_ppm
    time = (np.arange(int(len(probe) * ratio + delay) + 64) - delay) / ratio
    base = np.floor(time).astype(int)
    padded = np.concatenate([np.zeros(64), probe, np.zeros(200)])
    result = np.zeros(len(time))
    for tap in range(-31, 33):
        index = np.clip(base + tap + 64, 0, len(padded) - 1)
        distance = time - base - tap
        result += padded[index] * np.sinc(distance) * (0.5 + 0.5 * np.cos(np.pi * distance / 33))
    return result


def noisy(signal, snr_db, seed=5):
    print("seed", seed)
    power = np.mean(np.square(signal)) / 10 ** (snr_db / 10)
    return signal + np.sqrt(power) * np.random.default_rng(seed).standard_normal(len(signal))


@pytest.mark.parametrize("make", [speech_like, coded])
@pytest.mark.parametrize("rate", RATES)
def test_whole_delays_are_exact_and_hold_20_db_of_noise(rate, make):
    probe = make(rate, 2.0, 3)
    for delay in (0, 1, 2, 63, 480, 1009, 4999, 5000):
        heard = np.concatenate([np.zeros(delay), probe])
        clean = measure_delay(probe, heard, rate, longest_samples=6000)
        assert clean.delay_samples == pytest.approx(delay, abs=0.01)
        assert clean.confidence >= 0.8 and clean.offset_ppm == 0.0 and clean.agrees_with(delay)
        rough = measure_delay(probe, noisy(heard, 20.0), rate, longest_samples=6000)
        assert rough.delay_samples == pytest.approx(delay, abs=0.1)
        assert not rough.agrees_with(delay + 1)


@pytest.mark.parametrize("make", [speech_like, coded])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("offset_ppm", [100.0, -100.0])
def test_an_offset_of_the_clocks_is_found_beside_the_delay(rate, make, offset_ppm):
    probe = make(rate, 4.0, 1)
    found = measure_delay(probe, noisy(delayed(probe, 333.25, offset_ppm), 20.0), rate)
    assert found.delay_samples == pytest.approx(333.25, abs=0.5)
    assert found.offset_ppm == pytest.approx(offset_ppm, abs=15.0)


def test_a_fraction_of_a_sample_is_found():
    probe = coded(48_000, 2.0)
    for fraction in (0.25, 0.5, 0.9):
        found = measure_delay(probe, delayed(probe, 100 + fraction), 48_000)
        assert found.delay_samples == pytest.approx(100 + fraction, abs=0.05)


def no_signals(rate, count):
    random = np.random.default_rng(8)
    time = np.arange(count) / rate
    return {
        "silence": np.zeros(count),
        "dc": np.full(count, 0.3),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * time) + 0.1 * np.sin(2 * np.pi * 150 * time),
        "whistle": 0.2 * np.sin(2 * np.pi * 1000 * time),
        "noise": 0.1 * random.standard_normal(count),
        "other speech": speech_like(rate, count / rate, seed=99),
        "nan": np.full(count, np.nan),
        "one click": np.eye(1, count, count // 3)[0],
    }


@pytest.mark.parametrize("make", [speech_like, coded])
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_a_broken_loop_gives_no_number(rate, make):
    probe = make(rate, 3.0)
    for name, heard in no_signals(rate, 4 * rate).items():
        found = measure_delay(probe, heard, rate)
        assert found.delay_samples is None and found.delay_ms is None, name
        assert found.confidence < 0.5, name
        assert str(found).startswith("no s"), name


def test_glitches_are_counted_and_do_not_move_the_delay():
    probe = coded(48_000, 4.0)
    heard = np.concatenate([np.zeros(700), probe])
    heard[40_000:60_000] = 0.0
    heard = np.concatenate([heard[:150_000], np.zeros(128), heard[150_000:]])
    found = measure_delay(probe, heard, 48_000)
    assert found.delay_samples == pytest.approx(700, abs=0.01)
    assert found.lost == 1 and 3 <= found.jumps <= 6
    assert 0.5 < found.confidence < 0.9


def test_polarity_is_told():
    probe = coded(16_000, 2.0)
    found = measure_delay(probe, -np.concatenate([np.zeros(5), probe]), 16_000)
    assert found.inverted and found.delay_samples == pytest.approx(5, abs=0.01)


def test_a_probe_too_short_is_refused():
    with pytest.raises(ParameterError, match=r"lasts 0\.50 s"):
        measure_delay(np.ones(8_000), np.ones(8_000), 16_000)


@pytest.mark.parametrize("rate", RATES)
def test_probes_have_their_level_and_their_seed(rate):
    for make in (speech_like, coded):
        probe = make(rate, 1.0, 4)
        assert probe.shape == (rate,) and probe.dtype == np.float32
        assert np.sqrt(np.mean(np.square(probe))) == pytest.approx(0.1, rel=1e-3)
        assert np.array_equal(probe, make(rate, 1.0, 4)) and not np.array_equal(probe, make(rate, 1.0, 5))
        assert np.abs(probe).max() <= 1.0


def test_the_speech_probe_is_where_speech_is_and_not_above():
    """A denoiser leaves what it likes of the rest, in any phase: a share of 2 % above 12 kHz moved the peak."""
    power = np.square(np.abs(np.fft.rfft(speech_like(48_000, 4.0))))
    hertz = np.fft.rfftfreq(4 * 48_000, 1 / 48_000)
    share = [power[(hertz >= low) & (hertz < low + 4000)].sum() / power.sum() for low in range(0, 24_000, 4000)]
    assert share[0] > 0.9 and share[1] > 0.01 and sum(share[3:]) < 1e-3
