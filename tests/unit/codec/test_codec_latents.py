"""``Codec.latents``, of an encoder whose latents are the hop added to the one before."""

import numpy as np
import pytest
from onnx import helper

from rtae.codec import Codec
from rtae.errors import ParameterError
from tests import models

HOP, RATE = 32, 8_000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The encoder, and a decoder that makes half full scale of its one bit."""
    path = tmp_path_factory.mktemp("latents") / "toy"
    models.latent_encoder(path.with_name("toy-encoder.onnx"), hop=HOP, sample_rate=RATE)
    nodes = [
        helper.make_node("Cast", ["codes"], ["value"], to=models.FLOAT),
        helper.make_node("Sub", ["value", "half"], ["sample"]),
        helper.make_node("Tile", ["sample", "times"], ["audio_out"]),
        helper.make_node("Identity", ["state"], ["state_out"]),
    ]
    spec = models.spec("decoder", name="toy-decoder", hop=HOP, sample_rate=RATE, codebooks=1, codebook_bits=1)
    models.write(
        path.with_name("toy-decoder.onnx"), spec.to_json(), nodes,
        [("codes", models.INT, 1), ("state", models.FLOAT, 1)],
        [("audio_out", models.FLOAT, HOP), ("state_out", models.FLOAT, 1)],
        {"half": np.float32(0.5), "times": np.array([1, HOP])},
    )  # fmt: skip
    return path


def noise(samples, channels, seed=7):
    print("seed", seed)
    return np.random.default_rng(seed).uniform(-1, 1, (samples, channels)).astype(np.float32)


@pytest.mark.parametrize("samples", [0, 1, HOP, 10 * HOP + 5])
def test_a_row_a_hop_aligned_with_the_recording(path, samples):
    audio = noise(samples, 2)
    hops = -(-samples // HOP)
    padded = np.zeros(((hops + 1) * HOP, 2), np.float32)
    padded[HOP : HOP + samples] = audio
    expected = padded[HOP:] + padded[:-HOP]
    latents = Codec(path, channels=2).latents(audio)
    assert latents.shape == (hops, 2, HOP) and latents.dtype == np.float32
    assert np.allclose(latents.transpose(0, 2, 1).reshape(-1, 2), expected, atol=1e-6)


@pytest.mark.parametrize("rate", [6_000, 11_025, 48_000])
def test_another_rate_is_converted_without_delay(path, rate):
    samples = rate // 2 + 3
    shape = np.sin(np.pi * np.arange(samples) / samples) ** 2
    tone = (0.5 * shape * np.sin(2 * np.pi * 100 * np.arange(samples) / rate)).astype(np.float32)
    latents = Codec(path, sample_rate=rate).latents(tone)
    wanted = -(-samples * RATE // rate)
    assert latents.shape == (-(-wanted // HOP), 1, HOP)
    # Undo the sum, and look at the recording at the codec's rate.
    found = latents[:, 0].reshape(-1).copy()
    for at in range(HOP, len(found), HOP):
        found[at : at + HOP] -= found[at - HOP : at]
    time_s = np.arange(len(found)) / RATE
    expected = np.interp(time_s, np.arange(samples) / rate, shape) * 0.5 * np.sin(2 * np.pi * 100 * time_s)
    inside = time_s < samples / rate - 0.01
    assert inside.sum() > 3_000
    assert np.abs(found - expected)[inside].max() < 0.005


def test_streams_go_on_undisturbed(path):
    one, two = Codec(path), Codec(path)
    audio = noise(640, 1)
    first, second = one.encode(audio[:320]), two.encode(audio[:320])
    assert one.latents(noise(500, 1, seed=8)).shape == (16, 1, HOP)
    found = [bytes(packet) for packet in [*first, *one.encode(audio[320:])]]
    assert found == [bytes(packet) for packet in [*second, *two.encode(audio[320:])]]
    assert len(found) == 20


def test_an_encoder_without_latents_says_so(pair):
    with pytest.raises(ParameterError, match="no latents"):
        Codec(pair()).latents(noise(100, 1))
    with pytest.raises(ParameterError, match="shape"):
        Codec(pair(), channels=2).latents(noise(100, 1))
