"""Noises that a corpus has too little of: coloured noise, hum, fans, wind, impacts, babble."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy import fft, signal

from rtae.train.store import Store

KINDS = {"babble": 5, "impacts": 3, "coloured": 1, "hum": 1, "fan": 1, "wind": 1}
"""How often each is drawn."""
CROWD = 36
"""Most voices in a babble."""
CROWDS = 3
STRIKES = 4
"""Different strikes of a thing."""


def synthetic_noise(rng: Generator, speech: Store, length: int) -> tuple[np.ndarray, str]:
    """Return ``length`` float32 samples of one of :data:`KINDS`, and its name; babble is mixed from ``speech``.

    Rendered anew for every example: of twenty minutes of babble that were rendered once, a network had learnt the
    voices by heart.
    """
    kind = str(rng.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
    noise = babble(rng, speech, length) if kind == "babble" else computed(rng, kind, length, speech.sample_rate)
    return noise, f"synthetic/{kind}"


def babble(rng: Generator, speech: Store, length: int) -> np.ndarray:
    """Return many voices of ``speech`` at once, at their own levels, some groups of them far away in a hall.

    Half of them are where things clatter and air rushes. The hall's response is noise that decays exponentially, its
    high frequencies first (Polack, "La transmission de l'energie sonore dans les salles", 1988).
    """
    total = np.zeros(length, dtype=np.float32)
    voices = np.array_split(np.arange(round(4 * (CROWD / 4) ** rng.random())), CROWDS)
    for group in voices:
        crowd = np.zeros(length, dtype=np.float32)
        for _ in group:
            recording = speech.recordings[rng.integers(len(speech.recordings))]
            voice = speech.read(recording, int(rng.integers(recording.length)), length)
            crowd += voice / (voice.std() + 1e-6) * np.float32(10 ** (rng.uniform(-10, 0) / 20))
        total += hall(rng, crowd, speech.sample_rate) if rng.random() < 0.6 else crowd
    if rng.random() < 0.5:
        for kind, loudest_db in (("impacts", 5), ("coloured", -5)):
            noise = computed(rng, kind, length, speech.sample_rate)
            distant = hall(rng, noise, speech.sample_rate)
            total += distant * np.float32(total.std() / distant.std() * 10 ** (rng.uniform(-20, loudest_db) / 20))
    return total


def hall(rng: Generator, audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return ``audio`` (samples,) from a random distance in a random hall, at the same level."""
    decay_s = rng.uniform(0.3, 1.5)
    time = np.arange(round(decay_s * sample_rate), dtype=np.float32) / sample_rate
    response = rng.standard_normal(time.size, dtype=np.float32) * np.exp(-6.9 * time / decay_s)
    smooth = np.exp(-2 * np.pi * rng.uniform(2000, 8000) / sample_rate)
    response = signal.lfilter([1 - smooth], [1, -smooth], response)
    response /= np.linalg.norm(response) * 10 ** (rng.uniform(-3, 9) / 20)  # direct to reverberant
    response[0] += 1.0
    wet = signal.oaconvolve(audio, response)[: audio.size]
    return np.asarray(wet * (audio.std() / (wet.std() + 1e-9)), dtype=np.float32)


def computed(rng: Generator, kind: str, length: int, sample_rate: int) -> np.ndarray:
    """Return one of the computed kinds of noise."""
    time = np.arange(length, dtype=np.float32) / sample_rate
    if kind == "hum":
        return hum(rng, time)
    if kind == "impacts":
        things = np.sum([impacts(rng, length, sample_rate) for _ in range(rng.integers(1, 4))], axis=0)
        return hall(rng, things, sample_rate) if rng.random() < 0.6 else np.asarray(things)
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


def impacts(rng: Generator, length: int, sample_rate: int) -> np.ndarray:
    """Return a thing that is struck again and again, as clocks, dishes, keys and steps are, at unit level.

    Strikes come regularly or at random.
    """
    shapes = strikes(rng, sample_rate)
    if rng.random() < 0.4:
        interval_s = np.exp(rng.uniform(np.log(0.1), np.log(1.5)))
        length_s = length / sample_rate
        times_s = np.arange(rng.uniform(0, min(interval_s, length_s)), length_s, interval_s)
        times_s = times_s + 0.03 * interval_s * rng.standard_normal(times_s.size)
    else:
        often = np.exp(rng.uniform(-0.7, 3))
        times_s = rng.uniform(0, length / sample_rate, 1 + rng.poisson(often * length / sample_rate))
    spread_db = rng.uniform(0, 6)
    total = np.zeros(length + shapes.shape[1], dtype=np.float32)
    for number, place in enumerate(np.clip(times_s * sample_rate, 0, length - 1).astype(int)):
        level = 10 ** (spread_db * rng.standard_normal() / 20)
        total[place : place + shapes.shape[1]] += level * shapes[number % STRIKES]
    total = total[:length]
    return np.asarray(total / (total.std() + 1e-9), dtype=np.float32)


def strikes(rng: Generator, sample_rate: int) -> np.ndarray:
    """Return how a thing sounds when it is struck, :data:`STRIKES` times: (strikes, samples).

    Every strike excites the thing's modes, decaying sinusoids, in another proportion, with a burst of noise (Cook,
    "Physically informed sonic modeling (PhISM)", 1997). Half of the things are mechanisms, in which a strike is a
    clatter of up to a tenth of a second, as long as a syllable. Every second thing, mechanism or not, is in a case that
    passes a few octaves only.
    """
    mechanism = rng.random() < 0.5
    modes = rng.integers(3, 16)
    hertz = np.exp(rng.uniform(np.log(150), np.log(min(12000, 0.45 * sample_rate)), (modes, 1))).astype(np.float32)
    decays_s = np.exp(rng.uniform(np.log(0.01), np.log(0.4), (modes, 1))).astype(np.float32)
    burst_s, burst_slope = np.float32(np.exp(rng.uniform(np.log(0.01), np.log(0.15)))), rng.uniform(0, 0.9)
    time = np.arange(round(0.4 * sample_rate), dtype=np.float32) / sample_rate
    if mechanism:
        decays_s *= np.float32(0.2)
    ringing = np.exp(-6.9 * time / decays_s) * np.sin(2 * np.pi * hertz * time)
    proportions = rng.standard_normal((STRIKES, modes), dtype=np.float32) / np.float32(np.sqrt(modes))
    bursts = rng.standard_normal((STRIKES, time.size), dtype=np.float32) * np.exp(-6.9 * time / burst_s)
    bursts = signal.lfilter([1 - burst_slope], [1, -burst_slope], bursts)
    shapes = (proportions @ ringing + rng.uniform(0.1, 2, (STRIKES, 1)) * bursts).astype(np.float32)
    if mechanism:
        hits = round(3 * 100 ** rng.random())
        clatter = np.zeros((1, round(rng.uniform(0.01, 0.1) * sample_rate)), dtype=np.float32)
        places = clatter.size * rng.beta(1.5, 2.5, hits)
        clatter[0, places.astype(int)] = rng.standard_normal(hits)
        shapes = signal.oaconvolve(shapes, clatter, axes=1)
    if rng.random() < 0.5:
        lowest = np.exp(rng.uniform(np.log(60), np.log(800)))
        passed = signal.butter(
            2, [lowest, min(lowest * rng.uniform(4, 40), 0.45 * sample_rate)], "bandpass", fs=sample_rate, output="sos"
        )
        shapes = signal.sosfilt(passed, shapes)
    return shapes
