"""The sending end without its socket: audio in, datagrams out: :class:`Sender`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from numpy.typing import ArrayLike

from rtae.codec import Codec, Packet
from rtae.net.reception import SEQUENCES, TIMESTAMPS
from rtae.net.rtp import PAYLOAD_TYPE, Payload, RtpPacket, goodbye

HOPS_PER_PACKET = 2
"""Hops of a datagram: at 10 ms a hop, the 20 ms of RFC 3551. More would cost latency, fewer headers of 40 bytes."""


class Sender:
    """Turns audio into datagrams, each of which repeats the coarser half of the stages of the one before.

    Parameters
    ----------
    codec : Codec
        Encoder, at the rate of the audio, one channel.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._payload = Payload.of(codec.identity, codec.packet_format)
        self._hop = codec.spec.hop
        # Random, as RFC 3550 wants all three: nobody can guess them, and two streams differ.
        self._source = secrets.randbits(32)
        self._sequence = secrets.randbits(16)
        self._timestamp = secrets.randbits(32)
        self._before: Packet | None = None
        self.packets = self.octets = 0

    def send(self, block: ArrayLike) -> list[bytes]:
        """Take audio of shape (n, 1) or (n,); return the datagrams that are full."""
        return self._wrap(self._codec.encode(block))

    def finish(self) -> list[bytes]:
        """Return the last datagrams of the stream, the goodbye among them; more than one, as they may get lost."""
        return [*self._wrap(self._codec.flush()), *(goodbye(self._source) for _ in range(3))]

    def _wrap(self, packets: Iterable[Packet]) -> list[bytes]:
        made = []
        for packet in packets:
            payload = self._payload.pack(packet, *([] if self._before is None else [repeated(self._before)]))
            self._before = packet
            data = bytes(
                RtpPacket(PAYLOAD_TYPE, self._sequence, self._timestamp, self._source, payload, self.packets == 0)
            )
            self._sequence = (self._sequence + 1) % SEQUENCES
            self._timestamp = (self._timestamp + packet.hops * self._hop) % TIMESTAMPS
            self.packets += 1
            self.octets += len(data)
            made.append(data)
        return made


def repeated(packet: Packet) -> Packet:
    """Return what the next datagram repeats of a packet: the coarser half of its stages."""
    return Packet(packet.sequence, packet.codes[:, :, : (packet.stages + 1) // 2], packet.bits)
