"""Generated sound: what the latents say it is, at its level, below the ceiling, the same in blocks of any size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import firwin, lfilter

from rtae.errors import ModelFormatError, ModelNotFoundError, ParameterError
from rtae.generate import CEILING, KNEE, LEVEL_DBFS, Generator, between, bounded, prior, room_tone
from rtae.vae import Autoencoder

RATE, HOP = 24_000, 120
SEED = 7


@pytest.fixture(scope="module")
def vae(build, tmp_path_factory):
    """A VAE whose latents are the samples themselves."""
    folder = tmp_path_factory.mktemp("vae")
    for end in ("encoder", "decoder"):
        built = build(f"vae_{end}", hop=HOP, sample_rate=RATE)
        (folder / f"vae-{end}.onnx").write_bytes(built.read_bytes())
    return Autoencoder(folder / "vae")


@pytest.fixture(scope="module")
def room():
    """Two seconds of noise between 300 and 3000 Hz at -40 dBFS."""
    print("seed", SEED)
    noise = lfilter(firwin(255, (300, 3000), fs=RATE, pass_zero=False), 1, white(2 * RATE))
    return (0.01 * noise / np.std(noise)).astype(np.float32)


def white(samples, seed=SEED):
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


def level_dbfs(audio):
    return 10 * np.log10(np.mean(np.square(audio, dtype=np.float64)))


def in_blocks(generator, sizes, total):
    parts, count = [], 0
    while count < total:
        size = min(sizes[len(parts) % len(sizes)], total - count)
        parts.append(generator.read(size))
        count += size
    return np.concatenate(parts)


def encoded(vae, seed, samples):
    audio = np.clip(0.1 * white(samples, seed), -KNEE, KNEE)
    return audio, vae.encode(audio)


@pytest.mark.parametrize("rate", [None, 48_000, 44_100])
@pytest.mark.parametrize("kind", ["prior", "room tone", "between"])
def test_blocks_of_any_size_are_the_whole(vae, room, kind, rate):
    def make():
        if kind == "prior":
            return prior(vae, sample_rate=rate)
        if kind == "room tone":
            return room_tone(vae, room, sample_rate=rate)
        return between(vae, vae.encode(room), vae.encode(room[::-1].copy()), sample_rate=rate)

    generator = make()
    whole = generator.read(20_000)
    assert whole.shape == (20_000, 1) and whole.dtype == np.float32
    assert np.isfinite(whole).all() and np.abs(whole).max() <= CEILING and np.std(whole) > 1e-3
    np.testing.assert_array_equal(in_blocks(make(), (1, HOP - 1, HOP, HOP + 1, 997, 5_000), 20_000), whole)
    generator.reset()
    np.testing.assert_array_equal(generator.read(20_000), whole)
    assert generator.read(0).shape == (0, 1)


@pytest.mark.parametrize("level", [LEVEL_DBFS, -60.0])
def test_the_prior_is_at_its_level_and_the_seed_decides(vae, level):
    audio = prior(vae, level_dbfs=level, seed=3).read(2 * RATE)
    assert level_dbfs(audio) == pytest.approx(level, abs=0.3)
    np.testing.assert_array_equal(prior(vae, level_dbfs=level, seed=3).read(2 * RATE), audio)
    other = prior(vae, level_dbfs=level, seed=4).read(2 * RATE)
    assert abs(np.corrcoef(audio[:, 0], other[:, 0])[0, 1]) < 0.05


def test_the_prior_is_white_where_latents_are_samples(vae):
    power = np.square(np.abs(np.fft.rfft(prior(vae).read(4 * RATE)[:, 0])))
    thirds = [part.sum() / power.sum() for part in np.array_split(power, 3)]
    np.testing.assert_allclose(thirds, 1 / 3, atol=0.02)


def test_room_tone_has_the_level_and_the_band_of_the_room_and_does_not_repeat_it(vae, room):
    tone = room_tone(vae, room).read(4 * RATE)[:, 0]
    assert level_dbfs(tone) == pytest.approx(level_dbfs(room), abs=0.5)
    assert in_speech_band(room) > 0.95
    assert in_speech_band(tone) > 0.85  # hops are joined without overlap here: edges splatter
    first, second = tone[: 2 * RATE], tone[2 * RATE :]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert abs(np.corrcoef(first, room)[0, 1]) < 0.1


def in_speech_band(audio):
    power = np.square(np.abs(np.fft.rfft(audio)))
    frequency = np.fft.rfftfreq(len(audio), 1 / RATE)
    return power[(frequency > 250) & (frequency < 3200)].sum() / power.sum()


def test_room_tone_keeps_the_memory_of_slow_changes(vae):
    """A hum whose sign changes every half second: neighbouring hops of the tone are alike, distant ones are not."""
    slow = np.repeat(np.random.default_rng(SEED).choice([-0.02, 0.02], 40), RATE // 10).astype(np.float32)
    tone = room_tone(vae, slow, seed=1).read(8 * RATE)[:, 0].reshape(-1, HOP).mean(axis=1)
    apart = [np.corrcoef(tone[:-lag], tone[lag:])[0, 1] for lag in (1, 200)]
    assert apart[0] > 0.8 and abs(apart[1]) < 0.5


def test_between_is_the_mixture_of_the_latents_and_as_long_as_the_shorter(vae):
    one, first = encoded(vae, 1, 24_010)
    other, second = encoded(vae, 2, 30_000)
    for share in (0.0, 0.25, 1.0):
        audio = np.concatenate(list(between(vae, first, second, share=share).blocks(1_000)))[:, 0]
        np.testing.assert_allclose(audio, (1 - share) * one + share * other[:24_010], atol=1e-6)
    hops = -(-(24_010 + HOP) // HOP)
    weight = np.repeat(np.linspace(0, 1, hops), HOP)[:24_010]
    glide = between(vae, first, second).read(100_000)[:, 0]
    np.testing.assert_allclose(glide, (1 - weight) * one + weight * other[:24_010], atol=1e-6)
    assert len(between(vae, first, second, sample_rate=48_000).read(100_000)) == 2 * 24_010


def test_at_another_rate_it_is_the_same_sound_at_the_same_time(vae):
    time = np.arange(RATE) / RATE
    tone = vae.encode((0.2 * np.sin(2 * np.pi * 500 * time)).astype(np.float32))
    audio = between(vae, tone, tone, sample_rate=44_100).read(50_000)[:, 0]
    assert len(audio) == 44_100
    expected = 0.2 * np.sin(2 * np.pi * 500 * np.arange(44_100) / 44_100)
    np.testing.assert_allclose(audio[500:-500], expected[500:-500], atol=2e-3)


def test_peaks_are_bent_below_the_ceiling_and_what_is_no_number_is_silence():
    loud = np.linspace(-3, 3, 1_001).astype(np.float32)
    bent = bounded(loud)
    assert np.abs(bent).max() <= CEILING and (np.diff(bent) >= 0).all()
    quiet = np.abs(loud) <= KNEE
    assert quiet.sum() > 100
    np.testing.assert_array_equal(bent[quiet], loud[quiet])
    np.testing.assert_array_equal(
        bounded(np.array([np.nan, np.inf, -np.inf, 0.1], np.float32)), np.float32([0, 0, 0, 0.1])
    )


def test_loud_levels_stay_below_the_ceiling(vae):
    audio = prior(vae, level_dbfs=-10.0).read(RATE)
    assert KNEE < np.abs(audio).max() <= CEILING


def test_what_cannot_be_generated_is_said(vae, room, build):
    with pytest.raises(ParameterError, match=r"lasts 0\.10 s"):
        room_tone(vae, room[: RATE // 10])
    with pytest.raises(ParameterError, match="is silent"):
        room_tone(vae, np.zeros(RATE, np.float32))
    with pytest.raises(ParameterError, match="level_dbfs is 0"):
        prior(vae, level_dbfs=0.0)
    with pytest.raises(ParameterError, match="share is 2"):
        between(vae, vae.encode(room), vae.encode(room), share=2.0)
    with pytest.raises(ParameterError, match="decoded is silent"):
        Generator(vae, lambda: iter(np.zeros((500, HOP), np.float32)), level_dbfs=-20.0)
    with pytest.raises(ModelNotFoundError, match="no model 'none-encoder'"):
        Autoencoder("none")


def test_two_files_that_are_no_vae_are_refused(build, tmp_path):
    for end in ("encoder", "decoder"):
        (tmp_path / f"codec-{end}.onnx").write_bytes(build(end).read_bytes())
    with pytest.raises(ModelFormatError, match="not the ends of one VAE"):
        Autoencoder(tmp_path / "codec")
