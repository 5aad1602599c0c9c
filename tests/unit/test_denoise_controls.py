"""What a listener turns: the limit without zipper noise, a gate on the speech probability without lost onsets."""

from importlib import resources

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, resample_poly, sosfilt

import rtae

RATE, HOP = 48_000, 256
HOLD_HOPS = 60
ONSET_HOPS = 38
"""200 ms."""


def moved(limit_db) -> np.ndarray:
    """A hum of 150 Hz through the denoiser, the limit set by a function of the time in seconds before each block."""
    hum = (0.2 * np.sin(2 * np.pi * 150 * np.arange(4 * RATE) / RATE)).astype(np.float32)
    denoiser, output = rtae.load("denoise", sample_rate=RATE), []
    for start in range(0, len(hum), HOP):
        denoiser.attenuation_limit_db = limit_db(start / RATE)
        output.append(denoiser.process(hum[start : start + HOP]))
    return np.concatenate(output)


def above_2_khz_db(audio: np.ndarray) -> float:
    """Power above 2 kHz in dBFS, after the first second."""
    high = sosfilt(butter(8, 2000, "high", fs=RATE, output="sos"), audio.astype(np.float64))[RATE:]
    return float(10 * np.log10(np.mean(np.square(high))))


@pytest.mark.parametrize(
    "limit_db",
    [
        lambda time_s: 20 * (1 - np.cos(2 * np.pi * time_s)),
        lambda time_s: 3.0 * (int(time_s * 100) % 12),
        lambda time_s: 40.0 * (int(time_s * 4) % 2),
    ],
    ids=["slides", "steps", "jumps"],
)
def test_a_limit_that_moves_makes_no_zipper_noise(limit_db) -> None:
    audio = moved(limit_db)
    levels = np.abs(audio[RATE:]).reshape(-1, RATE // 100).max(axis=1)
    assert levels.max() > 3 * levels.min()  # the control does something
    assert above_2_khz_db(audio) < -95
    # The measure would hear it: the same moves as a gain that changes from hop to hop.
    open_wide = moved(lambda _: 0.0)
    gains = [10 ** (-limit_db(start / RATE) / 20) for start in range(0, len(open_wide), HOP)]
    assert above_2_khz_db(open_wide * np.repeat(gains, HOP)) > -80


def gated(audio: np.ndarray) -> tuple[np.ndarray, int]:
    """Whether a gate is open in each hop, on a probability of speech over 0.5 and for 0.32 s after; and the delay."""
    denoiser = rtae.load("denoise", sample_rate=RATE, block_size=HOP)
    gate, left = [], 0
    for start in range(0, len(audio) // HOP * HOP, HOP):
        denoiser.process(audio[start : start + HOP])
        left = HOLD_HOPS if denoiser.speech > 0.5 else left - 1
        gate.append(left > 0)
    return np.array(gate), denoiser.delay


def recordings() -> list[np.ndarray]:
    """Ten seconds each of some of the bundled speakers, at -26 dBFS."""
    folder = resources.files("rtae") / "assets" / "speech"
    found = []
    for path in sorted(folder.iterdir(), key=lambda item: item.name)[::4]:
        if path.name.endswith(".opus"):
            audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
            speech = resample_poly(audio[:, 0], RATE // 1000, rate // 1000)[: 10 * RATE]
            found.append((0.05 * speech / np.sqrt(np.mean(np.square(speech)))).astype(np.float32))
    return found


@pytest.mark.parametrize("snr_db", [30.0, 5.0])
def test_a_gate_on_the_speech_probability_eats_no_onset(snr_db: float) -> None:
    rng, lost = np.random.default_rng(1), []
    for speech in recordings():
        noise = np.convolve(rng.standard_normal(len(speech)), np.ones(8) / 8, "same")
        noise *= 0.05 * 10 ** (-snr_db / 20) / np.sqrt(np.mean(np.square(noise)))
        gate, delay = gated((speech + noise).astype(np.float32))
        # What the gate holds back or lets through is the output, `delay` samples behind.
        heard = np.concatenate([np.zeros(delay, np.float32), speech])[: len(gate) * HOP]
        power = np.square(heard.reshape(-1, HOP)).mean(axis=1)
        active = 10 * np.log10(power + 1e-12) > -50
        onsets = [at for at in range(28, len(active) - 19) if active[at : at + 19].mean() > 0.8
                  and active[at] and not active[at - 28 : at].any()]  # fmt: skip
        for at in onsets:
            part = slice(at, at + ONSET_HOPS)
            lost.append(10 * np.log10(power[part].sum() / max(power[part] @ gate[part], 1e-12)))
    print(f"{len(lost)} onsets, lost {np.mean(lost):.3f} dB in the mean, {np.max(lost):.2f} dB at most")
    assert len(lost) >= 12
    assert np.mean(lost) < 0.1 and np.max(lost) < 1.0


def test_the_gate_is_closed_in_noise() -> None:
    noise = np.convolve(np.random.default_rng(2).standard_normal(10 * RATE), np.ones(8) / 8, "same")
    gate, _ = gated((0.02 * noise).astype(np.float32))
    assert gate[RATE // HOP :].mean() < 0.05
