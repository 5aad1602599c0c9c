"""Every processor, every rate, every plan of blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from rtae import Denoiser, Processor, shipped
from rtae.processor import Bypass, Delay, Gain
from tests.models import Build
from tests.streaming.contract import PLANS, band_noise, check, check_causal, error_db, measured_delay, stream

RATES = [8_000, 16_000, 22_050, 44_100, 48_000, 96_000]

BUILT: dict[str, tuple[str, dict[str, int]]] = {
    "identity": ("identity", {"hop": 128}),
    "delay": ("delay", {"hop": 192, "samples": 192}),
    "compressor": ("compressor", {"hop": 256}),
    "narrow": ("compressor", {"hop": 80, "sample_rate": 16_000}),
}
"""Models to run the contract on: instant, delayed, recurrent, and of another rate."""

DENOISERS = [name for name in shipped.available() if shipped.load(name).spec.kind == "denoiser"]
MODELS = [*BUILT, *(f"shipped:{name}" for name in DENOISERS)]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, build: Build) -> Path:
    if request.param.startswith("shipped:"):
        return shipped.find(request.param.removeprefix("shipped:"))
    name, options = BUILT[request.param]
    return build(name, **options)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("make", [Bypass, lambda: Gain(-6.0), lambda: Delay(77)], ids=["bypass", "gain", "delay"])
def test_the_simple_processors(make: Callable[[], Processor], plan: str) -> None:
    assert isinstance(make(), Processor)
    check(make, band_noise(48_000, 3_000), PLANS[plan], within_db=-120)


CLIP, CLIP_RATE = soundfile.read(Path(__file__).parents[1] / "data" / "full-band-minus-2dB-noisy.flac")


def signal_for(rate: int, plan: str, channels: int = 1) -> np.ndarray:
    """Speech in kitchen noise, another place of it in every channel; less of it where every sample is a call."""
    count = rate // (50 if plan == "1" else 4)
    places = [CLIP[start * CLIP_RATE // 10 :][: CLIP_RATE // 2] for start in (11, 3, 17)[:channels]]
    converted = scipy.signal.resample_poly(np.stack(places, axis=1), rate, CLIP_RATE)
    return converted[:count].astype(np.float32)


@pytest.mark.parametrize("plan", [name for name in PLANS if name != "huge"])
@pytest.mark.parametrize("rate", RATES)
def test_a_denoiser_at_any_rate_and_block(model: Path, rate: int, plan: str) -> None:
    def make() -> Denoiser:
        return Denoiser(model, sample_rate=rate)

    check(make, signal_for(rate, plan), PLANS[plan], within_db=-120 if rate == make().spec.sample_rate else -90)


@pytest.mark.parametrize("block", [1, 63, 128, 480, 1024])
@pytest.mark.parametrize("rate", RATES)
def test_a_promised_block_size_changes_the_delay_and_nothing_else(model: Path, rate: int, block: int) -> None:
    def make() -> Denoiser:
        return Denoiser(model, sample_rate=rate, block_size=block)

    def whole() -> Denoiser:
        return Denoiser(model, sample_rate=rate)

    signal = signal_for(rate, str(block))
    signal = signal[: len(signal) // block * block]
    assert make().delay <= whole().delay
    # Where the delay differs by a fraction of a sample at the model's rate, so does the second resampler's kernel.
    check(make, signal, [block], within_db=-120 if rate == make().spec.sample_rate else -90, reference=whole)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("linked", [False, True])
def test_several_channels(model: Path, rate: int, linked: bool) -> None:
    signal = signal_for(rate, "random", 3)
    check(lambda: Denoiser(model, sample_rate=rate, channels=3, linked=linked), signal, PLANS["random"], within_db=-90)


@pytest.mark.parametrize("rate", RATES)
def test_channels_are_streams_of_their_own(model: Path, rate: int) -> None:
    signal = signal_for(rate, "random", 2)
    together = stream(Denoiser(model, sample_rate=rate, channels=2), signal, PLANS["128"])
    for channel in range(2):
        alone = stream(Denoiser(model, sample_rate=rate), signal[:, channel : channel + 1], PLANS["128"])
        assert error_db(together[:, channel : channel + 1], alone) < -90


@pytest.mark.parametrize("rate", RATES)
def test_causality(model: Path, rate: int) -> None:
    signal = signal_for(rate, "random")
    for at in range(len(signal) // 2, len(signal) // 2 + 40, 13):
        check_causal(lambda: Denoiser(model, sample_rate=rate), signal, at)


@pytest.mark.parametrize("rate", [*RATES, 192_000, 11_025, 44_101])
@pytest.mark.parametrize("block", [None, 97])
def test_the_declared_delay_is_the_measured_one(model: Path, rate: int, block: int | None) -> None:
    def make() -> Denoiser:
        # Without attenuation a model has to pass its input on, so that the delay can be seen.
        return Denoiser(model, sample_rate=rate, block_size=block, attenuation_limit_db=0.0)

    signal = band_noise(rate, 97 * (rate // 97 // 2))
    declared = make().delay
    assert declared > 0
    assert measured_delay(make, signal) == pytest.approx(declared, abs=0.05)
