"""Noises that a corpus has too little of, rendered once: coloured noise, hum, fans, wind, babble."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy import fft

from rtae.train.store import Item, Store, store_rendered

KINDS = ("coloured", "hum", "fan", "wind", "babble")
SECONDS = 12


def synthetic_noise(speech: Store, cache: str | Path, seed: int, count: int = 100) -> Store:
    """Render ``count`` recordings of 12 s, all kinds equally often; babble is mixed from ``speech``."""
    voices = [item.path for item in speech.recordings]
    key = f"synthetic 1 {seed} {count} {voices}"
    return store_rendered(_render(speech, seed, count), key, cache, speech.sample_rate)


def _render(speech: Store, seed: int, count: int) -> Iterator[Item]:
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        kind = KINDS[number % len(KINDS)]
        length = SECONDS * speech.sample_rate
        noise = babble(rng, speech, length) if kind == "babble" else steady(rng, kind, length, speech.sample_rate)
        yield f"{kind}-{number}", f"synthetic/{kind}", 0.3 * noise / np.abs(noise).max(), speech.sample_rate / 2


def babble(rng: Generator, speech: Store, length: int) -> np.ndarray:
    """Return four to nine voices of ``speech`` at once, each at the same level."""
    total = np.zeros(length, dtype=np.float32)
    for _ in range(rng.integers(4, 10)):
        recording = speech.recordings[rng.integers(len(speech.recordings))]
        voice = speech.read(recording, int(rng.integers(recording.length)), length)
        total += voice / (voice.std() + 1e-6)
    return total


def steady(rng: Generator, kind: str, length: int, sample_rate: int) -> np.ndarray:
    """Return one of the computed kinds of noise."""
    time = np.arange(length, dtype=np.float32) / sample_rate
    if kind == "hum":
        return hum(rng, time)
    slope = {"coloured": rng.uniform(0, 2), "fan": rng.uniform(0.5, 1.5), "wind": rng.uniform(2, 3.5)}[kind]
    frequencies = fft.rfftfreq(length, 1 / sample_rate)
    spectrum = rng.standard_normal((2, frequencies.size), dtype=np.float32)
    noise = fft.irfft((spectrum[0] + 1j * spectrum[1]) * np.maximum(frequencies, 20.0) ** (-slope / 2), length)
    noise = (noise / noise.std()).astype(np.float32)
    if kind == "wind":
        gusts_db = rng.uniform(-25, 5, 4 * length // sample_rate)
        noise *= 10 ** (np.interp(time, np.linspace(0, time[-1], gusts_db.size), gusts_db) / 20).astype(np.float32)
    return noise + np.float32(rng.uniform(0.2, 1)) * hum(rng, time) if kind == "fan" else noise


def hum(rng: Generator, time: np.ndarray) -> np.ndarray:
    """Return harmonics of the mains or of a motor, at unit level."""
    base = rng.choice([50.0, 60.0, rng.uniform(40, 400)])
    harmonics = np.arange(1, int(rng.integers(4, 25)))
    levels = rng.uniform(0, 1, harmonics.size) * harmonics ** -rng.uniform(0.3, 1.5)
    total = np.zeros_like(time)
    for level, harmonic in zip(levels, harmonics, strict=True):
        total += np.float32(level) * np.sin(2 * np.pi * base * harmonic * time + rng.uniform(0, 2 * np.pi))
    return np.asarray(total / (total.std() + 1e-6), dtype=np.float32)
