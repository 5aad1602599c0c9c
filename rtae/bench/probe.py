"""Signals to measure delay with.

An impulse is not enough: a denoiser removes it. ``speech_like`` passes one; ``coded`` is for everything that passes
any sound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]

LEVEL = 0.1
"""Root mean square of both, 20 dB below full scale."""

_SYLLABLE_S = (0.12, 0.26)
_PITCH_HZ = (95.0, 240.0)
_FORMANTS_HZ = ((280.0, 850.0), (900.0, 2300.0), (2400.0, 3400.0))
_BANDWIDTH_HZ = 90.0
_HISS_HZ, _HISS_BANDWIDTH_HZ = (3500.0, 8000.0), 2000.0
"""Of fricatives. What lies above them is no speech, and a denoiser leaves what it likes of it."""


def coded(sample_rate: int, seconds: float, seed: int = 0) -> Signal:
    """Return a pseudo-random sequence of two values, shape (samples,): white, known to both ends, of crest factor 1."""
    bits = np.random.default_rng(seed).integers(0, 2, round(seconds * sample_rate))
    return (LEVEL * (2 * bits - 1)).astype(np.float32)


def speech_like(sample_rate: int, seconds: float, seed: int = 0) -> Signal:
    """Return syllables of a gliding voice through moving formants, with fricatives between, shape (samples,).

    The source-filter model of speech (Fant 1960): a train of pulses and a little breath through three resonances.
    No two syllables are alike, so that the correlation has one peak.
    """
    random = np.random.default_rng(seed)
    total = round(seconds * sample_rate)
    pieces: list[NDArray[np.float64]] = []
    while sum(map(len, pieces)) < total:
        count = round(random.uniform(*_SYLLABLE_S) * sample_rate)
        pieces.append(_vowel(random, sample_rate, count))
        pieces.append(_fricative(random, sample_rate, count // 4))
    signal = np.concatenate([*pieces, np.zeros(0)])[:total]
    power = float(np.mean(np.square(signal))) if total else 0.0
    return (signal * (LEVEL / np.sqrt(power)) if power else signal).astype(np.float32)


def _vowel(random: np.random.Generator, sample_rate: int, count: int) -> NDArray[np.float64]:
    first, last = (random.uniform(*_PITCH_HZ) for _ in range(2))
    pitch = np.linspace(first, last, count)
    phase = np.cumsum(pitch / sample_rate)
    pulses = np.diff(np.floor(phase), prepend=0.0)
    source = pulses + 0.02 * random.standard_normal(count)
    for low, high in _FORMANTS_HZ:
        centre = random.uniform(low, high)
        if centre < 0.45 * sample_rate:
            source = _resonance(source, centre, sample_rate)
    # The mouth radiates like a differentiator.
    source = np.diff(source, prepend=0.0)
    return _unit(source) * np.sqrt(np.hanning(count))


def _fricative(random: np.random.Generator, sample_rate: int, count: int) -> NDArray[np.float64]:
    centre = min(random.uniform(*_HISS_HZ), 0.4 * sample_rate)
    noise = _resonance(random.standard_normal(count), centre, sample_rate, _HISS_BANDWIDTH_HZ)
    return 0.35 * _unit(noise) * np.hanning(count)


def _unit(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a signal at a root mean square of 1."""
    return signal / max(float(np.sqrt(np.mean(np.square(signal)))), 1e-12)


def _resonance(
    signal: NDArray[np.float64], centre_hz: float, sample_rate: int, bandwidth_hz: float = _BANDWIDTH_HZ
) -> NDArray[np.float64]:
    from scipy.signal import lfilter  # takes a second to import, and not every program of the laboratory needs it

    radius = np.exp(-np.pi * bandwidth_hz / sample_rate)
    feedback = [1.0, -2.0 * radius * np.cos(2.0 * np.pi * centre_hz / sample_rate), radius**2]
    return np.asarray(lfilter([1.0 - radius], feedback, signal))
