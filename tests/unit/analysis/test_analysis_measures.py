"""Measures, spectrograms and wavelets have the values their libraries give, and the frames that are documented."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import pywt
import soundfile

from rtae.analysis import (
    MEASURES,
    Framing,
    Meter,
    Spectrogram,
    level_db,
    measure,
    mel_bands,
    mel_spectrogram,
    scalogram,
)
from rtae.analysis.scalogram import WAVELET
from rtae.errors import ParameterError, StreamStateError
from tests.unit.analysis.signals import CLIPS, RATES, random_signal

TOLERANCE = 1e-4
"""Of the largest value."""


def by_librosa(audio, framing):
    cut = {"frame_length": framing.frame, "hop_length": framing.hop}
    spectral = {"sr": framing.sample_rate, "n_fft": framing.frame, "hop_length": framing.hop}
    padded = np.pad(audio, framing.frame // 2)
    feature = librosa.feature
    return {
        "envelope": np.abs(librosa.util.frame(padded, **cut)).max(axis=0),
        "rms": feature.rms(y=audio, **cut)[0],
        "zero_crossing_rate": feature.zero_crossing_rate(audio, **cut)[0],
        "centroid_hz": feature.spectral_centroid(y=audio, **spectral)[0],
        "bandwidth_hz": feature.spectral_bandwidth(y=audio, **spectral)[0],
        "rolloff_hz": feature.spectral_rolloff(y=audio, **spectral)[0],
    }


def same(ours, theirs):
    assert ours.shape == theirs.shape and ours.size > 0
    scale = max(float(np.abs(theirs).max()), 1e-30)
    assert float(np.abs(ours - theirs).max()) <= TOLERANCE * scale


def same_rolloff(found, theirs, framing):
    """A roll-off is a bin: where rounding alone decides between two neighbours, either is right."""
    ours = found.values["rolloff_hz"][:, 0]
    assert ours.shape == theirs.shape and ours.size > 0
    magnitude = np.abs(found.spectrum[:, 0]).astype(np.float64)
    share = np.cumsum(magnitude, axis=1) / np.maximum(magnitude.sum(axis=1, keepdims=True), 1e-300)
    step = framing.sample_rate / framing.frame
    for frame in np.flatnonzero(ours != theirs):
        low, high = sorted(round(value / step) for value in (ours[frame], theirs[frame]))
        assert high == low + 1 and abs(share[frame, low] - 0.85) < 1e-6
    assert np.count_nonzero(ours != theirs) <= len(ours) // 100


SIGNALS = {f"random at {rate} Hz": (random_signal(rate, rate + 77), rate) for rate in RATES}
SIGNALS |= {path.stem: (soundfile.read(path, dtype="float32")[0], 48_000) for path in CLIPS}
SIGNALS |= {
    "silence": (np.zeros(9_000, np.float32), 16_000),
    "a few samples": (np.array([0.1, -0.2, 0.3, -0.1, 0.0], np.float32), 48_000),
    "a whole number of hops": (random_signal(5, 512 * 7), 48_000),
    "tiny": (random_signal(6, 4_000) * np.float32(3e-10), 8_000),
}


@pytest.mark.filterwarnings("ignore:n_fft=.*is too large:UserWarning")
@pytest.mark.parametrize("name", SIGNALS)
def test_values_are_those_of_librosa(name):
    audio, rate = SIGNALS[name]
    framing = Framing.of_rate(rate)
    found = measure(audio, rate)
    expected = by_librosa(audio, framing)
    assert list(found.values) == list(MEASURES) == list(expected)
    same_rolloff(found, expected.pop("rolloff_hz"), framing)
    for measured, reference in expected.items():
        same(found.values[measured][:, 0], reference)
    transform = librosa.stft(audio, n_fft=framing.frame, hop_length=framing.hop)
    same(found.spectrum[:, 0].T, transform)
    assert len(found.spectrum) == framing.count(len(audio))
    times = librosa.frames_to_time(np.arange(len(found.spectrum)), sr=rate, hop_length=framing.hop)
    np.testing.assert_allclose(framing.times_s(len(found.spectrum)), times, rtol=1e-12)
    bins = librosa.fft_frequencies(sr=rate, n_fft=framing.frame)
    np.testing.assert_allclose(framing.frequencies_hz(), bins, rtol=1e-12)
    spectrogram = Spectrogram(framing)
    spectrogram.add(found)
    assert spectrogram.frames_per_column == 1
    mel = mel_spectrogram(spectrogram.power(), framing)
    same(
        mel.T,
        librosa.feature.melspectrogram(
            y=audio, sr=rate, n_fft=framing.frame, hop_length=framing.hop, n_mels=mel_bands(framing)
        ),
    )


@pytest.mark.parametrize("rate", RATES)
def test_mel_bands_all_hear_something(rate):
    framing = Framing.of_rate(rate)
    flat = mel_spectrogram(np.ones((1, framing.bins), np.float32), framing)
    assert flat.shape == (1, mel_bands(framing)) and flat.min() > 0


def test_blocks_do_not_matter():
    seed = 11
    print("seed", seed)
    rng = np.random.default_rng(seed)
    audio = random_signal(seed, 60_000)[:, np.newaxis] * np.array([1.0, 0.3], np.float32)
    whole = measure(audio, 44_100)
    for sizes in ([1, 511, 512, 513], [7], [70_000], rng.integers(0, 3_000, 60).tolist()):
        meter, parts, start = Meter(44_100, 2), [], 0
        while start < len(audio):
            for size in sizes:
                parts += meter.process(audio[start : start + size])
                start += size
        parts += meter.flush()
        for name in MEASURES:
            found = np.concatenate([part.values[name] for part in parts])
            assert found.shape == whole.values[name].shape == (1 + 60_000 // 512, 2)
            np.testing.assert_array_equal(found, whole.values[name])


def test_an_event_is_in_the_frame_its_time_says():
    framing = Framing.of_rate(48_000)
    assert framing == Framing(48_000, 2048, 512)
    for at in (0, 512, 40_000, 47_999):
        audio = np.zeros(48_000, np.float32)
        audio[at] = 1.0
        found = measure(audio, 48_000).values["rms"][:, 0]
        loud = np.flatnonzero(found)
        centres = np.rint(framing.times_s(len(found)) * 48_000)
        # A frame's first sample has no weight in a spectrum, but counts in a level.
        expected = (centres - 1_024 <= at) & (at < centres + 1_024)
        assert 0 < len(loud) <= 4
        np.testing.assert_array_equal(found > 0, expected)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 1), (511, 1), (512, 2), (48_000, 94)])
def test_number_of_frames(samples, frames):
    assert Framing.of_rate(48_000).count(samples) == frames
    found = measure(np.zeros((samples, 3), np.float32), 48_000)
    assert found.spectrum.shape == (frames, 3, 1025)
    assert {value.shape for value in found.values.values()} == {(frames, 3)}


def test_channels_are_measured_apart():
    audio = np.stack([random_signal(channel, 20_000) for channel in range(8)], axis=1)
    together = measure(audio, 48_000)
    for channel in range(8):
        alone = measure(audio[:, channel], 48_000)
        for name in MEASURES:
            same(together.values[name][:, channel], alone.values[name][:, 0])


def test_samples_that_are_not_finite_count_as_zeros():
    audio = random_signal(3, 10_000)
    poisoned, silenced = audio.copy(), audio.copy()
    poisoned[4_000:4_003] = [np.nan, np.inf, -np.inf]
    silenced[4_000:4_003] = 0.0
    one, other = measure(poisoned, 48_000), measure(silenced, 48_000)
    for name in MEASURES:
        np.testing.assert_array_equal(one.values[name], other.values[name])


def test_what_is_no_audio_is_refused():
    for audio, rate, message in (
        (np.zeros(4, np.int16), 48_000, "must be float"),
        (np.zeros((2, 2, 2)), 48_000, "must have shape"),
        (np.zeros(4), 0, "sample_rate is 0"),
    ):
        with pytest.raises(ParameterError, match=message):
            measure(audio, rate)
    meter = Meter(48_000, 2)
    with pytest.raises(ParameterError, match=r"must have shape \(n, 2\)"):
        meter.process(np.zeros((3, 1), np.float32))
    list(meter.flush())
    for call in (lambda: meter.process(np.zeros((1, 2))), meter.flush):
        with pytest.raises(StreamStateError, match="at its end"):
            call()


def test_a_long_spectrogram_is_averaged_to_a_bounded_number_of_columns():
    audio = random_signal(2, 48_000)
    framing = Framing.of_rate(48_000)
    frames = measure(audio, 48_000)
    power = np.abs(frames.spectrum[:, 0]) ** 2
    bounded = Spectrogram(framing, most_columns=16)
    meter = Meter(48_000)
    for start in range(0, 48_000, 1_000):
        for part in meter.process(audio[start : start + 1_000]):
            bounded.add(part)
    for part in meter.flush():
        bounded.add(part)
    step = bounded.frames_per_column
    assert step == 8 and bounded.column_s == 8 * 512 / 48_000
    expected = np.stack([power[start : start + step].mean(axis=0) for start in range(0, len(power), step)])
    same(bounded.power(), expected)


def test_levels_are_those_of_tones_and_of_noise():
    rate = 48_000
    framing = Framing.of_rate(rate)
    tone = 0.5 * np.sin(2 * np.pi * 100 * rate / framing.frame * np.arange(rate) / rate)
    power = np.abs(measure(tone, rate).spectrum[20:60, 0]) ** 2
    assert level_db(power, framing).max() == pytest.approx(20 * np.log10(0.5), abs=0.01)
    print("seed", 1)
    noise = 0.1 * np.random.default_rng(1).standard_normal(10 * rate)
    power = (np.abs(measure(noise, rate).spectrum[:, 0]) ** 2).mean(axis=0)
    found = level_db(mel_spectrogram(power, framing), framing, bands=True)
    assert found[5:].mean() == pytest.approx(-20.0, abs=0.5)
    assert level_db(np.zeros(3), framing).tolist() == [-140.0] * 3


@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_scalogram_has_the_values_of_pywavelets(rate):
    audio = random_signal(rate, 100_000)
    found = scalogram(audio, rate)
    scales = pywt.central_frequency(WAVELET) * rate / found.frequencies_hz
    whole, frequencies = pywt.cwt(audio.astype(np.float64), scales, WAVELET, 1 / rate, method="fft")
    np.testing.assert_allclose(found.frequencies_hz, frequencies, rtol=1e-9)
    column = round(found.column_s * rate)
    assert found.amplitude.shape == (len(scales), -(-len(audio) // column)) and found.amplitude.shape[1] <= 2048
    power = np.abs(whole) ** 2 * 4 / scales[:, np.newaxis]
    means = [power[:, start : start + column].mean(axis=1) for start in range(0, len(audio), column)]
    same(found.amplitude, np.sqrt(np.stack(means, axis=1)))


def test_a_tone_has_its_amplitude_at_its_pitch_and_a_click_its_time():
    time = np.arange(48_000) / 48_000
    found = scalogram(0.5 * np.sin(2 * np.pi * 640 * time), 48_000)
    row = int(found.amplitude[:, found.amplitude.shape[1] // 2].argmax())
    assert found.frequencies_hz[row] == pytest.approx(640.0)
    assert found.amplitude[row].max() == pytest.approx(0.5, rel=0.01)
    click = np.zeros(48_000)
    click[12_000] = 1.0
    found = scalogram(click, 48_000)
    assert abs(found.amplitude[-1].argmax() * found.column_s - 0.25) <= found.column_s
    with pytest.raises(ParameterError, match="one channel"):
        scalogram(np.zeros((10, 2)), 48_000)
