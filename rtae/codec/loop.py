"""There and back through the codec in one place, to hear what it does: :class:`CodecLoop`."""

from __future__ import annotations

import os

import numpy as np

from rtae.base import Frames, StreamProcessor, check_integer
from rtae.codec.codec import DEFAULT_KBPS, Codec
from rtae.errors import ParameterError
from rtae.processor import DryPath
from rtae.reblock import reblocker
from rtae.spec import ModelSpec


class CodecLoop(StreamProcessor):
    """Encodes a stream, loses packets on the way, and decodes it again.

    Follows the contract of :class:`rtae.Processor`. One packet is one hop. ``bypass``, ``loss`` and ``kbps`` may be
    set by another thread at any time.

    Parameters
    ----------
    model : str or path-like, optional
        Name or path of a codec, as of :class:`rtae.codec.Codec`.
    sample_rate, channels, block_size : int, optional
        As of :class:`rtae.Denoiser`.
    kbps : float, optional
        Kilobits a second and channel.
    loss : float, optional
        Share of the packets that get lost, 0 to 1.
    seed : int, optional
        Which ones: the same after every :meth:`reset`.

    Attributes
    ----------
    bypass : bool
        Whether the delay-matched input comes out; the change is a cross-fade.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If the models cannot be used or do not belong together.
    ParameterError
        If a parameter is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "codec",
        *,
        sample_rate: int = 48_000,
        channels: int = 1,
        block_size: int | None = None,
        kbps: float = DEFAULT_KBPS,
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        sample_rate = check_integer("sample_rate", sample_rate, 1)
        if block_size is not None:
            block_size = check_integer("block_size", block_size, 1)
        self._codec = Codec(model, channels=channels, kbps=kbps)
        self.loss = loss
        self._seed = seed
        self.bypass = False
        spec, lead = self._codec.spec, self._codec.lead
        self._hops = reblocker(
            spec.hop,
            channels,
            self._step,
            sample_rate=sample_rate,
            step_rate=spec.sample_rate,
            block_size=block_size,
            step_delay=lead,
        )
        super().__init__(sample_rate, channels, self._hops.delay, block_size=block_size)
        self._dry = DryPath(self.delay, channels, sample_rate, self._chunk)
        self._reset()

    @property
    def spec(self) -> ModelSpec:
        """What the decoder's file says of itself; its delay is not all of the codec's."""
        return self._codec.spec

    @property
    def codec_delay(self) -> int:
        """Delay of encoder and decoder together, in samples at the codec's rate."""
        return self._codec.lead

    @property
    def loss(self) -> float:
        """Share of the packets that get lost."""
        return self._loss

    @loss.setter
    def loss(self, value: float) -> None:
        if not 0.0 <= value <= 1.0:
            raise ParameterError(f"loss is {value!r}; it must be a share from 0 to 1")
        self._loss = value

    @property
    def kbps(self) -> float:
        """Kilobits a second and channel."""
        return self._codec.kbps

    @kbps.setter
    def kbps(self, value: float) -> None:
        self._codec.kbps = value

    def _process(self, frames: Frames, out: Frames) -> None:
        self._dry.take(frames, self.bypass)
        self._hops.process(frames, out)
        self._dry.blend(out)

    def _step(self, hop_in: Frames, hop_out: Frames) -> None:
        for packet in self._codec.encode(hop_in):
            lost = self._random.random() < self._loss
            hop_out[:] = self._codec.conceal() if lost else self._codec.decode([packet])

    def _reset(self) -> None:
        self._random = np.random.default_rng(self._seed)
        self._codec.reset()
        self._hops.reset()
        self._dry.reset(self.bypass)
