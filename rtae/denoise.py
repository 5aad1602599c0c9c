"""Noise removal from a stream, :class:`Denoiser`, or from a whole recording, :func:`denoise`."""

from __future__ import annotations

import math
import os
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from rtae.base import Frames, StreamProcessor, check_integer
from rtae.errors import ParameterError
from rtae.model import NO_LIMIT_DB
from rtae.processor import DryPath
from rtae.reblock import reblocker
from rtae.shipped import load
from rtae.spec import ModelSpec

RATE_RANGE_HZ = (8_000, 192_000)
"""Lowest and highest sample rate a host may have."""

MOST_CHANNELS = 256
"""Bound on the channels: more of them is an array of the wrong orientation."""

LOUDEST = 1e6
"""Samples beyond this cannot be audio and are clipped, so that no square of them overflows in a model."""

SILENT_ENERGY = 1e-24
"""A block whose squares sum to less (no sample above -240 dBFS) is silence: denormal numbers slow arithmetic."""


class Denoiser(StreamProcessor):
    """Removes noise from a stream.

    Follows the contract of :class:`rtae.Processor`. Samples that are not finite count as silence. It is used by one
    thread at a time; ``bypass`` and ``attenuation_limit_db`` may be set by another at any time.

    Parameters
    ----------
    model : str or path-like, optional
        Name of a shipped model or path of a model file.
    sample_rate : int, optional
        Hertz at its edges, 8000 to 192000. Another rate than the model's is converted on the way in and out.
    channels : int, optional
        Channels at its edges. Each is a stream of its own for the model.
    linked : bool, optional
        Run the model once, on the mean of all channels, and give every channel the same result: a single voice heard
        by several microphones, at the cost of one stream. The output is mono on all channels.
    block_size : int, optional
        Promise that every block is this long, or a whole multiple. Lowers the delay of re-blocking, from ``hop - 1``
        to ``hop - gcd(block_size, hop)`` samples at the model's rate.
    attenuation_limit_db : float, optional
        Most the model may take away anywhere, in decibels; None is no limit.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If the model cannot be used, see :class:`rtae.model.Model`.
    ParameterError
        If a parameter is out of range or the model is not a denoiser.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "denoise",
        *,
        sample_rate: int = 48_000,
        channels: int = 1,
        linked: bool = False,
        block_size: int | None = None,
        attenuation_limit_db: float | None = None,
    ) -> None:
        sample_rate = check_integer("sample_rate", sample_rate, *RATE_RANGE_HZ)
        channels = check_integer("channels", channels, 1, MOST_CHANNELS)
        if block_size is not None:
            block_size = check_integer("block_size", block_size, 1)
        streams = 1 if linked else channels
        self._model = load(model, streams=streams)
        spec = self._model.spec
        if spec.kind != "denoiser":
            raise ParameterError(f"model {spec.name!r} is of kind {spec.kind!r}, not a denoiser")
        self.attenuation_limit_db = attenuation_limit_db
        self._linked = linked
        self.bypass = False

        self._wet = reblocker(
            spec.hop,
            streams,
            self._step,
            sample_rate=sample_rate,
            step_rate=spec.sample_rate,
            block_size=block_size,
            step_delay=spec.delay,
        )
        super().__init__(sample_rate, channels, self._wet.delay, block_size=block_size)
        chunk = self._chunk
        self._dry = DryPath(self.delay, channels, sample_rate, chunk)
        self._clean = np.zeros((chunk, channels), np.float32)
        self._mono = np.zeros((chunk, 1), np.float32)
        self._speech = 0.0
        self._reset()

    @property
    def spec(self) -> ModelSpec:
        """What the model's file says of itself."""
        return self._model.spec

    @property
    def linked(self) -> bool:
        """Whether all channels are one stream for the model."""
        return self._linked

    @property
    def speech(self) -> float:
        """Newest probability of speech, 0 to 1; of several channels the highest."""
        return self._speech

    @property
    def attenuation_limit_db(self) -> float | None:
        """Most the model may take away anywhere, in decibels; None is no limit. Takes effect at the next hop."""
        return self._limit_db

    @attenuation_limit_db.setter
    def attenuation_limit_db(self, value: float | None) -> None:
        if value is not None and not (isinstance(value, Real) and 0.0 <= value < math.inf):
            raise ParameterError(f"attenuation_limit_db is {value!r}; it must be 0 or more, or None for no limit")
        self._limit_db = value

    def _process(self, frames: Frames, out: Frames) -> None:
        frames = self._sanitised(frames)
        self._dry.take(frames, self.bypass)
        if self._linked:
            mono = self._mono[: len(frames)]
            np.mean(frames, axis=1, keepdims=True, out=mono)
            self._wet.process(mono, mono)
            out[:] = mono
        else:
            self._wet.process(frames, out)
        self._dry.blend(out)

    def _step(self, hop_in: Frames, hop_out: Frames) -> None:
        limit = self._limit_db
        audio, speech = self._model.step(hop_in.T, NO_LIMIT_DB if limit is None else min(limit, NO_LIMIT_DB))
        hop_out[:] = audio.T
        self._speech = float(speech[0, 0]) if len(speech) == 1 else float(speech.max())

    def _sanitised(self, frames: Frames) -> Frames:
        energy = np.vdot(frames, frames)
        if SILENT_ENERGY <= energy <= LOUDEST**2:
            return frames
        # Rare: silence, or something no audio is. A sum that is not a number fails both comparisons.
        clean = self._clean[: len(frames)]
        if energy < SILENT_ENERGY:
            clean[:] = 0.0
        else:
            clean[:] = frames
            clean[~np.isfinite(clean)] = 0.0
            np.clip(clean, -LOUDEST, LOUDEST, out=clean)
        return clean

    def _reset(self) -> None:
        self._model.reset()
        self._wet.reset()
        self._dry.reset(self.bypass)
        self._speech = 0.0


def denoise(
    audio: ArrayLike,
    sample_rate: int,
    model: str | os.PathLike[str] = "denoise",
    attenuation_limit_db: float | None = None,
) -> Frames:
    """Remove the noise from a whole recording, through the streaming path.

    Parameters
    ----------
    audio : array_like, shape (n, channels) or (n,)
        Float samples.
    sample_rate : int
        Hertz, 8000 to 192000.
    model : str or path-like, optional
        Name of a shipped model or path of a model file.
    attenuation_limit_db : float, optional
        Most the model may take away anywhere, in decibels; None is no limit.

    Returns
    -------
    ndarray
        Float32 array of the input's shape, aligned with it.

    Raises
    ------
    ParameterError
        If the array is not audio or the rate is out of range.
    ModelNotFoundError, ModelFormatError
        If the model cannot be used.
    """
    array = np.asarray(audio)
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= MOST_CHANNELS):
        raise ParameterError(f"audio must have shape (samples, channels) or (samples,), got {array.shape}")
    denoiser = Denoiser(
        model,
        sample_rate=sample_rate,
        channels=1 if array.ndim == 1 else array.shape[1],
        attenuation_limit_db=attenuation_limit_db,
    )
    head = denoiser.process(array)
    tail = denoiser.flush().reshape(-1, *array.shape[1:])
    return np.concatenate([head, tail])[denoiser.delay :]
