from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import rtae
from rtae import Denoiser
from rtae.errors import ModelNotFoundError, ParameterError, StreamStateError
from tests.models import Build


def noise(*shape: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def in_blocks(denoiser: Denoiser, signal: np.ndarray, size: int = 128) -> np.ndarray:
    return np.concatenate([denoiser.process(signal[at : at + size]) for at in range(0, len(signal), size)])


def compressed(signal: np.ndarray, hop: int) -> np.ndarray:
    """What the compressor model makes of a signal, by its formula, hop by hop."""
    state, output = 0.0, []
    for piece in np.split(signal.astype(np.float64), len(signal) // hop):
        state = 0.8 * state + min(1.0, float(np.abs(piece).mean()))
        output.append(piece / (1.0 + state))
    return np.concatenate(output)


class TestParameters:
    def test_the_delay_is_that_of_re_blocking_and_the_model(self, build: Build) -> None:
        path = build("delay", samples=192, hop=128)
        assert Denoiser(path).delay == 127 + 192
        assert Denoiser(path, block_size=128).delay == 192
        assert Denoiser(path, block_size=480).delay == 96 + 192

    def test_the_delay_at_another_rate_adds_two_filters_rounded_up_to_a_sample(self, build: Build) -> None:
        path = build("delay", samples=192, hop=128)
        # 1 ms each way at both rates, and at 16 kHz (127 + 192) / 3 samples.
        assert Denoiser(path, sample_rate=96_000).delay == 2 * (127 + 192 + 48 + 48)
        assert Denoiser(path, sample_rate=16_000).delay == -(-(127 + 192 + 48 + 48) // 3)

    def test_what_was_given_can_be_read(self, build: Build) -> None:
        denoiser = Denoiser(
            build("identity"), sample_rate=16_000, channels=2, linked=True, block_size=160, attenuation_limit_db=12
        )
        assert (denoiser.sample_rate, denoiser.channels, denoiser.linked, denoiser.block_size) == (16_000, 2, True, 160)
        assert (denoiser.attenuation_limit_db, denoiser.bypass, denoiser.speech) == (12, False, 0.0)
        assert denoiser.spec.name == "identity"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("sample_rate", 7_999),
            ("sample_rate", 192_001),
            ("sample_rate", 48_000.0),
            ("channels", 0),
            ("channels", 257),
            ("channels", "2"),
            ("block_size", 0),
            ("block_size", 1.5),
            ("attenuation_limit_db", -1.0),
            ("attenuation_limit_db", float("nan")),
            ("attenuation_limit_db", float("inf")),
            ("attenuation_limit_db", "12"),
        ],
    )
    def test_values_out_of_range_are_refused_by_name(self, build: Build, name: str, value: object) -> None:
        with pytest.raises(ParameterError, match=name):
            Denoiser(build("identity"), **{name: value})  # type: ignore[arg-type]

    @pytest.mark.parametrize("kind", ["encoder", "decoder"])
    def test_a_model_of_another_kind_is_refused(self, build: Build, kind: str) -> None:
        with pytest.raises(ParameterError, match=f"is of kind '{kind}', not a denoiser"):
            Denoiser(build(kind))

    def test_an_unknown_model_is_refused(self) -> None:
        with pytest.raises(ModelNotFoundError, match="no-such-model"):
            Denoiser("no-such-model")

    def test_a_broken_promise_is_refused_and_does_no_harm(self, build: Build) -> None:
        denoiser = Denoiser(build("identity"), block_size=64)
        signal = noise(64 * 20)
        with pytest.raises(ParameterError, match="promised block_size of 64"):
            denoiser.process(signal[:100])
        output = np.concatenate([denoiser.process(signal[:640]), denoiser.process(signal[640:])])
        np.testing.assert_array_equal(output[denoiser.delay :], signal[: -denoiser.delay])


class TestSignal:
    @pytest.mark.parametrize("block", [1, 100, 256, 10_000])
    def test_hops_lie_where_the_stream_began(self, build: Build, block: int) -> None:
        signal = noise(256 * 20)
        output = in_blocks(Denoiser(build("compressor", hop=256)), signal, block)
        np.testing.assert_allclose(output[255:], compressed(signal, 256)[:-255], atol=1e-6)

    def test_an_identity_is_bit_exact(self, build: Build) -> None:
        signal = noise(5_000, 3)
        output = in_blocks(Denoiser(build("identity"), channels=3), signal, 77)
        np.testing.assert_array_equal(output[127:], signal[:-127])

    def test_linked_channels_all_get_the_denoised_mean(self, build: Build) -> None:
        signal = noise(5_000, 3)
        linked = in_blocks(Denoiser(build("compressor"), channels=3, linked=True), signal)
        mono = in_blocks(Denoiser(build("compressor")), signal.mean(axis=1))
        assert mono.any()
        for channel in range(3):
            np.testing.assert_allclose(linked[:, channel], mono, atol=1e-7)

    def test_speech_is_the_newest_and_of_the_loudest_channel(self, build: Build) -> None:
        denoiser = Denoiser(build("identity"), channels=2)
        assert denoiser.speech == 0.0
        denoiser.process(np.full((128, 2), [0.25, 0.5], np.float32))
        assert denoiser.speech == pytest.approx(0.5)
        denoiser.process(np.full((127, 2), 0.125, np.float32))
        assert denoiser.speech == pytest.approx(0.5)
        denoiser.process(np.full((1, 2), 0.125, np.float32))
        assert denoiser.speech == pytest.approx(0.125)
        denoiser.reset()
        assert denoiser.speech == 0.0


class TestAttenuationLimit:
    def test_it_holds_from_the_next_hop_on(self, build: Build) -> None:
        denoiser = Denoiser(build("gain", factor=0.01), block_size=128)
        hop = np.ones(128, np.float32)
        for limit_db, expected in [(None, 0.01), (20, 0.1), (0.0, 1.0), (np.float32(6.0), 10**-0.3), (500.0, 0.01)]:
            denoiser.attenuation_limit_db = limit_db
            np.testing.assert_allclose(denoiser.process(hop), expected, rtol=1e-5)

    def test_reset_keeps_it(self, build: Build) -> None:
        denoiser = Denoiser(build("gain", factor=0.01), attenuation_limit_db=20.0)
        denoiser.reset()
        assert denoiser.attenuation_limit_db == 20.0

    def test_a_refused_value_changes_nothing(self, build: Build) -> None:
        denoiser = Denoiser(build("identity"), attenuation_limit_db=20.0)
        with pytest.raises(ParameterError, match="0 or more, or None"):
            denoiser.attenuation_limit_db = -3.0
        assert denoiser.attenuation_limit_db == 20.0


class TestBypass:
    @pytest.mark.parametrize("rate", [48_000, 16_000, 44_100])
    def test_it_is_the_input_at_the_same_delay_bit_by_bit(self, build: Build, rate: int) -> None:
        signal = noise(rate // 4, 2)
        denoiser = Denoiser(build("compressor"), sample_rate=rate, channels=2)
        denoiser.bypass = True
        denoiser.reset()
        output = np.concatenate([in_blocks(denoiser, signal, 100), denoiser.flush()])
        np.testing.assert_array_equal(output[denoiser.delay :], signal)

    def test_nothing_from_before_a_reset_is_heard_after_it(self, build: Build) -> None:
        denoiser = Denoiser(build("identity"))
        denoiser.process(noise(1_000))
        denoiser.bypass = True
        denoiser.reset()
        np.testing.assert_array_equal(denoiser.process(noise(127, seed=1)), 0.0)

    def test_the_state_runs_on_meanwhile(self, build: Build) -> None:
        signal = noise(128 * 60)
        plain = in_blocks(Denoiser(build("compressor")), signal)
        denoiser = Denoiser(build("compressor"))
        in_blocks(denoiser, signal[: 128 * 20])
        denoiser.bypass = True
        in_blocks(denoiser, signal[128 * 20 : 128 * 40])
        denoiser.bypass = False
        output = in_blocks(denoiser, signal[128 * 40 :])
        fade = round(0.01 * 48_000)
        assert len(output) > 2 * fade
        np.testing.assert_array_equal(output[fade:], plain[128 * 40 + fade :])

    @pytest.mark.parametrize("block", [16, 480, 2_000])
    def test_it_comes_and_goes_without_a_click(self, build: Build, block: int) -> None:
        rate, factor = 48_000, 0.1
        time = np.arange(rate // 2) / rate
        signal = np.sin(2 * np.pi * 100 * time).astype(np.float32)
        denoiser = Denoiser(build("gain", factor=factor))
        outputs = []
        for number, start in enumerate(range(0, len(signal), block)):
            denoiser.bypass = number * block // 6_000 % 2 == 1
            outputs.append(denoiser.process(signal[start : start + block]))
        output = np.concatenate(outputs)
        assert np.abs(output[:5_000]).max() == pytest.approx(factor, rel=1e-3)
        assert np.abs(output).max() == pytest.approx(1.0, rel=1e-3)
        # The tone's own steepest step, and that of a linear fade of 10 ms over what is between wet and dry.
        allowed = 2 * np.pi * 100 / rate + (1 - factor) / (0.01 * rate)
        assert np.abs(np.diff(output)).max() < 1.01 * allowed

    def test_turning_back_in_mid_fade_is_smooth_too(self, build: Build) -> None:
        denoiser = Denoiser(build("gain", factor=0.0), block_size=128)
        ones = np.ones(128, np.float32)
        outputs = [denoiser.process(ones)]
        for state in (True, False, True, True, True, True, False, False, False, False, False):
            denoiser.bypass = state
            outputs.append(denoiser.process(ones))
        output = np.concatenate(outputs)
        assert output[128 * 7 - 1] == 1.0
        assert output[-1] == pytest.approx(1e-5)
        assert np.abs(np.diff(output)).max() < 1.01 / 480


class TestHostileInput:
    @pytest.mark.parametrize("rate", [48_000, 16_000])
    @pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_counts_as_silence(self, build: Build, rate: int, poison: float) -> None:
        signal = noise(rate // 4, 2)
        signal[500:520, 0] = 0.0
        expected = in_blocks(Denoiser(build("compressor"), sample_rate=rate, channels=2), signal)
        signal[500:520, 0] = poison
        output = in_blocks(Denoiser(build("compressor"), sample_rate=rate, channels=2), signal)
        assert expected.any()
        np.testing.assert_array_equal(output, expected)

    def test_the_callers_array_is_left_alone(self, build: Build) -> None:
        signal = np.full(200, np.nan, np.float32)
        Denoiser(build("compressor")).process(signal)
        assert np.isnan(signal).all()

    @pytest.mark.parametrize("huge", [3e38, -1e30, 2e6, np.float64(1e300)])
    def test_what_no_audio_can_be_does_not_last(self, build: Build, huge: float) -> None:
        denoiser = Denoiser(build("compressor"))
        signal = noise(128 * 200).astype(np.float64)
        expected = in_blocks(Denoiser(build("compressor")), signal)
        signal[1_000] = huge
        output = in_blocks(denoiser, signal)
        assert np.isfinite(output).all()
        np.testing.assert_allclose(output[-128:], expected[-128:], atol=1e-4)

    def test_bypass_plays_nothing_of_it(self, build: Build) -> None:
        denoiser = Denoiser(build("identity"))
        denoiser.bypass = True
        denoiser.reset()
        signal = noise(1_000)
        signal[100] = np.nan
        output = denoiser.process(signal)
        signal[100] = 0.0
        np.testing.assert_array_equal(output[127:], signal[:-127])

    @pytest.mark.parametrize("level", [0.0, 1e-42, 1e-30, 1e-14])
    @pytest.mark.parametrize("rate", [48_000, 16_000])
    def test_below_the_faintest_is_exact_silence(self, build: Build, level: float, rate: int) -> None:
        denoiser = Denoiser(build("identity"), sample_rate=rate)
        output = in_blocks(denoiser, np.full(rate // 10, level, np.float32))
        assert len(output) > denoiser.delay
        np.testing.assert_array_equal(output, 0.0)

    def test_24_bits_are_not_silence(self, build: Build) -> None:
        signal = np.zeros(1_000, np.float32)
        signal[200] = 2.0**-23
        output = Denoiser(build("identity")).process(signal)
        assert output[327] == np.float32(2.0**-23)


def test_memory_does_not_grow(build: Build) -> None:
    denoiser = Denoiser(build("compressor"), sample_rate=44_100, channels=2)
    block, out = noise(441, 2), np.empty((441, 2), np.float32)

    def run(times: int) -> None:
        for number in range(times):
            denoiser.bypass = number % 50 > 25
            denoiser.process(block, out)

    run(100)
    tracemalloc.start()
    try:
        run(100)
        before, _ = tracemalloc.get_traced_memory()
        run(600)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2_000


def test_parameters_may_be_set_while_another_thread_is_inside(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = Denoiser(build("gain", factor=0.01), block_size=128)
    step = denoiser._model.step

    def meddle(*arguments: object) -> object:
        denoiser.attenuation_limit_db = 20.0
        denoiser.bypass = True
        with pytest.raises(StreamStateError):
            denoiser.reset()
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(denoiser._model, "step", meddle)
    ones = np.ones(128, np.float32)
    np.testing.assert_allclose(denoiser.process(ones), 0.01, rtol=1e-5)
    assert (denoiser.attenuation_limit_db, denoiser.bypass) == (20.0, True)


class TestWholeArrays:
    @pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
    @pytest.mark.parametrize("shape", [(9_000,), (9_000, 1), (9_000, 2), (1, 2), (1,), (0,), (0, 2)])
    def test_shape_and_place_are_kept(self, build: Build, rate: int, shape: tuple[int, ...]) -> None:
        count = np.arange(shape[0]) / rate
        signal = np.sin(2 * np.pi * 1_000 * count + 0.5) * np.hanning(shape[0]) if shape[0] > 1 else np.zeros(shape[0])
        signal = np.broadcast_to(signal[:, np.newaxis], shape) if len(shape) == 2 else signal
        output = rtae.denoise(signal, rate, model=build("delay"))
        assert output.shape == shape
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, signal, atol=1e-4)

    def test_it_is_the_streaming_path(self, build: Build) -> None:
        signal = noise(10_000, 2)
        denoiser = rtae.load(build("compressor"), sample_rate=44_100, channels=2, attenuation_limit_db=6.0)
        streamed = np.concatenate([in_blocks(denoiser, signal, 441), denoiser.flush()])[denoiser.delay :]
        whole = rtae.denoise(signal, 44_100, model=build("compressor"), attenuation_limit_db=6.0)
        np.testing.assert_allclose(whole, streamed, atol=1e-6)

    def test_the_limit_is_obeyed(self, build: Build) -> None:
        ones = np.ones(1_000)
        path = build("gain", factor=0.01)
        np.testing.assert_allclose(rtae.denoise(ones, 48_000, model=path, attenuation_limit_db=20), 0.1, rtol=1e-5)

    @pytest.mark.parametrize("shape", [(), (4, 0), (2, 48_000), (2, 3, 4)])
    def test_what_is_no_recording_is_refused(self, build: Build, shape: tuple[int, ...]) -> None:
        with pytest.raises(ParameterError, match=r"\(samples, channels\)"):
            rtae.denoise(np.zeros(shape), 48_000, model=build("identity"))

    def test_integers_are_refused(self, build: Build) -> None:
        with pytest.raises(ParameterError, match="full scale"):
            rtae.denoise(np.zeros(100, np.int16), 48_000, model=build("identity"))
