"""Two clocks: the interpolator, the control loop and the bridge, on simulated clocks."""

from __future__ import annotations

import numpy as np
import pytest

from rtae.drift import TAPS, ClockBridge, Interpolator, RateLoop


def tone(frequency, rate, start, count):
    return (0.5 * np.sin(2 * np.pi * frequency / rate * np.arange(start, start + count))).astype(np.float32)[:, None]


@pytest.mark.parametrize("ratio", [1.0, 1.0002, 0.9998, 44_100 / 48_000, 1 / 3, 2.0])
@pytest.mark.parametrize("block", [1, 63, 128])
def test_a_tone_is_interpolated_at_any_ratio_and_block(ratio, block):
    rate, count = 48_000, 12_000
    source = tone(997, rate, 0, count)
    interpolator = Interpolator(1, ratio)
    made = np.concatenate([interpolator.process(source[at : at + block], ratio) for at in range(0, count, block)])[:, 0]
    assert abs(len(made) - (count - TAPS / 2) / ratio) < TAPS / ratio
    # Output n lies TAPS / 2 input samples behind: the history of zeros is that long.
    at = ratio * np.arange(len(made)) - TAPS / 2
    expected = 0.5 * np.sin(2 * np.pi * 997 / rate * at)
    error = (made - expected)[at > TAPS]
    assert 10 * np.log10(np.mean(error**2) / 0.125) < -75


def test_the_loop_learns_an_offset_without_overshooting_far():
    loop = RateLoop(48_000)
    offset, fill, corrections = 200e-6, 300.0, []
    for _ in range(60 * 375):
        loop.update(fill, 128 / 48_000)
        fill += 128 * (offset - loop.correction)
        corrections.append(loop.correction)
    assert corrections[-1] == pytest.approx(offset, abs=1e-6)
    assert loop.integral == pytest.approx(offset, abs=1e-6)
    assert max(corrections) < 300e-6
    assert fill == pytest.approx(300, abs=1)


def simulate(ppm, seconds, input_rate, input_block, output_rate, output_block, channels=1):
    """Run a bridge between an input clock `ppm` fast and an output clock; return it, its output, flows after 5 s."""
    bridge = ClockBridge(channels, input_rate, output_rate, input_block, output_block)
    input_period = input_block / (input_rate * (1 + 1e-6 * ppm))
    output_period = output_block / output_rate
    out = np.zeros((round(seconds / output_period), output_block, channels), np.float32)
    pushed, early = 0, 0
    for index in range(len(out)):
        now = (index + 1.3) * output_period
        while (pushed + 1) * input_period <= now:
            block = tone(1_000, input_rate, pushed * input_block, input_block)
            bridge.push(np.repeat(block, channels, axis=1), (pushed + 1) * input_period)
            bridge.pump()
            pushed += 1
        bridge.pull(out[index], now)
        if now < 5.0:
            early = bridge.underflows + bridge.overflows
    return bridge, out.reshape(-1, channels), bridge.underflows + bridge.overflows - early


@pytest.mark.parametrize(
    "ppm, seconds, formats",
    [
        (200, 600, (48_000, 128, 48_000, 128)),
        (-200, 600, (48_000, 128, 48_000, 128)),
        (200, 40, (44_100, 118, 48_000, 128)),
        (-200, 40, (16_000, 160, 48_000, 256)),
        (-200, 40, (48_000, 480, 48_000, 96)),
    ],
)
def test_two_clocks_200_ppm_apart_neither_starve_nor_flood_nor_bend_the_pitch(ppm, seconds, formats):
    rate = formats[2]
    bridge, out, flows = simulate(ppm, seconds, *formats)
    assert flows == 0
    assert bridge.ppm == pytest.approx(ppm, abs=2)
    # Frequency over windows of 0.5 s from the phase against the nominal tone.
    carrier = np.exp(-2j * np.pi * 1_000 / rate * np.arange(len(out)))
    windows = (out[:, 0] * carrier)[5 * rate :].reshape(-1, rate // 2).mean(axis=1)
    assert np.all(np.abs(windows) > 0.24)
    pitch_ppm = 1e6 * np.diff(np.unwrap(np.angle(windows))) / np.pi / 1_000
    assert len(pitch_ppm) > 50
    assert np.max(np.abs(pitch_ppm)) < 300
    assert pitch_ppm[-1] == pytest.approx(ppm, abs=5)


def test_the_declared_latency_of_the_bridge_is_its_mean():
    bridge = ClockBridge(1, 48_000, 48_000, 128, 128)
    sent, period, got = 40_000, 128 / 48_000, []
    audio = np.zeros((sent // 128 * 128, 1), np.float32)
    audio[24_000] = 1.0
    for index, block in enumerate(audio.reshape(-1, 128, 1)):
        now = (index + 1) * period
        bridge.push(block, now)
        bridge.pump()
        out = np.zeros((128, 1), np.float32)
        bridge.pull(out, now + period / 2)
        got.append(out)
    # A pull half a period after each push is the mean of all phases.
    delay = int(np.argmax(np.concatenate(got))) - 24_000
    assert abs(delay - bridge.latency) <= 64


def test_a_missing_side_gives_silence_and_a_fresh_start():
    bridge = ClockBridge(2, 48_000, 48_000, 128, 128)
    ones, out, now = np.ones((128, 2), np.float32), np.full((128, 2), np.nan, np.float32), 0.0
    assert not bridge.pull(out, now) and not np.any(out)
    for _ in range(10):
        now += 128 / 48_000
        bridge.push(ones, now)
        bridge.pump()
        bridge.pull(out, now)
    assert np.allclose(out, 1.0, atol=1e-3)
    assert (bridge.underflows, bridge.overflows) == (0, 0)
    for _ in range(10):
        now += 128 / 48_000
        bridge.pull(out, now)
    assert bridge.underflows == 1 and not np.any(out)
    for _ in range(200):
        now += 128 / 48_000
        bridge.push(ones, now)
    assert bridge.overflows > 0
