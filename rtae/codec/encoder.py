"""From blocks of audio to packets: :class:`StreamEncoder`."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from rtae.base import Frames, as_frames
from rtae.codec.models import CodecModels
from rtae.codec.packet import SEQUENCE_MODULUS, Codes, Packet
from rtae.errors import StreamStateError
from rtae.resample import StreamingResampler


class StreamEncoder:
    """The sending half of :class:`rtae.codec.Codec`, which documents it.

    Parameters
    ----------
    models : CodecModels
        The codec; its encoder's state is this stream's.
    sample_rate, channels : int
        Format of the blocks.

    Attributes
    ----------
    stages, hops_per_packet : int
        Stages and hops of the next packets; may be set at any time.
    resampling_delay : int
        Samples at the codec's rate by which the conversion to that rate delays the signal.
    """

    def __init__(self, models: CodecModels, sample_rate: int, channels: int) -> None:
        spec = models.spec
        self._model, self._bits, self._hop = models.encoder, spec.codebook_bits, spec.hop
        self._rate, self._codec_rate, self._channels = sample_rate, spec.sample_rate, channels
        self.stages, self.hops_per_packet = spec.codebooks, 1
        same = sample_rate == spec.sample_rate
        self._inward = None if same else StreamingResampler(sample_rate, spec.sample_rate, channels)
        self._hop_in: Frames = np.zeros((spec.hop, channels), np.float32)
        self._pending = 0
        self._codes: list[Codes] = []
        self._samples = self._hops = 0
        self._ended = False

    @property
    def resampling_delay(self) -> int:
        """See the class."""
        return 0 if self._inward is None else int(self._inward.delay)

    def encode(self, block: ArrayLike) -> list[Packet]:
        """Take the next block and return the packets that are full."""
        if self._ended:
            raise StreamStateError("encode() after flush(): the stream is at its end; call reset() to start another")
        frames, _ = as_frames(block, self._channels)
        self._samples += len(frames)
        return self._take(frames)

    def flush(self, delay: int) -> list[Packet]:
        """End the stream: return the packets a decoder still needs to give all samples, ``delay`` later."""
        if self._ended:
            raise StreamStateError("flush() after flush(): the stream is at its end; call reset() to start another")
        self._ended = True
        hops = hops_for(self._samples, delay, self._rate, self._codec_rate, self._hop)
        packets: list[Packet] = []
        silence = np.zeros((max(1, self._hop * self._rate // self._codec_rate), self._channels), np.float32)
        while self._hops < hops:
            packets += self._take(silence, hops)
        if self._codes:
            packets.append(self._packet())
        return packets

    def reset(self) -> None:
        """Go back to the fresh state; the stages stay."""
        self._model.reset()
        if self._inward is not None:
            self._inward.reset()
        self._codes.clear()
        self._pending = self._samples = self._hops = 0
        self._ended = False

    def _take(self, frames: Frames, most_hops: float = math.inf) -> list[Packet]:
        frames = in_full_scale(frames)
        if self._inward is not None:
            frames = self._inward.process(frames)
        packets: list[Packet] = []
        taken = 0
        while taken < len(frames) and self._hops < most_hops:
            count = min(len(frames) - taken, self._hop - self._pending)
            self._hop_in[self._pending : self._pending + count] = frames[taken : taken + count]
            self._pending += count
            taken += count
            if self._pending == self._hop:
                self._codes.append(self._model.encode_step(self._hop_in.T).copy())
                self._pending = 0
                self._hops += 1
                if len(self._codes) >= self.hops_per_packet:
                    packets.append(self._packet())
        return packets

    def _packet(self) -> Packet:
        codes = np.stack(self._codes)[:, :, : self.stages]
        self._codes.clear()
        return Packet((self._hops - len(codes)) % SEQUENCE_MODULUS, codes, self._bits)


def in_full_scale(frames: Frames) -> Frames:
    """Return frames clipped to full scale; what is not a number counts as silence."""
    return np.clip(np.nan_to_num(frames, nan=0.0), -1.0, 1.0)


def hops_for(samples: int, delay: int, sample_rate: int, codec_rate: int, hop: int) -> int:
    """Return the hops a decoder must be given before it has made ``samples + delay`` samples; none for no samples.

    Of ``m`` samples at the codec's rate the resampler makes ``ceil(m * sample_rate / codec_rate)``.
    """
    if not samples:
        return 0
    needed = (samples + delay - 1) * Fraction(codec_rate, sample_rate) // 1 + 1
    return -(-needed // hop)
