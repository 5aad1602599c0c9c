"""Speech codecs that can be measured: packets out of hops, hops out of packets, a clock and a counter around."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rtae.denoise import Denoiser
from rtae.errors import ParameterError
from rtae.model import Model

FloatArray = npt.NDArray[np.float32]


class SpeechCodec(Protocol):
    """A streaming codec of one channel.

    Attributes
    ----------
    name : str
        Name in the tables.
    family : str
        What the codec is called at whatever bit rate: its points are joined in pictures.
    sample_rate : int
        Rate it works at, in hertz.
    hop : int
        Samples per packet.
    delay : int
        Delay it declares between input and output signal, in samples; ``delay + hop`` is its algorithmic latency.
    """

    name: str
    family: str
    sample_rate: int
    hop: int
    delay: int

    def reset(self) -> None:
        """Put both ends back to the fresh state."""

    def encode(self, audio: FloatArray) -> Any:
        """Turn the next hop, float32 of shape (hop,), into a packet."""

    def bits(self, packet: Any) -> int:
        """Return the bits of one packet."""

    def decode(self, packet: Any) -> FloatArray:
        """Turn a packet into a hop, which is read before the next call."""


class ModelCodec:
    """Encoder and decoder files of rtae, with the first so many stages sent.

    Parameters
    ----------
    encoder, decoder : Model
        The two ends; codecs that do not run at the same time may share them.
    stages : int
        Stages sent, from 1.
    family : str, optional
        Name of the codec.

    Raises
    ------
    ParameterError
        If the two files are not the two ends of one codec, or have fewer stages.
    """

    def __init__(self, encoder: Model, decoder: Model, stages: int, family: str = "rtae") -> None:
        ends = (encoder.spec, decoder.spec)
        wanted = [(spec.sample_rate, spec.hop, spec.codebooks, spec.codebook_bits) for spec in ends]
        if [spec.kind for spec in ends] != ["encoder", "decoder"] or wanted[0] != wanted[1]:
            raise ParameterError(
                f"{ends[0].name} ({ends[0].kind}) and {ends[1].name} ({ends[1].kind}) are not encoder and decoder of "
                "the same rate, hop, stages and bits"
            )
        spec = ends[0]
        if not 1 <= stages <= spec.codebooks:
            raise ParameterError(f"{stages} stages asked for; {spec.name} has 1 to {spec.codebooks}")
        self._encoder, self._decoder, self._bits = encoder, decoder, stages * spec.codebook_bits
        self._sent = np.full((1, spec.codebooks), -1, np.int64)
        self.sample_rate, self.hop, self.delay = spec.sample_rate, spec.hop, ends[0].delay + ends[1].delay
        self.stages, self.code_bits, self.family = stages, spec.codebook_bits, family
        self.name = f"{family} {1e-3 * self._bits * spec.sample_rate / spec.hop:g}"

    def reset(self) -> None:
        """Put both ends back to the fresh state."""
        self._encoder.reset()
        self._decoder.reset()

    def encode(self, audio: FloatArray) -> npt.NDArray[np.int64]:
        """Return the codes sent of the next hop, shape (stages,)."""
        return self._encoder.encode_step(audio[None])[0, : self.stages]

    def bits(self, packet: npt.NDArray[np.int64]) -> int:
        """Return the bits of the codes."""
        return self._bits

    def decode(self, packet: npt.NDArray[np.int64]) -> FloatArray:
        """Return the next hop; the stages after those sent are marked as missing."""
        self._sent[0, : self.stages] = packet
        audio: FloatArray = self._decoder.decode_step(self._sent)[0]
        return audio


class Denoised:
    """A denoiser in front of a codec, at the codec's rate: what a codec that denoises is held against.

    Its time counts as the encoder's, its delay is added.

    Parameters
    ----------
    codec : SpeechCodec
        The codec behind it.
    model : str or path-like
        Shipped denoiser or model file.
    """

    def __init__(self, codec: SpeechCodec, model: str | os.PathLike[str]) -> None:
        self._denoiser = Denoiser(model, sample_rate=codec.sample_rate, block_size=codec.hop)
        self._codec = codec
        self.sample_rate, self.hop = codec.sample_rate, codec.hop
        self.delay = codec.delay + self._denoiser.delay
        self.family = f"{Path(model).stem} + {codec.family}"
        self.name = codec.name.replace(codec.family, self.family)

    def reset(self) -> None:
        """Put denoiser and codec back to the fresh state."""
        self._denoiser.reset()
        self._codec.reset()

    def encode(self, audio: FloatArray) -> Any:
        """Denoise and encode the next hop."""
        return self._codec.encode(self._denoiser.process(audio))

    def bits(self, packet: Any) -> int:
        """Return the bits of one packet."""
        return self._codec.bits(packet)

    def decode(self, packet: Any) -> FloatArray:
        """Return the next hop."""
        return self._codec.decode(packet)


class Coded:
    """Both ends of a codec as one :class:`rtae.evaluate.systems.System`, which counts bits and times each end.

    Attributes
    ----------
    bits, octets, packets : int
        Bits of all packets so far, the bytes they fill when each packet is sent on its own, and their number.
    encode_seconds, decode_seconds : list of float
        Time of each hop on each side.
    """

    def __init__(self, codec: SpeechCodec) -> None:
        self.codec = codec
        self.name, self.sample_rate, self.hop, self.delay = codec.name, codec.sample_rate, codec.hop, codec.delay
        self.clear()

    def clear(self) -> None:
        """Forget what was counted."""
        self.bits = self.octets = self.packets = 0
        self.encode_seconds: list[float] = []
        self.decode_seconds: list[float] = []

    def reset(self) -> None:
        """Put the codec back to the fresh state; the counts go on."""
        self.codec.reset()

    def step(self, audio: FloatArray) -> FloatArray:
        """Send the next hop through."""
        clock = time.perf_counter
        begin = clock()
        packet = self.codec.encode(audio)
        encoded = clock()
        decoded = self.codec.decode(packet)
        end = clock()
        self.encode_seconds.append(encoded - begin)
        self.decode_seconds.append(end - encoded)
        bits = self.codec.bits(packet)
        self.bits, self.octets, self.packets = self.bits + bits, self.octets + -(-bits // 8), self.packets + 1
        return decoded

    @property
    def seconds(self) -> float:
        """Length of the audio sent through so far."""
        return self.packets * self.hop / self.sample_rate
