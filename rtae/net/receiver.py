"""The receiving end without its socket: datagrams in, audio out, everything counted: :class:`Receiver`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from rtae.codec import Codec
from rtae.codec.packet import SEQUENCE_MODULUS, distance
from rtae.errors import BitstreamError
from rtae.net.playout import Playout
from rtae.net.reception import Reception
from rtae.net.rtp import PAYLOAD_TYPE, Payload, RtpPacket, is_rtcp, leaving

SILENT_S = 2.0
"""A stream that was not heard for this long may be followed by another."""

Address = tuple[Any, ...]
"""Of a socket: host, port, and more for IPv6."""


@dataclass(frozen=True)
class ReceiverStats:
    """A receiver's counters and meters at one moment.

    Attributes
    ----------
    received, lost, reordered : int
        Packets of the present stream that came, that did not come by their numbers, that came after a later one.
    loss : float
        Share of the packets expected that did not come.
    jitter_ms : float
        Interarrival jitter as RFC 3550 defines it.
    latency_ms, target_ms : float
        From the arrival of the quickest packets to the output, and what it is to be.
    drift_ppm : float
        By how much the sender's clock runs faster than the output's, as learned so far.
    late, concealed, recovered, added, removed : int
        Hops that came after their turn; made up because they had not come; taken from their repetition in the packet
        after; added and removed to change the latency.
    underruns : int
        Times the output found nothing to play, while a stream was there.
    garbage, foreign : int
        Datagrams that are no RTP or damaged; that are RTP of another sender, payload type or model.
    streams : int
        Streams heard so far.
    """

    received: int
    lost: int
    reordered: int
    loss: float
    jitter_ms: float
    latency_ms: float
    target_ms: float
    drift_ppm: float
    late: int
    concealed: int
    recovered: int
    added: int
    removed: int
    underruns: int
    garbage: int
    foreign: int
    streams: int

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-ready mapping, numbers rounded."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in dataclasses.asdict(self).items()
        }


class Receiver:
    """Follows one stream of voice among whatever else comes to its port.

    The first sender whose packets fit is followed until it says goodbye or was silent for two seconds; only then
    another may take its place.

    Parameters
    ----------
    codec : Codec
        Decoder, at its own rate, one channel.
    sample_rate, block : int
        Rate of the output in hertz, and samples a pull.
    now_s : float
        The present, in seconds of the clock all calls use.

    Attributes
    ----------
    playout : Playout
        Where the audio is pulled.
    ended : bool
        Whether the stream that was followed said goodbye and no other has begun.
    """

    def __init__(self, codec: Codec, sample_rate: int, block: int, now_s: float) -> None:
        self._payload = Payload.of(codec.identity, codec.packet_format)
        self._hop, self._rate = codec.spec.hop, codec.spec.sample_rate
        self.playout = Playout(codec, sample_rate, block, now_s)
        self._from: tuple[Address, int] | None = None
        self._reception = Reception(self._rate)
        self._first_sequence = 0
        self._heard_s = now_s
        self._garbage = self._foreign = self._streams = 0
        self.ended = False

    @property
    def stats(self) -> ReceiverStats:
        """Counters and meters now."""
        reception, playout, buffer = self._reception, self.playout, self.playout.buffer
        return ReceiverStats(
            received=reception.received,
            lost=reception.lost,
            reordered=reception.reordered,
            loss=reception.lost / max(1, reception.expected),
            jitter_ms=1e3 * reception.jitter_s,
            latency_ms=1e3 * playout.latency_s,
            target_ms=1e3 * playout.target_s,
            drift_ppm=playout.ppm,
            late=buffer.late,
            concealed=buffer.missed,
            recovered=buffer.recovered,
            added=buffer.added,
            removed=buffer.removed,
            underruns=playout.underruns,
            garbage=self._garbage,
            foreign=self._foreign,
            streams=self._streams,
        )

    def receive(self, data: bytes, address: Address, now_s: float) -> None:
        """Take one datagram; never raises, whatever is in it."""
        try:
            if is_rtcp(data):
                self._control(data, address)
            else:
                self._voice(RtpPacket.parse(data), address, now_s)
        except BitstreamError:
            self._garbage += 1

    def _control(self, data: bytes, address: Address) -> None:
        if self._from is None or self._from != (address, int.from_bytes(data[4:8], "big")):
            self._foreign += 1
        elif self._from[1] in leaving(data):
            self.ended = True

    def _voice(self, packet: RtpPacket, address: Address, now_s: float) -> None:
        sender = (address, packet.source)
        free = self._from is None or self.ended or now_s - self._heard_s > SILENT_S
        if packet.payload_type != PAYLOAD_TYPE or not self._payload.fits(packet.payload):
            self._foreign += 1
            return
        if sender != self._from and not free:
            self._foreign += 1
            return
        voice, *repeated = self._payload.parse(packet.payload)
        behind = [distance(item.sequence, voice.sequence) for item in repeated]
        if any(item.hops > -hops for item, hops in zip(repeated, behind, strict=True)):
            raise BitstreamError("RTP packet that repeats what is not before it")
        if sender != self._from:
            self._from, self._reception = sender, Reception(self._rate)
        beginnings = self._reception.beginnings
        elapsed = self._reception.receive(packet.sequence, packet.timestamp, now_s)
        if self._reception.beginnings != beginnings:
            self._streams += 1
            self.ended = False
            self.playout.restart()
            self._first_sequence = voice.sequence
        if elapsed is None:
            raise BitstreamError("RTP packet out of any order")
        number, rest = divmod(elapsed, self._hop)
        if rest or (number - voice.sequence + self._first_sequence) % SEQUENCE_MODULUS:
            raise BitstreamError("RTP timestamp that is not that of its hops")
        self._heard_s = now_s
        self.playout.buffer.push(number, voice.codes, now_s)
        for item, hops in zip(repeated, behind, strict=True):
            self.playout.buffer.repeat(number + hops, item.codes, now_s)
