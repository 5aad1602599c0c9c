"""Scores of real recordings: known extremes, known values."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rtae.errors import MissingDependencyError, ParameterError
from rtae.evaluate.metrics import METRICS, NOISY_INPUT_METRICS, QUICK_METRICS, score
from rtae.evaluate.pairs import Pair

# The noisy recordings of tests/data, with pesq 0.0.4, pystoi 0.4.1 and speechmos 0.0.1.1.
NOISY = {
    "full-band-17dB": (1.5301, 0.6336, 13.9587, 13.9801, 22.7536, 3.0183, 2.3416, 2.0240, 0.0805, -17.2993),
    "full-band-minus-2dB": (1.1164, 0.6135, -1.1006, -1.1013, 11.9778, 3.2264, 2.7700, 2.3654, -0.3468, -9.6079),
    "wide-band-2dB": (1.1011, 0.3009, -0.0529, -0.0464, 31.0298, 3.3732, 3.0311, 2.5637, 0.5110, -5.6909),
}


def test_the_noisy_recordings_have_their_known_scores(pairs: list[Pair]) -> None:
    assert len(pairs) == len(NOISY)
    for pair in pairs:
        found = score(pair.clean, pair.noisy, pair.sample_rate, NOISY_INPUT_METRICS)
        expected = dict(zip(NOISY_INPUT_METRICS, NOISY[pair.name], strict=True))
        # 0.01 leaves room for another processor's rounding, but not for another filter or variant.
        assert found == pytest.approx(expected, abs=0.01), pair.name


def test_a_perfect_copy_has_the_best_scores(pairs: list[Pair]) -> None:
    for pair in pairs:
        found = score(pair.clean, pair.clean, pair.sample_rate, NOISY_INPUT_METRICS)
        assert found["pesq_wb"] == pytest.approx(4.644, abs=0.001)
        assert found["estoi"] == pytest.approx(1.0, abs=1e-6)
        assert found["si_sdr"] == found["si_sdr_wb"] == 100.0
        assert found["lsd"] == 0.0
        assert found["onset_loss_db"] == pytest.approx(0.0, abs=1e-9)
        noisy = score(pair.clean, pair.noisy, pair.sample_rate, ("pause_noise_db",))
        assert found["pause_noise_db"] is not None and noisy["pause_noise_db"] is not None
        assert found["pause_noise_db"] < noisy["pause_noise_db"]


def test_silent_speech_has_no_score_where_none_is_defined(pair: Pair) -> None:
    found = score(np.zeros_like(pair.clean), pair.noisy, pair.sample_rate, NOISY_INPUT_METRICS)
    for name in ("pesq_wb", "estoi", "onset_loss_db", "pause_noise_db"):
        assert found[name] is None, name
    assert found["si_sdr"] == -100.0


def test_a_muted_output_is_the_worst_and_is_counted(pair: Pair) -> None:
    found = score(pair.clean, np.zeros_like(pair.clean), pair.sample_rate, NOISY_INPUT_METRICS)
    assert all(value is not None for value in found.values())
    assert found["pesq_wb"] == pytest.approx(1.04, abs=0.01)
    assert found["estoi"] == pytest.approx(0.0, abs=0.05)
    assert found["si_sdr"] == -100.0
    assert found["onset_loss_db"] == 60.0


def test_every_measure_is_described() -> None:
    assert set(METRICS) == {*NOISY_INPUT_METRICS, "speech_attenuation_db"}
    assert set(QUICK_METRICS) <= set(NOISY_INPUT_METRICS)
    assert "Corrigendum 2" in METRICS["pesq_wb"].meaning


def test_only_what_is_asked_for_is_computed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pesq", "pystoi", "speechmos"):
        monkeypatch.setitem(sys.modules, package, None)
    assert list(score(pair.clean, pair.noisy, 48_000, ("lsd", "si_sdr"))) == ["lsd", "si_sdr"]


@pytest.mark.parametrize(("package", "metric"), [("pesq", "pesq_wb"), ("pystoi", "estoi")])
def test_a_missing_package_is_named_with_the_extra(
    package: str, metric: str, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"{package}.*pip install 'rtae\[peers\]'"):
        score(pair.clean, pair.noisy, pair.sample_rate, (metric,))


def test_wrong_arguments_are_refused(pair: Pair) -> None:
    with pytest.raises(ParameterError, match="shapes"):
        score(pair.clean, pair.noisy[:-1], pair.sample_rate)
    with pytest.raises(ParameterError, match="shapes"):
        score(np.zeros((10, 1)), np.zeros((10, 1)), 48_000)
    with pytest.raises(ParameterError, match="shapes"):
        score(np.zeros(0), np.zeros(0), 48_000)
    with pytest.raises(ParameterError, match="unknown measure 'stoi'; known: pesq_wb"):
        score(pair.clean, pair.noisy, pair.sample_rate, ("stoi",))
