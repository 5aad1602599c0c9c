from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from rtae import resample
from rtae.errors import ParameterError
from rtae.resample import StreamingResampler, shortest_delay

RATES = [
    (16_000, 48_000),
    (48_000, 16_000),
    (8_000, 48_000),
    (48_000, 8_000),
    (44_100, 48_000),
    (48_000, 44_100),
    (22_050, 48_000),
    (96_000, 48_000),
    (48_000, 192_000),
    (44_101, 48_000),
    (48_000, 47_999),
]


def convert(resampler: StreamingResampler, signal: np.ndarray, sizes: list[int] | None = None) -> np.ndarray:
    """Run a mono signal through, in blocks of the given sizes, repeated, or at once."""
    if sizes is None:
        return resampler.process(signal[:, np.newaxis].astype(np.float32))[:, 0]
    pieces, start, turn = [], 0, 0
    while start < len(signal):
        stop = start + sizes[turn % len(sizes)]
        pieces.append(resampler.process(signal[start:stop, np.newaxis].astype(np.float32))[:, 0])
        start, turn = stop, turn + 1
    return np.concatenate(pieces)


def tone(frequency: float, rate: int, count: int, delay_s: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * (np.arange(count) / rate - delay_s) + 0.3)


def level_db(signal: np.ndarray, reference: np.ndarray) -> float:
    assert len(signal) == len(reference) > 0
    return float(10 * np.log10(np.mean(signal**2) / np.mean(reference**2) + 1e-30))


def settled(resampler: StreamingResampler) -> slice:
    """Output past the kernel's ends."""
    return slice(2 * ceil(resampler.delay) + 2, None)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("sizes", [[1], [64], [480], [1, 7, 0, 1500, 63], [5000]])
def test_blocks_give_the_same_samples_and_as_many_as_stated(rate_in: int, rate_out: int, sizes: list[int]) -> None:
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)
    count = 1200 if sizes == [1] else 5000
    signal = np.random.default_rng(seed).standard_normal(count)
    whole = convert(StreamingResampler(rate_in, rate_out), signal)
    blocks = convert(StreamingResampler(rate_in, rate_out), signal, sizes)
    assert len(whole) == len(blocks) == ceil(Fraction(count * rate_out, rate_in)) > 0
    assert np.abs(whole).max() > 0.1
    np.testing.assert_allclose(blocks, whole, atol=1e-6)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("extra", [None, Fraction(0), Fraction(1, 3), Fraction(7, 2)])
def test_a_tone_comes_out_exactly_the_declared_delay_later(rate_in: int, rate_out: int, extra: Fraction | None) -> None:
    chosen = None if extra is None else shortest_delay(rate_in, rate_out) + extra
    resampler = StreamingResampler(rate_in, rate_out, delay=chosen)
    assert resampler.delay == (ceil(shortest_delay(rate_in, rate_out)) if chosen is None else chosen)
    frequency = 0.37 * min(rate_in, rate_out)
    output = convert(resampler, tone(frequency, rate_in, rate_in // 20))
    expected = tone(frequency, rate_out, len(output), float(resampler.delay / rate_out))
    inside = settled(resampler)
    # -72 dB of a tone this high would be a delay wrong by a ten-thousandth of a sample.
    assert level_db((output - expected)[inside], expected[inside]) < -72


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.88, 0.95])
def test_the_passband_is_flat(rate_in: int, rate_out: int, part: float) -> None:
    lower = min(rate_in, rate_out)
    resampler = StreamingResampler(rate_in, rate_out)
    frequency = min(part, 0.95 if lower >= 44_100 else 0.88) * lower / 2
    signal = tone(frequency, rate_in, rate_in // 10)
    inside = settled(resampler)
    output = convert(resampler, signal)[inside]
    expected = tone(frequency, rate_out, len(output) + inside.start, float(resampler.delay / rate_out))[inside]
    gain = np.dot(output, expected) / np.dot(expected, expected)
    assert abs(20 * np.log10(gain)) < 0.1


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "frequencies"),
    [
        (48_000, 16_000, [9_500, 11_000, 15_900, 23_000]),
        (48_000, 8_000, [4_750, 8_100, 20_000]),
        (48_000, 44_100, [23_700]),
        (96_000, 48_000, [25_800, 33_000, 47_000]),
        (192_000, 48_000, [25_800, 60_000, 95_000]),
    ],
)
def test_what_the_lower_rate_cannot_hold_is_removed(rate_in: int, rate_out: int, frequencies: list[int]) -> None:
    for frequency in frequencies:
        resampler = StreamingResampler(rate_in, rate_out)
        output = convert(resampler, tone(frequency, rate_in, rate_in // 10))[settled(resampler)]
        assert level_db(output, tone(frequency, rate_in, len(output))) < -78, frequency


@pytest.mark.parametrize(("rate_in", "rate_out"), [rates for rates in RATES if rates[0] < rates[1]])
def test_raising_the_rate_makes_no_images(rate_in: int, rate_out: int) -> None:
    frequency = 0.8 * rate_in / 2
    resampler = StreamingResampler(rate_in, rate_out)
    output = convert(resampler, tone(frequency, rate_in, rate_in // 4))[settled(resampler)]
    spectrum = np.abs(np.fft.rfft(output * np.kaiser(len(output), 14)))
    grid = np.linspace(0, rate_out / 2, len(spectrum))
    far = np.abs(grid - frequency) > 100
    assert far.any()
    assert spectrum[far].max() / spectrum.max() < 10 ** (-78 / 20)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_a_constant_passes_without_ripple(rate_in: int, rate_out: int) -> None:
    resampler = StreamingResampler(rate_in, rate_out)
    output = convert(resampler, np.ones(rate_in // 50))[settled(resampler)]
    assert len(output)
    np.testing.assert_allclose(output, 1.0, atol=3e-6)


def test_phases_between_two_tabulated_ones_are_interpolated_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = np.random.default_rng(1).standard_normal(4000)
    interpolated = convert(StreamingResampler(44_101, 48_000), signal)
    monkeypatch.setattr(resample, "PHASES", 48_000)
    exact = convert(StreamingResampler(44_101, 48_000), signal)
    assert 0 < np.abs(interpolated - exact).max()
    assert level_db(interpolated - exact, exact) < -115


def test_channels_are_converted_alike_and_apart() -> None:
    signal = np.random.default_rng(2).standard_normal((3000, 3)).astype(np.float32)
    together = StreamingResampler(44_100, 48_000, 3).process(signal)
    assert together.shape == (ceil(3000 * 160 / 147), 3)
    for channel in range(3):
        alone = convert(StreamingResampler(44_100, 48_000), signal[:, channel])
        np.testing.assert_allclose(together[:, channel], alone, atol=1e-6)


def test_reset_goes_back_to_silence() -> None:
    signal = np.random.default_rng(3).standard_normal(777)
    resampler = StreamingResampler(44_100, 16_000)
    first = convert(resampler, signal)
    resampler.reset()
    second = convert(resampler, signal)
    assert first.any()
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "channels", "delay", "message"),
    [
        (0, 48_000, 1, None, "positive"),
        (48_000, -1, 1, None, "positive"),
        (48_000, 16_000, 0, None, "positive"),
        (48_000, 16_000, 1, Fraction(15), "least is 16"),
    ],
)
def test_impossible_conversions_are_refused(
    rate_in: int, rate_out: int, channels: int, delay: Fraction | None, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        StreamingResampler(rate_in, rate_out, channels, delay=delay)


def test_blocks_of_another_shape_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"\(n, 2\)"):
        StreamingResampler(48_000, 16_000, 2).process(np.zeros(8, np.float32))
