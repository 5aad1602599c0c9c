"""Sound out of a variational autoencoder, as it is asked for: the prior, room tone, what lies between two recordings.

Each function returns a :class:`Generator`, which gives blocks of any size, without end or up to its length::

    tone = room_tone(Autoencoder(), recording_of_the_empty_room, sample_rate=48_000)
    block = tone.read(480)                        # (480, 1), at the level of the recording
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from rtae.base import Frames, check_integer
from rtae.errors import ParameterError
from rtae.resample import StreamingResampler
from rtae.vae import Autoencoder, Floats, Gaussians, mix

CEILING = 10 ** (-1 / 20)
"""No sample is larger: 1 dB below full scale."""

KNEE = 0.5
"""Samples up to here pass as they are."""

LEVEL_DBFS = -26.0
"""Level of what has no recording's to follow: that of speech on the telephone, active."""

LOUDEST_DBFS = -10.0
"""Louder would be mostly the ceiling."""

REHEARSAL_S = 3.0
"""A generator whose level is asked for hears itself for so long before."""

SHORTEST_ROOM_S = 0.5

_SILENCE = 1e-6


class Generator:
    """Audio out of latents, block by block; the same seed gives the same audio, whatever the blocks.

    Parameters
    ----------
    vae : Autoencoder
        Decodes.
    latents : callable
        Returns an iterator over latent vectors, of shape (size,), a hop each; called again by :meth:`reset`.
    samples : int, optional
        Length at the rate of the models; without end by default, and then ``latents`` must have none.
    level_dbfs : float, optional
        Level to bring it to (root mean square of the first three seconds; one gain for all); as decoded by default.
    sample_rate : int, optional
        Hertz of the blocks; by default the models' own.

    Attributes
    ----------
    sample_rate : int
        Hertz of the blocks.

    Raises
    ------
    ParameterError
        If the level is out of range, or what is decoded is silent and has none.
    """

    def __init__(
        self,
        vae: Autoencoder,
        latents: Callable[[], Iterator[Floats]],
        *,
        samples: int | None = None,
        level_dbfs: float | None = None,
        sample_rate: int | None = None,
    ) -> None:
        self.sample_rate = vae.sample_rate if sample_rate is None else check_integer("sample_rate", sample_rate, 1)
        self._vae, self._latents, self._samples = vae, latents, samples
        self._decoder = vae.new_decoder()
        self._gain = 1.0
        self._rest: Frames = np.zeros((0, 1), np.float32)
        if level_dbfs is not None:
            if not -120.0 <= level_dbfs <= LOUDEST_DBFS:
                raise ParameterError(f"level_dbfs is {level_dbfs:g}; it must be from -120 to {LOUDEST_DBFS:g}")
            self._gain = 10 ** (level_dbfs / 20) / self._rehearsed()
        self._pieces = self._made()

    def read(self, samples: int) -> Frames:
        """Return the next samples, of shape (samples, 1); fewer at the end."""
        parts, missing = [], check_integer("samples", samples, 0)
        while missing:
            if not len(self._rest):
                self._rest = next(self._pieces, self._rest)
                if not len(self._rest):
                    break
            parts.append(self._rest[:missing])
            self._rest = self._rest[len(parts[-1]) :]
            missing -= len(parts[-1])
        return np.concatenate([np.zeros((0, 1), np.float32), *parts])

    def blocks(self, size: int) -> Iterator[Frames]:
        """Yield blocks of shape (size, 1) until the end, if there is one; the last may be shorter."""
        while len(block := self.read(size)):
            yield block

    def reset(self) -> None:
        """Go back to the beginning."""
        self._rest = self._rest[:0]
        self._pieces = self._made()

    def _made(self) -> Iterator[Frames]:
        gain = np.float32(self._gain)
        pieces = (bounded(piece * gain) for piece in self._cut(self._decoded(), self._vae.delay, self._samples))
        return pieces if self.sample_rate == self._vae.sample_rate else self._converted(pieces)

    def _decoded(self) -> Iterator[Frames]:
        self._decoder.reset()
        for latent in self._latents():
            yield self._decoder.decode_latents_step(latent[np.newaxis])[0].copy()[:, np.newaxis]

    def _converted(self, pieces: Iterator[Frames]) -> Iterator[Frames]:
        resampler = StreamingResampler(self._vae.sample_rate, self.sample_rate)
        delay = int(resampler.delay)
        silence = np.zeros((-(-(delay + 1) * self._vae.sample_rate // self.sample_rate), 1), np.float32)
        samples = None if self._samples is None else -(-self._samples * self.sample_rate // self._vae.sample_rate)

        def run() -> Iterator[Frames]:
            for piece in pieces:
                yield bounded(resampler.process(piece))  # a filter overshoots
            yield bounded(resampler.process(silence))

        return self._cut(run(), delay, samples)

    @staticmethod
    def _cut(pieces: Iterator[Frames], skip: int, samples: int | None) -> Iterator[Frames]:
        """Yield pieces that are not empty without the first ``skip`` samples, ``samples`` in all."""
        left = math.inf if samples is None else samples
        for piece in pieces:
            kept = piece[skip:]
            skip = max(0, skip - len(piece))
            kept = kept if left >= len(kept) else kept[: int(left)]
            left -= len(kept)
            if len(kept):
                yield kept
            if not left:
                return

    def _rehearsed(self) -> float:
        wanted = round(REHEARSAL_S * self._vae.sample_rate)
        pieces = list(self._cut(self._decoded(), self._vae.delay, wanted))
        level = math.sqrt(np.square(np.concatenate(pieces), dtype=np.float64).mean()) if pieces else 0.0
        if level < _SILENCE:
            raise ParameterError("what is decoded is silent, so it cannot be brought to a level; train the VAE longer")
        return level


def prior(
    vae: Autoencoder, *, seed: int = 0, level_dbfs: float = LEVEL_DBFS, sample_rate: int | None = None
) -> Generator:
    """Return a generator of the prior, without end: standard normal latents, what the model takes for likely.

    Hops are independent of each other, so it is a texture of speech-like sound, and no speech.

    Raises
    ------
    ParameterError
        As :class:`Generator`.
    """

    def latents() -> Iterator[Floats]:
        rng = np.random.default_rng(seed)
        while True:
            yield rng.standard_normal(vae.size, np.float32)

    return Generator(vae, latents, level_dbfs=level_dbfs, sample_rate=sample_rate)


def room_tone(
    vae: Autoencoder,
    recording: Floats,
    *,
    seed: int = 0,
    level_dbfs: float | None = None,
    sample_rate: int | None = None,
) -> Generator:
    """Return a generator of the background of a recording, without end and without repetition: comfort noise.

    The latents are drawn as an autoregression of first order with the mean, the covariance and the memory from hop to
    hop that those of the recording have.

    Parameters
    ----------
    vae : Autoencoder
        Encodes and decodes.
    recording : ndarray, shape (samples,)
        Half a second or more of the room when nobody speaks, at the rate of the models.
    seed : int, optional
        Seed of what is drawn.
    level_dbfs : float, optional
        Its level; by default that of the recording.
    sample_rate : int, optional
        Hertz of the blocks; by default the models' own.

    Raises
    ------
    ParameterError
        If the recording is too short or silent, or as :class:`Generator`.
    """
    if len(recording) < SHORTEST_ROOM_S * vae.sample_rate:
        seconds = len(recording) / vae.sample_rate
        raise ParameterError(f"the recording of the room lasts {seconds:.2f} s; give {SHORTEST_ROOM_S:g} s or more")
    power = float(np.mean(np.square(recording, dtype=np.float64)))
    if power < _SILENCE**2:
        raise ParameterError("the recording of the room is silent; there is no background to continue")
    if level_dbfs is None:
        level_dbfs = min(10 * math.log10(power), LOUDEST_DBFS)
    gaussians = vae.encode(recording)
    heard = gaussians.mean[: len(recording) // vae.hop].astype(np.float64)
    mean = heard.mean(axis=0)
    around = heard - mean
    variance = np.square(around).mean(axis=0) + 1e-6
    memory = np.clip((around[1:] * around[:-1]).mean(axis=0) / variance, 0.0, 0.99)
    root = _root(around.T @ around / len(around))
    fresh = np.sqrt(1 - np.square(memory))

    def latents() -> Iterator[Floats]:
        rng = np.random.default_rng(seed)
        state = root @ rng.standard_normal(vae.size)
        while True:
            yield np.asarray(mean + state, np.float32)
            state = memory * state + fresh * (root @ rng.standard_normal(vae.size))

    return Generator(vae, latents, level_dbfs=level_dbfs, sample_rate=sample_rate)


def between(
    vae: Autoencoder,
    first: Gaussians,
    second: Gaussians,
    *,
    share: float | None = None,
    sample_rate: int | None = None,
) -> Generator:
    """Return a generator of what lies between two recordings, as long as the shorter one.

    Parameters
    ----------
    vae : Autoencoder
        Decodes.
    first, second : Gaussians
        The encoded recordings.
    share : float, optional
        0 is the first, 1 the second; by default a glide from the one to the other.
    sample_rate : int, optional
        Hertz of the blocks; by default the models' own.

    Raises
    ------
    ParameterError
        If the share is not from 0 to 1.
    """
    if share is not None and not 0.0 <= share <= 1.0:
        raise ParameterError(f"share is {share:g}; it must be from 0, the first, to 1, the second")
    hops = min(len(first.mean), len(second.mean))
    weights = np.linspace(0, 1, hops) if share is None else np.full(hops, share)
    latents = mix(first, second, weights.astype(np.float32))
    samples = min(first.samples, second.samples)
    return Generator(vae, lambda: iter(latents), samples=samples, sample_rate=sample_rate)


def bounded(audio: Floats) -> Floats:
    """Return ``audio`` with its peaks bent to stay below :data:`CEILING`, sample by sample; no number is silence."""
    clean = np.nan_to_num(audio, posinf=0.0, neginf=0.0)
    if np.abs(clean).max(initial=0.0) <= KNEE:
        return clean
    over = np.maximum(np.abs(clean) - KNEE, 0.0)
    room = CEILING - KNEE
    return np.asarray(np.where(over > 0, np.sign(clean) * (KNEE + room * np.tanh(over / room)), clean), np.float32)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix whose square is the covariance, also where that is not of full rank."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
