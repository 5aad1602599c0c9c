"""A decoder written from ``docs/bitstream.md`` alone, with a Python loop for everything, agrees with rtae's."""

import json
import zlib
from fractions import Fraction

import numpy as np
import onnxruntime
import pytest

from rtae.codec.files import encode
from rtae.codec.packet import PacketFormat


def integer(data, offset, count):
    return int.from_bytes(data[offset : offset + count], "big")


def bits_of(data):
    return "".join(f"{byte:08b}" for byte in data)


def decode_as_specified(data, decoder_path):
    """Return the audio of an undamaged stream at the codec's own rate: (samples, channels), and the facts."""
    assert data[:8] == bytes.fromhex("89525441450D0A1A") and data[8] == 1
    channels, codebooks, bits = data[9:12]
    codec_rate, hop, sample_rate, lead = (integer(data, at, 4) for at in (12, 16, 20, 24))
    declared, most_hops, n = integer(data, 28, 8), data[36], data[37]
    assert codec_rate == sample_rate
    at = 70 + n
    assert zlib.crc32(data[:at]) == integer(data, at, 4)
    at += 4
    session = onnxruntime.InferenceSession(decoder_path)
    spec = json.loads(session.get_modelmeta().custom_metadata_map["rtae"])
    assert (spec["hop"], spec["codebooks"], spec["codebook_bits"]) == (hop, codebooks, bits)
    state = np.zeros((channels, spec["state_size"]), np.float32)
    hops_seen, output = 0, []
    while True:
        sequence, hops, stages = integer(data, at, 2), data[at + 2], data[at + 3]
        assert sequence == hops_seen % 65536
        if hops == 0:
            samples = integer(data, at + 4, 8)
            assert zlib.crc32(data[at : at + 12]) == integer(data, at + 12, 4) and at + 16 == len(data)
            break
        assert hops <= most_hops and stages <= codebooks
        size = 4 + -(-hops * channels * stages * bits // 8)
        assert zlib.crc32(data[at : at + size]) == integer(data, at + size, 4)
        text, used = bits_of(data[at + 4 : at + size]), 0
        for _ in range(hops):
            codes = np.full((channels, codebooks), -1, np.int64)
            for channel in range(channels):
                for stage in range(stages):
                    codes[channel, stage] = int(text[used : used + bits], 2)
                    used += bits
            audio, state = session.run(["audio_out", "state_out"], {"codes": codes, "state": state})
            output.append(audio.T)
        assert "1" not in text[used:]
        hops_seen += hops
        at += size + 4
    assert declared in (samples, 2**64 - 1)
    whole = np.concatenate(output) if output else np.zeros((0, channels), np.float32)
    return np.clip(whole[lead : lead + samples], -1, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kbps", [3.2, 38.4, 128])
@pytest.mark.parametrize("samples", [0, 1, 12_345])
def test_the_specification_suffices(pair, channels, kbps, samples):
    model = pair(delay=40)
    rng = np.random.default_rng(3)
    audio = rng.uniform(-1, 1, (samples, channels)).astype(np.float32)
    out = decode_as_specified(encode(audio, 8_000, kbps=kbps, model=model), f"{model}-decoder.onnx")
    assert out.shape == audio.shape
    sent = np.arange(samples) % 40 < round(kbps / 3.2)
    assert np.allclose(out[sent], audio[sent], atol=1 / 32767)
    assert not out[~sent].any()


def test_the_largest_packet_is_as_large_as_the_specification_says():
    assert PacketFormat(8, 64, 16).size(255, 64) == 4 + -(-255 * 8 * 64 * 16 // 8) == Fraction(261_124)
