"""Measures against values known by arithmetic, and at their extremes."""

from __future__ import annotations

import numpy as np
import pytest

from rtae.evaluate.activity import Activity, find_activity, frame_power
from rtae.evaluate.measures import (
    LOWEST_PESQ_WB,
    SI_SDR_LIMIT_DB,
    estoi,
    lsd,
    onset_loss_db,
    pause_noise_db,
    pesq_wb,
    si_sdr,
    speech_attenuation_db,
)
from rtae.evaluate.pairs import Pair
from rtae.evaluate.resampling import resample

RATE = 48_000


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 20.0])
def test_si_sdr_is_the_ratio_of_speech_to_what_is_orthogonal_to_it(snr_db: float) -> None:
    rng = np.random.default_rng(1)
    speech, noise = rng.normal(size=(2, RATE))
    noise -= speech * (noise @ speech) / (speech @ speech)
    noise *= np.linalg.norm(speech) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)
    assert si_sdr(speech, speech + noise) == pytest.approx(snr_db, abs=1e-9)
    assert si_sdr(speech, 0.01 * (speech + noise)) == pytest.approx(snr_db, abs=1e-9), "the level must not matter"


def test_si_sdr_stays_within_its_limits() -> None:
    speech = np.random.default_rng(2).normal(size=RATE)
    assert si_sdr(speech, speech) == SI_SDR_LIMIT_DB
    assert si_sdr(speech, np.zeros(RATE)) == -SI_SDR_LIMIT_DB
    assert si_sdr(np.zeros(RATE), speech) == -SI_SDR_LIMIT_DB


def test_an_offset_is_a_distortion() -> None:
    speech = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert si_sdr(speech, speech + 0.1) == pytest.approx(10 * np.log10(0.5 / 0.01), abs=0.01)


@pytest.mark.parametrize("gain_db", [-12.0, 6.0])
def test_lsd_of_a_gain_is_the_gain(gain_db: float) -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, 2 * RATE)
    assert lsd(noise, noise * 10 ** (gain_db / 20)) == pytest.approx(abs(gain_db), abs=1e-3)
    assert lsd(noise, noise) == 0.0


def test_lsd_sees_the_whole_band(pair: Pair) -> None:
    low = resample(resample(pair.clean, RATE, 16_000), 16_000, RATE)
    assert lsd(pair.clean, low) > 10
    sixteen = [resample(signal, RATE, 16_000) for signal in (pair.clean, low)]
    assert lsd(sixteen[0][200:-200], sixteen[1][200:-200]) < 3


def test_lsd_of_less_than_a_window_is_defined() -> None:
    noise = np.random.default_rng(4).normal(0, 0.1, 100)
    assert lsd(noise, 0.5 * noise) == pytest.approx(20 * np.log10(2), abs=0.1)


def test_a_muted_output_gets_the_lowest_pesq_instead_of_none(pair: Pair) -> None:
    speech = resample(pair.clean, RATE, 16_000)
    assert pesq_wb(speech, np.zeros_like(speech)) == LOWEST_PESQ_WB == pytest.approx(1.0427, abs=1e-4)
    assert pesq_wb(speech, speech) == pytest.approx(4.64, abs=0.01)


def test_pesq_of_too_little_is_none(pair: Pair) -> None:
    speech = resample(pair.clean, RATE, 16_000)[16_000:]
    assert pesq_wb(speech[:3999], speech[:3999]) is None
    assert pesq_wb(np.zeros_like(speech), speech) is None


def test_estoi_of_too_little_is_none(pair: Pair) -> None:
    speech = resample(pair.clean, RATE, 16_000)
    assert estoi(speech, speech) == pytest.approx(1.0, abs=1e-6)
    assert estoi(speech[:2000], speech[:2000]) is None
    assert estoi(speech[:10], speech[:10]) is None


def test_estoi_is_the_same_every_time_and_leaves_the_global_generator_alone(pair: Pair) -> None:
    speech = resample(pair.clean, RATE, 16_000)
    half_muted = np.concatenate([speech[:24_000], np.zeros_like(speech[24_000:])])
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert len({estoi(speech, half_muted) for _ in range(3)}) == 1
    assert estoi(speech, np.zeros_like(speech)) == pytest.approx(0.0, abs=0.05)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def bursts(gaps: list[tuple[float, float]], seconds: float = 2.0) -> np.ndarray:
    """Noise of level -20 dBFS with silent gaps (begin, end in seconds)."""
    audio = np.random.default_rng(5).normal(0, 0.1, round(seconds * RATE))
    for begin, end in gaps:
        audio[round(begin * RATE) : round(end * RATE)] = 0.0
    return audio


