"""16-bit samples as bytes, which is how voice agents hand audio about: :class:`PcmDenoiser`, :class:`Adapter`."""

from __future__ import annotations

import os

import numpy as np

from rtae.denoise import Denoiser
from rtae.errors import ParameterError

FULL_SCALE = 32768.0


class PcmDenoiser:
    """Removes noise from a stream of interleaved, signed 16-bit samples in the machine's byte order.

    Parameters
    ----------
    model : str or path-like
        Name of a shipped model or path of a model file.
    sample_rate, channels : int
        Format of the stream.
    attenuation_limit_db : float, optional
        As of :class:`rtae.Denoiser`.

    Attributes
    ----------
    denoiser : Denoiser
        What does the work; its delay, bypass and limit are those of the stream.

    Raises
    ------
    RtaeError
        As :class:`rtae.Denoiser` does.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        sample_rate: int,
        channels: int = 1,
        attenuation_limit_db: float | None = None,
    ) -> None:
        self.denoiser: Denoiser = Denoiser(
            model, sample_rate=sample_rate, channels=channels, attenuation_limit_db=attenuation_limit_db
        )

    def process(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take any number of whole frames and return as many, ``denoiser.delay`` frames behind.

        Raises
        ------
        ParameterError
            If the bytes are not whole frames.
        """
        raw = memoryview(data).cast("B")
        frame = 2 * self.denoiser.channels
        if len(raw) % frame:
            raise ParameterError(f"{len(raw)} bytes are not whole frames of {frame}: hand over 16-bit samples")
        block = np.frombuffer(raw, np.int16).astype(np.float32).reshape(-1, self.denoiser.channels)
        block /= FULL_SCALE
        self.denoiser.process(block, out=block)
        block *= FULL_SCALE
        return np.clip(np.rint(block), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16).tobytes()


class Adapter:
    """What the adapters to frameworks have in common: a stream that is opened when its format is known.

    Parameters
    ----------
    model : str or path-like, optional
        Name of a shipped model or path of a model file.
    attenuation_limit_db : float, optional
        Most the model may take away anywhere, in decibels; None is no limit.
    """

    def __init__(self, model: str | os.PathLike[str] = "denoise", *, attenuation_limit_db: float | None = None) -> None:
        self._model = model
        self._limit_db = attenuation_limit_db
        self._enabled = True
        self._stream: PcmDenoiser | None = None

    def _open(self, sample_rate: int, channels: int = 1) -> PcmDenoiser:
        stream = PcmDenoiser(
            self._model, sample_rate=sample_rate, channels=channels, attenuation_limit_db=self._limit_db
        )
        stream.denoiser.bypass = not self._enabled
        stream.denoiser.reset()  # a stream that begins switched off does not begin with a cross-fade
        self._stream = stream
        return stream
