from __future__ import annotations

import threading

import numpy as np
import pytest

from rtae import Processor
from rtae.base import CHUNK, StreamProcessor, check_integer
from rtae.errors import ParameterError, StreamStateError
from rtae.processor import Bypass, Delay, DelayLine, Gain


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


class TestGain:
    def test_scales(self) -> None:
        signal = noise(3000, 2)
        np.testing.assert_allclose(Gain(-20.0, channels=2).process(signal), 0.1 * signal, rtol=1e-6)
        assert Gain(-20.0).delay == 0

    @pytest.mark.parametrize("gain_db", [float("nan"), float("inf"), -float("inf")])
    def test_a_gain_that_is_no_number_is_refused(self, gain_db: float) -> None:
        with pytest.raises(ParameterError, match="gain_db"):
            Gain(gain_db)


class TestDelay:
    @pytest.mark.parametrize("delay", [0, 1, 100, 5 * CHUNK + 1])
    def test_holds_the_signal_back(self, delay: int) -> None:
        signal = noise(3 * CHUNK, 2)
        processor = Delay(delay, channels=2)
        output = np.concatenate([processor.process(signal), processor.flush()])
        assert processor.delay == delay
        np.testing.assert_array_equal(output, np.concatenate([np.zeros((delay, 2)), signal]))

    def test_a_negative_delay_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="delay is -1"):
            Delay(-1)


def test_bypass_is_the_signal() -> None:
    signal = noise(3000, 2)
    processor = Bypass(sample_rate=16_000, channels=2)
    np.testing.assert_array_equal(processor.process(signal), signal)
    assert (processor.sample_rate, processor.channels, processor.delay) == (16_000, 2, 0)
    assert isinstance(processor, Processor)


def test_a_delay_line_keeps_its_place_while_nobody_listens() -> None:
    signal = noise(300, 1)
    line = DelayLine(50, 1, longest=100)
    line.skip(signal[:100])
    line.skip(signal[100:200])
    out = np.empty((100, 1), np.float32)
    line.process(signal[200:], out)
    np.testing.assert_array_equal(out, signal[150:250])


class TestBlocks:
    def test_one_channel_may_come_as_a_flat_array_and_goes_back_as_one(self) -> None:
        signal = noise(100)
        processor = Delay(10)
        output = processor.process(signal)
        assert output.shape == (100,)
        np.testing.assert_array_equal(output[10:], signal[:90])
        assert processor.process(signal[:, np.newaxis]).shape == (100, 1)

    def test_an_empty_block_is_a_block(self) -> None:
        processor = Delay(10, channels=2)
        assert processor.process(np.empty((0, 2))).shape == (0, 2)
        assert Delay(10).process([]).shape == (0,)

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble])
    def test_other_float_types_are_converted(self, dtype: type) -> None:
        output = Bypass().process(np.array([0.5, -0.25], dtype))
        assert output.dtype == np.float32
        np.testing.assert_array_equal(output, [0.5, -0.25])

    def test_a_list_of_floats_is_a_block(self) -> None:
        np.testing.assert_array_equal(Bypass().process([0.5, -0.25]), np.float32([0.5, -0.25]))

    @pytest.mark.parametrize(
        "block", [np.zeros(4, np.int16), np.zeros(4, bool), np.zeros(4, complex), ["a"], [None], [1, 2]]
    )
    def test_what_is_no_float_is_refused(self, block: object) -> None:
        with pytest.raises(ParameterError, match=r"must be float in -1\.\.1"):
            Bypass().process(block)  # type: ignore[arg-type]

    @pytest.mark.parametrize("shape", [(8,), (2, 8), (8, 1), (8, 3), (1, 8, 2), ()])
    def test_other_shapes_are_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ParameterError, match=r"must have shape \(n, 2\)"):
            Bypass(channels=2).process(np.zeros(shape, np.float32))

    def test_a_ragged_list_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="not an array"):
            Bypass(channels=2).process([[0.1, 0.2], [0.3]])

    def test_strided_blocks_are_read_right(self) -> None:
        signal = noise(200, 4)
        np.testing.assert_array_equal(Bypass(channels=2).process(signal[::2, ::2]), signal[::2, ::2])


class TestOut:
    def test_out_is_filled_and_returned(self) -> None:
        signal, out = noise(5000, 2), np.empty((5000, 2), np.float32)
        assert Gain(20.0, channels=2).process(signal, out=out) is out
        np.testing.assert_allclose(out, 10 * signal, rtol=1e-6)

    def test_out_may_be_a_strided_view(self) -> None:
        signal, out = noise(500), np.zeros((500, 2), np.float32)
        Bypass().process(signal, out=out[:, 1])
        np.testing.assert_array_equal(out[:, 1], signal)
        assert not out[:, 0].any()

    @pytest.mark.parametrize(
        "out",
        [
            np.zeros(9, np.float32),
            np.zeros((10, 1), np.float32),
            np.zeros(10, np.float64),
            np.broadcast_to(np.float32(0), 10),
        ],
    )
    def test_an_unusable_out_is_refused(self, out: np.ndarray) -> None:
        with pytest.raises(ParameterError, match="out must be a writable float32 array"):
            Bypass().process(noise(10), out=out)

    def test_out_that_is_no_array_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="out must be"):
            Bypass().process(noise(2), out=[0.0, 0.0])  # type: ignore[arg-type]


class TestEndOfStream:
    def test_after_flush_only_reset_goes_on(self) -> None:
        processor = Delay(5)
        first = np.concatenate([processor.process(noise(20)), processor.flush()[:, 0]])
        with pytest.raises(StreamStateError, match=r"process\(\) after flush\(\).*reset\(\)"):
            processor.process(noise(20))
        with pytest.raises(StreamStateError, match=r"flush\(\) after flush\(\)"):
            processor.flush()
        processor.reset()
        np.testing.assert_array_equal(np.concatenate([processor.process(noise(20)), processor.flush()[:, 0]]), first)

    def test_a_refused_call_leaves_the_stream_usable(self) -> None:
        processor = Delay(5)
        with pytest.raises(ParameterError):
            processor.process(np.zeros(4, np.int16))
        np.testing.assert_array_equal(processor.process(noise(20))[5:], noise(20)[:15])


class Waiting(StreamProcessor):
    """Stays inside until told to go on."""

    def __init__(self) -> None:
        super().__init__(48_000, 1, 0)
        self.inside, self.go_on = threading.Event(), threading.Event()

    def _process(self, frames: np.ndarray, out: np.ndarray) -> None:
        self.inside.set()
        assert self.go_on.wait(10)

    def _reset(self) -> None:
        pass


def test_a_second_thread_is_refused_and_does_no_harm() -> None:
    processor = Waiting()
    first = threading.Thread(target=processor.process, args=(noise(4),))
    first.start()
    assert processor.inside.wait(10)
    for call in (lambda: processor.process(noise(4)), processor.flush, processor.reset):
        with pytest.raises(StreamStateError, match="another thread is inside"):
            call()
    processor.go_on.set()
    first.join()
    processor.process(noise(4))
    processor.reset()


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, np.float32(1), 11])
def test_what_is_no_integer_in_range_is_refused(value: object) -> None:
    with pytest.raises(ParameterError, match=r"size is .* integer from 1 to 10"):
        check_integer("size", value, 1, 10)


def test_an_integer_in_range_comes_back_as_int() -> None:
    for value in (1, 10, np.int64(7), np.uint8(7)):
        assert type(check_integer("size", value, 1, 10)) is int
