"""Simulated rooms: impulse responses by the image-source method, rendered once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator

from rtae.train.store import Item, Store, store_rendered

LENGTH_S = 0.5


def simulated_rooms(cache: str | Path, sample_rate: int, seed: int, count: int = 100) -> Store:
    """Render ``count`` impulse responses of half a second; the direct sound stands at the first sample."""
    return store_rendered(_render(sample_rate, seed, count), f"rooms 1 {seed} {count}", cache, sample_rate)


def _render(sample_rate: int, seed: int, count: int) -> Iterator[Item]:
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        yield f"room-{number}", "rooms", impulse_response(rng, sample_rate), sample_rate / 2


def impulse_response(rng: Generator, sample_rate: int) -> np.ndarray:
    """Return the response (samples,) from a random talker to a random microphone in a random room.

    Image sources (Allen and Berkley, JASA 65, 1979) as pyroomacoustics computes them, absorption after Eyring.
    """
    import pyroomacoustics

    size = rng.uniform((2.5, 2.5, 2.2), (8.0, 6.0, 3.5))
    decay_s = rng.uniform(0.15, 0.6)
    try:
        absorption, order = pyroomacoustics.inverse_sabine(decay_s, size)
    except ValueError:  # the room is too large for so short a decay
        absorption, order = 0.9, 3
    material = pyroomacoustics.Material(absorption)
    room = pyroomacoustics.ShoeBox(size, fs=sample_rate, materials=material, max_order=min(order, 12))
    microphone = rng.uniform(0.3, size - 0.3)
    distance = rng.uniform(0.15, 1.5)
    direction = rng.standard_normal(3)
    talker = np.clip(microphone + distance * direction / np.linalg.norm(direction), 0.2, size - 0.2)
    room.add_source(talker)
    room.add_microphone(microphone)
    room.compute_rir()
    response = np.asarray(room.rir[0][0], dtype=np.float32)
    direct = int(np.argmax(np.abs(response)))
    kept = response[direct : direct + round(LENGTH_S * sample_rate)] / response[direct]
    return np.pad(kept, (0, round(LENGTH_S * sample_rate) - kept.size))
