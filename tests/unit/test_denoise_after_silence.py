"""What comes after a muted microphone or a quiet room is denoised as a stream that begins with it is."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtae

RATE = 48_000
DATA = Path(__file__).parents[1] / "data"
CLIPS = ("full-band-17dB", "full-band-minus-2dB", "wide-band-2dB")
QUIET_S, SETTLED_S, FRAME_S = 2.0, 0.5, 0.05


def recording(name: str) -> np.ndarray:
    audio, rate = soundfile.read(DATA / f"{name}.flac", dtype="float32")
    assert rate == RATE
    return audio


def errors_db(denoised: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Level of what is wrong in each frame, after half a second: at first nobody knows what the noise is."""
    wrong = (denoised - clean)[int(SETTLED_S * RATE) :].astype(np.float64)
    size = int(FRAME_S * RATE)
    return 10 * np.log10(np.square(wrong[: wrong.size // size * size].reshape(-1, size)).mean(axis=1) + 1e-12)


@pytest.mark.parametrize("level_dbfs", [-np.inf, -60.0], ids=["muted", "in a quiet room"])
@pytest.mark.parametrize("model", ["denoise", "denoise-4ms", "denoise-16ms", "denoise-lite"])
def test_a_noise_that_comes_after_silence_is_recognised_as_one_from_the_start(model: str, level_dbfs: float) -> None:
    white = np.random.default_rng(3).standard_normal(int(QUIET_S * RATE))
    quiet = (10 ** (level_dbfs / 20) * white).astype(np.float32)
    more_db = []
    for clip in CLIPS:
        noisy, clean = recording(f"{clip}-noisy"), recording(f"{clip}-clean")
        at_once = rtae.denoise(noisy, RATE, model=model)
        later = rtae.denoise(np.concatenate([quiet, noisy]), RATE, model=model)[quiet.size :]
        more_db.append(float(np.median(errors_db(later, clean) - errors_db(at_once, clean))))
    print(f"errors are {', '.join(f'{db:.2f}' for db in more_db)} dB greater")
    assert np.mean(more_db) < 1.5