def test_pauses_and_onsets_are_where_they_were_put() -> None:
    activity = find_activity(bursts([(0.5, 0.8), (1.2, 1.25)]), RATE)
    assert activity.frame == 480
    assert activity.active[:50].all() and not activity.active[50:80].any() and activity.active[80:120].all()
    expected = np.zeros(200, bool)
    expected[53:77] = True  # the gap of 50 ms is too short to be a pause
    np.testing.assert_array_equal(activity.pause, expected)
    assert activity.onsets == (slice(38_400, 40_800),)


def test_silence_has_no_speech() -> None:
    for silence in (np.zeros(RATE), np.full(RATE, 1e-6), np.zeros(100)):
        activity = find_activity(silence, RATE)
        assert not activity.active.any() and not activity.pause.any() and activity.onsets == ()


def test_onset_loss_is_the_attenuation_of_the_speech_alone() -> None:
    clean = bursts([(0.5, 0.8), (1.2, 1.5)])
    activity = find_activity(clean, RATE)
    assert len(activity.onsets) == 2
    noise = np.random.default_rng(6).normal(0, 0.02, len(clean))
    assert onset_loss_db(clean, clean, activity) == pytest.approx(0.0, abs=1e-9)
    assert onset_loss_db(clean, clean + noise, activity) == pytest.approx(0.0, abs=0.1)
    gated = clean.copy()
    for onset in activity.onsets:
        gated[onset] *= 0.5
    assert onset_loss_db(clean, gated, activity) == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert onset_loss_db(clean, np.zeros_like(clean), activity) == 60.0
    later = clean.copy()
    later[activity.onsets[0].stop : activity.onsets[0].stop + 2400] = 0.0
    assert onset_loss_db(clean, later, activity) == pytest.approx(0.0, abs=1e-9), "only the onset counts"


def test_pause_noise_is_relative_to_the_speech() -> None:
    clean = bursts([(0.5, 0.8)])
    activity = find_activity(clean, RATE)
    noise = np.random.default_rng(7).normal(0, 0.01, len(clean))
    found = pause_noise_db(clean, clean + noise, activity)
    assert found == pytest.approx(-20.0, abs=0.5)
    assert pause_noise_db(10 * clean, 10 * (clean + noise), activity) == pytest.approx(found, abs=1e-9)
    assert pause_noise_db(clean, clean, activity) == -100.0


def test_what_needs_a_pause_is_none_without_one() -> None:
    clean = bursts([])
    activity = find_activity(clean, RATE)
    assert activity.active.any()
    assert pause_noise_db(clean, clean, activity) is None
    assert onset_loss_db(clean, clean, activity) is None


def test_an_onset_that_the_recording_cuts_off_is_left_out() -> None:
    clean = bursts([(1.5, 1.98)])
    activity = find_activity(clean, RATE)
    assert activity.pause.any()
    assert activity.onsets == ()


@pytest.mark.parametrize("loss_db", [0.0, 3.0, 20.0])
def test_speech_attenuation_is_the_loss_in_active_frames(loss_db: float) -> None:
    clean = bursts([(0.5, 0.8)])
    processed = clean * 10 ** (-loss_db / 20)
    processed[24_000:38_400] = 0.3  # what happens in the pause is another measure's
    assert speech_attenuation_db(clean, processed, RATE) == pytest.approx(loss_db, abs=1e-6)


def test_muted_speech_is_limited_and_silence_is_none() -> None:
    clean = bursts([(0.5, 0.8)])
    assert speech_attenuation_db(clean, np.zeros_like(clean), RATE) == 60.0
    assert speech_attenuation_db(np.zeros(RATE), np.zeros(RATE), RATE) is None


def test_frame_power_leaves_a_part_of_a_frame_out() -> None:
    power = frame_power(np.array([1.0, -1.0, 2.0, 2.0, 9.0]), 2)
    np.testing.assert_array_equal(power, [1.0, 4.0])


def test_activity_at_another_rate_is_the_same() -> None:
    clean = bursts([(0.5, 0.8)])
    low: Activity = find_activity(resample(clean, RATE, 16_000), 16_000)
    high = find_activity(clean, RATE)
    assert high.active.sum() > 100
    assert (low.active != high.active).sum() <= 2
