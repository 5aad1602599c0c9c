"""Denoiser and codec in one stream, switched while it runs."""

from __future__ import annotations

import numpy as np
import pytest
from live_doubles import Gated

from rtae.codec.loop import CodecLoop
from rtae.errors import ModelNotFoundError, ParameterError
from rtae.live import FakeBackend, LiveStream
from rtae.live.modes import MODES
from tests.unit.codec.conftest import pair

__all__ = ["pair"]

RATE, HOP = 48_000, 48
GAIN = 0.25


def open_stream(build, pair, backend, **options):
    return LiveStream(
        build("gain", factor=GAIN, hop=96),
        **{"codec": pair(RATE, HOP, 60), "kbps": 48 * 16, "block_size": 96, "backend": backend, **options},
    )


def tone(start, count):
    return (0.5 * np.sin(2 * np.pi * 440 / RATE * np.arange(start, start + count))).astype(np.float32)[:, None]


def run(stream, backend, modes, blocks=60):
    """Play a tone, so many blocks in each mode; return what was played."""
    played, size = [], backend.block
    for mode in modes:
        stream.mode = mode
        for _ in range(blocks):
            played.append(backend.step(tone(len(played) * size, size)))
    return np.concatenate(played)[:, 0]


def test_each_mode_is_what_its_name_says_at_one_latency(build, pair):
    backend = FakeBackend()
    with open_stream(build, pair, backend, mode="passthrough") as stream:
        assert stream.modes == MODES and stream.mode == "passthrough"
        # Of the model: the codec's 60 samples; of the hops: none, as 96 is a whole number of both.
        assert stream.latency.model == 60 and stream.latency.hop_wait == 0
        lag, size = stream.latency.engine, 60 * backend.block
        heard = run(stream, backend, MODES)
    expected = tone(-lag, len(heard))[:, 0]
    settled = np.arange(len(heard)) % size > size // 2
    for place, (mode, gain, error) in enumerate(
        [("denoise", GAIN, 1e-6), ("codec", 1.0, 2e-5), ("denoise+codec", GAIN, 2e-5), ("passthrough", 1.0, 0.0)]
    ):
        part = slice(place * size, (place + 1) * size)
        difference = np.abs(heard[part] - gain * expected[part])[settled[part]]
        assert difference.size == size // 2 - 1 and difference.max() <= error, (mode, difference.max())


def test_a_switch_makes_no_step_and_no_gap(build, pair):
    backend = FakeBackend()
    rng = np.random.default_rng(8)
    print("seed", 8)
    with open_stream(build, pair, backend, mode="denoise") as stream:
        heard = run(stream, backend, [str(mode) for mode in rng.choice(MODES, 40)], blocks=7)[1000:]
        assert stream.stats.late == 0 and stream.stats.failures == 0
    steepest = 0.5 * 2 * np.pi * 440 / RATE
    # A cross-fade of 10 ms between two levels adds less than a part of the tone's own slope.
    assert np.max(np.abs(np.diff(heard))) < steepest + 0.5 / (0.01 * RATE) + 1e-4
    windows = heard[: len(heard) // 480 * 480].reshape(-1, 480)
    assert len(windows) > 30 and np.min(np.sqrt(np.mean(windows**2, axis=1))) > 0.5 * GAIN / 2


def test_the_strength_reaches_the_denoiser_of_the_modes(build, pair):
    backend = FakeBackend()
    with open_stream(build, pair, backend, mode="denoise") as stream:
        stream.attenuation_limit_db = 6.0
        heard = run(stream, backend, ["denoise"])
    assert np.max(np.abs(heard[-2000:])) == pytest.approx(0.5 * 10 ** (-6 / 20), rel=0.01)


def test_lost_packets_are_heard_and_the_level_stays_within_full_scale(build, pair):
    backend = FakeBackend()
    with open_stream(build, pair, backend, mode="codec", loss=0.3) as stream:
        heard, lag = run(stream, backend, ["codec"], blocks=200), stream.latency.engine
    wrong = np.abs(heard - tone(-lag, len(heard))[:, 0])[lag + 1000 :].reshape(-1)
    hops = wrong[: len(wrong) // HOP * HOP].reshape(-1, HOP).max(axis=1) > 1e-3
    assert 0.2 < hops.mean() < 0.7
    assert np.max(np.abs(heard)) <= 1.0


def test_without_a_codec_there_are_two_modes_unless_it_is_asked_for(build, monkeypatch):
    from rtae.codec import models

    def nothing(name):
        raise ModelNotFoundError(f"no model {name!r}")

    monkeypatch.setattr(models, "find_models", nothing)
    with LiveStream(build("gain", hop=96), backend=FakeBackend(), mode="passthrough") as stream:
        assert stream.modes == ("denoise", "passthrough")
        stream.mode = "denoise"
        with pytest.raises(ParameterError, match=r"mode is 'codec'; this stream has denoise, passthrough"):
            stream.mode = "codec"
    for options in ({"mode": "denoise+codec"}, {"mode": "denoise", "codec": "mine"}):
        with pytest.raises(ModelNotFoundError):
            LiveStream(build("gain", hop=96), backend=FakeBackend(), **options)


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"mode": "code"}, "mode is 'code'; this stream has denoise, codec"),
        ({"codec": None}, "belong to a mode"),
        ({"codec": None, "kbps": None, "loss": 0.1}, "belong to a mode"),
        ({"mode": "codec", "loss": 1.5}, "loss is 1.5"),
        ({"mode": "codec", "kbps": 1e6}, "kbps is"),
    ],
)
def test_what_does_not_fit_is_refused(build, pair, options, reason):
    with pytest.raises(ParameterError, match=reason):
        open_stream(build, pair, FakeBackend(), **options)


def test_a_stream_without_modes_has_none_and_keeps_its_latency(build):
    with LiveStream(build("gain", hop=96), backend=FakeBackend(), block_size=96) as stream:
        assert stream.modes == () and stream.mode is None and stream.latency.model == 0
        with pytest.raises(ParameterError, match="give it one to start"):
            stream.mode = "codec"
    with pytest.raises(ParameterError, match="not for a processor"):
        LiveStream(Gated(), backend=FakeBackend(), mode="denoise")


def test_the_loop_keeps_the_contract_of_processors_at_another_rate_too(pair):
    for rate, block in ((RATE, None), (RATE, 64), (44_100, 64), (16_000, None)):
        loop = CodecLoop(pair(RATE, HOP, 60), sample_rate=rate, block_size=block, kbps=48 * 16)
        audio = (0.3 * np.sin(2 * np.pi * 300 / rate * np.arange(6_400))).astype(np.float32)
        made = np.concatenate([loop.process(audio), loop.flush()[:, 0]])[loop.delay :]
        assert len(made) == len(audio)
        assert np.max(np.abs(made - audio)[500:-500]) < 2e-3, (rate, block)
        loop.reset()
        again = np.concatenate([loop.process(part) for part in audio.reshape(-1, 640)])
        assert np.array_equal(again[loop.delay :], made[: len(audio) - loop.delay])
