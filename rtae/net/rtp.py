"""RTP packets as bytes (RFC 3550), and the payload in them: specified in ``docs/rtp.md``.

The header is twelve bytes of fixed layout. No library is used for it: those that are kept (aiortc) bring a whole WebRTC
stack with FFmpeg and OpenSSL along, the small one (rtp) has rested since 2023 and has no control packets.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from rtae.codec.packet import Packet, PacketFormat
from rtae.errors import BitstreamError

VERSION = 2
"""Version of RTP."""

PAYLOAD_TYPE = 97
"""Dynamic payload type (96 to 127) used by both ends unless told otherwise."""

PAYLOAD_VERSION = 2
"""First byte of the payload."""

IDENTITY_BYTES = 4
"""Bytes of the model's identity in each payload: enough to tell models apart, not to authenticate one."""

_FIXED = struct.Struct(">BBHII")
_EXTENSION = struct.Struct(">HH")
_BYE = struct.Struct(">BBHI")
_BYE_TYPE = 203


@dataclass(frozen=True)
class RtpPacket:
    """One RTP packet.

    Attributes
    ----------
    payload_type : int
        0 to 127.
    sequence : int
        Number of the packet, modulo 2^16.
    timestamp : int
        Time of its first sample in samples, modulo 2^32, from a random start.
    source : int
        SSRC: the random name of the stream.
    payload : bytes
        What it carries.
    marker : bool
        First packet of a stream or after a pause.
    """

    payload_type: int
    sequence: int
    timestamp: int
    source: int
    payload: bytes
    marker: bool = False

    def __bytes__(self) -> bytes:
        """Return the packet as it is sent."""
        second = self.marker << 7 | self.payload_type
        return _FIXED.pack(VERSION << 6, second, self.sequence, self.timestamp, self.source) + self.payload

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """Return the packet in a datagram; contributing sources, extension and padding are left out (RFC 3550, 5.1).

        Raises
        ------
        BitstreamError
            If it is none.
        """
        if len(data) < _FIXED.size:
            raise BitstreamError(f"datagram of {len(data)} bytes; an RTP header has {_FIXED.size}")
        first, second, sequence, timestamp, source = _FIXED.unpack_from(data)
        if first >> 6 != VERSION:
            raise BitstreamError(f"datagram of RTP version {first >> 6}; expected {VERSION}")
        begin = _FIXED.size + 4 * (first & 0x0F)
        end = len(data)
        if first & 0x10:
            if end < begin + _EXTENSION.size:
                raise BitstreamError("RTP packet that ends inside its extension")
            begin += _EXTENSION.size + 4 * _EXTENSION.unpack_from(data, begin)[1]
        if first & 0x20:
            padding = data[-1]
            if not padding:
                raise BitstreamError("RTP packet with padding of no length")
            end -= padding
        if end < begin:
            raise BitstreamError("RTP packet shorter than its header says")
        return cls(second & 0x7F, sequence, timestamp, source, data[begin:end], bool(second & 0x80))


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on the RTP port is a control packet (RFC 5761, 4: its packet types lie from 192 to 223)."""
    return len(data) >= 8 and data[0] >> 6 == VERSION and 192 <= data[1] <= 223


def goodbye(source: int) -> bytes:
    """Return the control packet that ends a stream (RFC 3550, 6.6)."""
    return _BYE.pack(VERSION << 6 | 1, _BYE_TYPE, 1, source)


def leaving(data: bytes) -> tuple[int, ...]:
    """Return the streams a control packet says are at their end; none if it is no such packet or damaged."""
    count = data[0] & 0x1F
    if data[1] != _BYE_TYPE or len(data) < 4 + 4 * count:
        return ()
    return struct.unpack_from(f">{count}I", data, 4)


@dataclass(frozen=True)
class Payload:
    """The payload format of one codec model.

    Attributes
    ----------
    identity : bytes
        The first :data:`IDENTITY_BYTES` of the model's identity.
    packets : PacketFormat
        Form of the codec's packets.
    """

    identity: bytes
    packets: PacketFormat

    @classmethod
    def of(cls, identity: str, packets: PacketFormat) -> Payload:
        """Return the format for a model's identity in hexadecimal digits."""
        return cls(bytes.fromhex(identity)[:IDENTITY_BYTES], packets)

    def pack(self, *packets: Packet) -> bytes:
        """Return the payload that carries a packet and, after it, what it repeats of earlier ones."""
        return self._head + b"".join(map(bytes, packets))

    def fits(self, payload: bytes) -> bool:
        """Whether a payload is of this version and this model."""
        return payload.startswith(self._head)

    def parse(self, payload: bytes) -> list[Packet]:
        """Return the packet in a payload that fits, and then what it repeats of earlier ones.

        Raises
        ------
        BitstreamError
            If it is damaged.
        """
        return self.packets.parse_all(payload[len(self._head) :])

    @property
    def _head(self) -> bytes:
        return bytes((PAYLOAD_VERSION,)) + self.identity
