"""16-bit streams: what comes out is what the denoiser makes, rounded once."""

import numpy as np
import pytest

import rtae
from rtae.errors import ParameterError
from rtae.integrations.pcm import PcmDenoiser

SEED = 16


def samples(frames, channels=1):
    print("seed", SEED)
    return np.random.default_rng(SEED).integers(-(2**15), 2**15, (frames, channels), dtype=np.int16)


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_frames_of_10_ms_equal_the_denoiser(build, rate, channels):
    noisy = samples(rate // 2, channels)
    stream = PcmDenoiser(build("compressor"), sample_rate=rate, channels=channels)
    size = rate // 100
    parts = [stream.process(noisy[start : start + size].tobytes()) for start in range(0, len(noisy), size)]
    assert {len(part) for part in parts} == {2 * size * channels}
    clean = np.frombuffer(b"".join(parts), np.int16).reshape(-1, channels)
    denoiser = rtae.Denoiser(build("compressor"), sample_rate=rate, channels=channels)
    expected = np.clip(np.rint(denoiser.process(noisy / np.float32(32768)) * 32768), -32768, 32767)
    assert np.abs(expected).max() > 1_000
    np.testing.assert_array_equal(clean, expected)


def test_identity_is_exact_and_loudest_samples_do_not_wrap(build):
    noisy = np.array([32767, -32768, 0, 1] * 200, np.int16)
    stream = PcmDenoiser(build("identity"), sample_rate=48_000)
    clean = np.frombuffer(stream.process(memoryview(noisy)), np.int16)
    delay = stream.denoiser.delay
    assert 0 < delay < 400
    np.testing.assert_array_equal(clean[delay:], noisy[:-delay])
    loud = PcmDenoiser(build("gain", factor=4.0), sample_rate=48_000)
    clean = np.frombuffer(loud.process(noisy.tobytes()), np.int16)[delay:]
    assert set(clean.tolist()) == {32767, -32768, 0, 4}


def test_half_a_frame_is_refused(build):
    stream = PcmDenoiser(build("identity"), sample_rate=48_000, channels=2)
    with pytest.raises(ParameterError, match="6 bytes are not whole frames of 4"):
        stream.process(bytes(6))
    assert stream.process(b"") == b""
