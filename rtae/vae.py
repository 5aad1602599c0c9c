"""A variational autoencoder's two model files as functions of whole recordings: :class:`Autoencoder`."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtae.audio import AudioReader
from rtae.codec.models import find_models
from rtae.errors import ModelFormatError
from rtae.model import Model
from rtae.resample import StreamingResampler

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Gaussians:
    """What the encoder makes of a recording: for each hop a Gaussian with independent dimensions.

    Attributes
    ----------
    mean, log_variance : ndarray, shape (hops, size)
        Its mean, and the natural logarithm of its variance.
    samples : int
        Length of the recording, at the rate of the models.
    """

    mean: Floats
    log_variance: Floats
    samples: int

    def draw(self, rng: np.random.Generator) -> Floats:
        """Return a sample of every hop's Gaussian, shape (hops, size)."""
        noise = rng.standard_normal(self.mean.shape, np.float32)
        return np.asarray(self.mean + np.exp(0.5 * self.log_variance) * noise, np.float32)

    def divergence_bits(self) -> NDArray[np.float64]:
        """Return the divergence from the prior a hop in bits, for each dimension: what sending it takes on average."""
        mean, log_variance = self.mean.astype(np.float64), self.log_variance.astype(np.float64)
        nats = 0.5 * (np.square(mean) + np.exp(log_variance) - 1 - log_variance)
        return np.asarray(nats.mean(axis=0) / np.log(2))


class Autoencoder:
    """Encoder and decoder of one VAE, as ``rtae export`` writes them.

    Parameters
    ----------
    name_or_path : str or path-like, optional
        Name of a shipped VAE; or path of one of the two files, or of both without ``-encoder.onnx``.

    Attributes
    ----------
    sample_rate, hop, size : int
        Hertz and samples of a hop, numbers of a latent vector.
    delay : int
        Samples between input and output signal of both ends together.

    Raises
    ------
    ModelNotFoundError
        If one of the files is missing.
    ModelFormatError
        If they are not the two ends of one VAE.
    """

    def __init__(self, name_or_path: str | os.PathLike[str] = "vae") -> None:
        encoder, self._decoder_path = find_models(name_or_path)
        self.encoder, self.decoder = Model(encoder), self.new_decoder()
        ends = self.encoder.spec, self.decoder.spec
        sizes = [(spec.sample_rate, spec.hop, spec.latent_size) for spec in ends]
        if [spec.kind for spec in ends] != ["vae-encoder", "vae-decoder"] or sizes[0] != sizes[1]:
            raise ModelFormatError(
                f"{encoder} ({ends[0].kind}) and {self._decoder_path} ({ends[1].kind}) are not the ends of one VAE"
            )
        self.sample_rate, self.hop, self.size = sizes[0]
        self.delay = ends[0].delay + ends[1].delay

    @property
    def hops_per_second(self) -> float:
        """Latent vectors a second."""
        return self.sample_rate / self.hop

    def new_decoder(self) -> Model:
        """Return the decoder with a state of its own, for a stream beside others."""
        return Model(self._decoder_path)

    def encode(self, audio: Floats) -> Gaussians:
        """Return the Gaussians of ``audio`` (samples,), with enough hops to decode all of it."""
        self.encoder.reset()
        hops = -(-(len(audio) + self.delay) // self.hop)
        padded = np.zeros((hops, 1, self.hop), np.float32)
        padded.reshape(-1)[: len(audio)] = audio
        steps = [tuple(part[0].copy() for part in self.encoder.distribution_step(hop)) for hop in padded]
        mean, log_variance = (np.stack(parts) for parts in zip(*steps, strict=True))
        return Gaussians(mean, log_variance, len(audio))

    def decode(self, latents: Floats, samples: int) -> Floats:
        """Return the first ``samples`` of the audio of ``latents`` (hops, size), without the delay."""
        self.decoder.reset()
        hops = [self.decoder.decode_latents_step(latent[np.newaxis])[0].copy() for latent in latents]
        return np.concatenate(hops)[self.delay :][:samples]

    def read(self, path: str | os.PathLike[str]) -> Floats:
        """Return the mean of the channels of a sound file, (samples,) at the rate of the models.

        Raises
        ------
        AudioFileError
            If it cannot be read or holds nothing.
        """
        with AudioReader(path) as reader:
            mono = np.concatenate([block.mean(axis=1, keepdims=True) for block in reader.blocks()])
            rate = reader.sample_rate
        if rate == self.sample_rate:
            return mono[:, 0]
        resampler = StreamingResampler(rate, self.sample_rate)
        delay = int(resampler.delay)
        tail = np.zeros((-(-(delay + 1) * rate // self.sample_rate), 1), np.float32)
        samples = -(-len(mono) * self.sample_rate // rate)
        return resampler.process(np.concatenate([mono, tail]))[delay : delay + samples, 0]


def mix(first: Gaussians, second: Gaussians, weights: Floats) -> Floats:
    """Return means between two recordings: ``weights`` (hops,) from 0, the first, to 1, the second."""
    hops = min(len(first.mean), len(second.mean), len(weights))
    weight = weights[:hops, np.newaxis]
    return np.asarray((1 - weight) * first.mean[:hops] + weight * second.mean[:hops], np.float32)
