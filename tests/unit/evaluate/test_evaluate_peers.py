"""Other people's denoisers: delays as declared, streaming as their offline form, files of a wrong layout refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import dtln, spectral, spectral_identity

from rtae.errors import MissingDependencyError, ModelFormatError, ModelNotFoundError, ParameterError
from rtae.evaluate.alignment import DelayMeter
from rtae.evaluate.onnx_peers import Dtln, SpectralModel
from rtae.evaluate.pairs import Pair
from rtae.evaluate.peers import PEERS, RNNoise, WebRtcNs, make_peer
from rtae.evaluate.systems import System, stream

SQRT_HANN = np.sqrt(np.hanning(513)[:512])
HANN = np.hanning(513)[:512]


def noise(samples: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("make", [RNNoise, WebRtcNs])
def test_the_declared_delay_is_the_measured_one(make: Callable[[], System], pairs: list[Pair]) -> None:
    system = make()
    meter = DelayMeter(system.sample_rate, system.delay)
    for pair in pairs:
        run = stream(system, pair.clean, pair.sample_rate)
        meter.add(run.given, run.output)
    assert meter.delay == pytest.approx(system.delay, abs=0.5)


@pytest.mark.parametrize("make", [RNNoise, WebRtcNs])
def test_a_reset_is_a_fresh_start(make: Callable[[], System], pair: Pair) -> None:
    system = make()
    first = stream(system, pair.noisy, pair.sample_rate).output
    assert np.abs(first).max() > 0.01
    np.testing.assert_array_equal(stream(system, pair.noisy, pair.sample_rate).output, first)
    np.testing.assert_array_equal(stream(make(), pair.noisy, pair.sample_rate).output, first)


@pytest.mark.parametrize("make", [RNNoise, WebRtcNs])
def test_noise_in_the_pauses_goes_away_and_speech_stays(make: Callable[[], System], pair: Pair) -> None:
    run = stream(make(), pair.noisy, pair.sample_rate)
    assert run.aligned.shape == pair.noisy.shape
    loud = np.abs(pair.clean) > 0.1
    assert loud.sum() > 1000
    assert 0.3 < np.std(run.aligned[loud]) / np.std(pair.clean[loud]) < 1.5
    residual = stream(make(), noise(144_000), 48_000).aligned[96_000:]
    assert len(residual) == 48_000
    assert 20 * np.log10(np.std(residual) / 0.1) < -6


@pytest.mark.parametrize("window", [SQRT_HANN, HANN])
def test_a_network_that_changes_nothing_gives_the_input_back(window: np.ndarray, tmp_path: Path) -> None:
    system = SpectralModel("identity", spectral_identity(tmp_path / "i.onnx"), window)
    given = noise(16_000)
    run = stream(system, given, 16_000)
    assert system.delay == 256 and len(run.output) > 16_000
    np.testing.assert_allclose(run.aligned, given, atol=1e-6)


def spectral_offline(audio: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The whole recording at once: every frame, the recurrence of :func:`layouts.spectral`, overlap-add."""
    padded = np.concatenate([np.zeros(256), audio, np.zeros(256)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::256] * window
    spectra = np.fft.rfft(frames)
    real, imaginary = np.zeros(257), np.zeros(257)
    output, weight = np.zeros_like(padded), np.zeros_like(padded)
    for index, spectrum in enumerate(spectra):
        real, imaginary = 0.5 * real + np.abs(spectrum.real), 0.5 * imaginary + np.abs(spectrum.imag)
        enhanced = spectrum.real / (1 + real) + 1j * spectrum.imag / (1 + imaginary)
        part = slice(256 * index, 256 * index + 512)
        output[part] += np.fft.irfft(enhanced) * window
        weight[part] += window**2
    return output[256:-256] / weight[256:-256]


@pytest.mark.parametrize("window", [SQRT_HANN, HANN])
def test_streaming_a_spectral_network_equals_its_offline_form(window: np.ndarray, tmp_path: Path) -> None:
    audio = noise(256 * 40)
    expected = spectral_offline(audio.astype(np.float64), window)
    assert 0.01 < np.std(expected) < 0.9 * np.std(audio), "the network must do something"
    system = SpectralModel("peer", spectral(tmp_path / "s.onnx"), window)
    np.testing.assert_allclose(stream(system, audio, 16_000).aligned, expected, atol=2e-6)
    np.testing.assert_allclose(stream(system, audio, 16_000).aligned, expected, atol=2e-6, err_msg="after a reset")


def test_streaming_dtln_equals_its_offline_form(tmp_path: Path) -> None:
    audio = noise(128 * 50)
    padded = np.concatenate([np.zeros(384), audio, np.zeros(384)]).astype(np.float64)
    expected = np.zeros_like(padded)
    for index in range((len(padded) - 512) // 128 + 1):
        part = slice(128 * index, 128 * index + 512)
        expected[part] += padded[part] / (1 + index) / 4
    system = Dtln(*dtln(tmp_path))
    assert system.delay == 384
    for attempt in ("fresh", "after a reset"):
        found = stream(system, audio, 16_000).aligned
        assert len(found) == len(audio) and np.std(found) > 0.001
        np.testing.assert_allclose(found, expected[384:-384], atol=1e-6, err_msg=attempt)


def test_peers_are_made_by_name(tmp_path: Path) -> None:
    path = spectral_identity(tmp_path / "g.onnx")
    first, second = dtln(tmp_path)
    made = [make_peer(text) for text in ("rnnoise", "webrtc-ns", f"gtcrn={path}", f"ul-unas={path}")]
    made.append(make_peer(f"dtln={first},{second}"))
    assert [system.name for system in made] == list(PEERS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("krisp", "unknown peer 'krisp'; known: rnnoise, webrtc-ns, gtcrn, ul-unas, dtln"),
        ("rnnoise=a.onnx", "takes 0 model files, got 1; write rnnoise$"),
        ("gtcrn", "takes 1 model files, got 0; write gtcrn=PATH1.onnx"),
        ("dtln=a.onnx", "takes 2 model files, got 1; write dtln=PATH1.onnx,PATH2.onnx"),
        ("", "unknown peer ''"),
    ],
)
def test_a_wrong_description_says_what_to_write(text: str, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        make_peer(text)


def test_files_of_a_wrong_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model file"):
        make_peer(f"gtcrn={tmp_path / 'missing.onnx'}")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelFormatError, match="not a model onnxruntime can load"):
        make_peer(f"gtcrn={tmp_path / 'text.onnx'}")
    wide = spectral_identity(tmp_path / "wide.onnx", frame=(1, 513, 1, 2))
    with pytest.raises(ModelFormatError, match="gtcrn's streaming layout"):
        make_peer(f"gtcrn={wide}")
    dynamic = spectral_identity(tmp_path / "dynamic.onnx", cache=("B", 3))
    with pytest.raises(ModelFormatError, match="ul-unas's streaming layout"):
        make_peer(f"ul-unas={dynamic}")
    first, second = dtln(tmp_path)
    with pytest.raises(ModelFormatError, match=r"model_1\.onnx,model_2\.onnx in this order"):
        make_peer(f"dtln={second},{first}")


@pytest.mark.parametrize(("peer", "module"), [("rnnoise", "pyrnnoise.rnnoise"), ("webrtc-ns", "webrtc_noise_gain")])
def test_a_missing_package_is_named_with_the_extra(peer: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"{module.partition('.')[0]}.*pip install 'rtae\[peers\]'"):
        make_peer(peer)
