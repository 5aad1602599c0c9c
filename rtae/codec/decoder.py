"""From packets to blocks of audio, whatever the network did to them: :class:`StreamDecoder`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rtae.base import Frames, check_integer
from rtae.codec.concealment import Concealment
from rtae.codec.models import CodecModels
from rtae.codec.packet import SEQUENCE_MODULUS, Codes, Packet, PacketFormat, distance
from rtae.errors import ParameterError
from rtae.resample import StreamingResampler

LONGEST_GAP_S = 1.0
"""A packet further ahead or behind than this is the start of another stream."""


@dataclass
class DecoderStatistics:
    """What became of the hops of a stream.

    Attributes
    ----------
    received : int
        Hops decoded from packets.
    concealed : int
        Hops made up in place of missing ones.
    late : int
        Hops that came after their time, or twice, and were dropped.
    restarts : int
        Jumps of the sequence too far to be a gap.
    """

    received: int = 0
    concealed: int = 0
    late: int = 0
    restarts: int = 0


class StreamDecoder:
    """The receiving half of :class:`rtae.codec.Codec`, which documents it.

    Parameters
    ----------
    models : CodecModels
        The codec; its decoder's state is this stream's.
    packet_format : PacketFormat
        Shape of the packets it takes.
    sample_rate : int
        Rate of the blocks it gives.
    delay : Fraction
        Delay of the conversion to that rate, in samples at that rate.
    """

    def __init__(self, models: CodecModels, packet_format: PacketFormat, sample_rate: int, delay: Fraction) -> None:
        spec = models.spec
        self._model, self._format = models.decoder, packet_format
        self._hop, self._channels = spec.hop, packet_format.channels
        self._longest_gap = max(1, int(LONGEST_GAP_S * spec.sample_rate / spec.hop))
        same = sample_rate == spec.sample_rate
        self._outward = None if same else StreamingResampler(spec.sample_rate, sample_rate, self._channels, delay=delay)
        self._concealment = Concealment(self._channels, spec.codebooks, spec.hop, spec.sample_rate)
        self.expected: int | None = None
        self.statistics = DecoderStatistics()

    def decode(self, packets: Iterable[Packet]) -> Frames:
        """Decode packets that came, in any order; see :meth:`rtae.codec.Codec.decode`."""
        batch = list(packets)
        for packet in batch:
            self._check(packet)
        if batch:
            start = batch[0].sequence if self.expected is None else self.expected
            batch.sort(key=lambda packet: distance(packet.sequence, start))
        hops: list[Frames] = []
        for packet in batch:
            hops += self._decode_packet(packet)
        return self._finish(hops)

    def conceal(self, hops: int = 1, upcoming: Packet | None = None) -> Frames:
        """Make up hops; see :meth:`rtae.codec.Codec.conceal`."""
        hops = check_integer("hops", hops, 0)
        if upcoming is not None:
            self._check(upcoming)
        return self._finish(self._conceal(hops, upcoming))

    def reset(self) -> None:
        """Go back to the fresh state, statistics too."""
        self._model.reset()
        if self._outward is not None:
            self._outward.reset()
        self._concealment.reset()
        self.expected = None
        self.statistics = DecoderStatistics()

    def _check(self, packet: Packet) -> None:
        form = self._format
        hops, channels, stages = packet.codes.shape
        if not hops or channels != form.channels or not 1 <= stages <= form.codebooks or packet.bits != form.bits:
            raise ParameterError(
                f"packet of {hops} hops, {channels} channels and {stages} stages of {packet.bits} bits; this codec "
                f"takes {form.channels} channels and 1 to {form.codebooks} stages of {form.bits} bits"
            )

    def _decode_packet(self, packet: Packet) -> list[Frames]:
        hops: list[Frames] = []
        ahead = 0 if self.expected is None else distance(packet.sequence, self.expected)
        if abs(ahead) > self._longest_gap:
            self.statistics.restarts += 1
            ahead = 0
        elif ahead > 0:
            hops += self._conceal(ahead, packet)
            ahead = 0
        fresh = packet.codes[-ahead:]
        self.statistics.late += packet.hops - len(fresh)
        self.statistics.received += len(fresh)
        hops += [self._step(self._concealment.received(codes)) for codes in fresh]
        if len(fresh):
            self.expected = (packet.sequence + packet.hops) % SEQUENCE_MODULUS
        return hops

    def _conceal(self, hops: int, upcoming: Packet | None) -> list[Frames]:
        self.statistics.concealed += hops
        made = []
        for _ in range(hops):
            if upcoming is None or self.expected is None:
                codes = self._concealment.missing()
            else:
                codes = self._concealment.missing(upcoming.codes[0], distance(upcoming.sequence, self.expected))
            made.append(self._step(codes))
            if self.expected is not None:
                self.expected = (self.expected + 1) % SEQUENCE_MODULUS
        return made

    def _step(self, codes: Codes) -> Frames:
        audio = self._model.decode_step(codes).T.copy()
        self._concealment.apply_gain(audio)
        return audio

    def _finish(self, hops: list[Frames]) -> Frames:
        audio: Frames = np.concatenate(hops) if hops else np.zeros((0, self._channels), np.float32)
        if self._outward is not None:
            audio = self._outward.process(audio)
        return np.clip(audio, -1.0, 1.0, out=audio)
