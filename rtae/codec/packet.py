"""A packet of codes, which stands alone: :class:`Packet`, and its form in bytes, :class:`PacketFormat`.

The form is specified in ``docs/bitstream.md``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtae.base import check_integer
from rtae.errors import BitstreamError

Codes = NDArray[np.int64]

SEQUENCE_MODULUS = 1 << 16
"""Sequence numbers count hops modulo this."""

MOST_HOPS = 255
"""Most hops of one packet."""

MOST_CHANNELS = 8
"""Most channels of one stream."""

HEADER = struct.Struct(">HBB")
"""Sequence number, hops, stages."""


@dataclass(frozen=True, eq=False)
class Packet:
    """The codes of consecutive hops.

    Attributes
    ----------
    sequence : int
        Number of the first hop in the stream, modulo 65536.
    codes : ndarray of int64, shape (hops, channels, stages)
        Codes of the stages that are sent, the coarsest first.
    bits : int
        Bits of one code.
    """

    sequence: int
    codes: Codes
    bits: int

    @property
    def hops(self) -> int:
        """Hops it holds."""
        return len(self.codes)

    @property
    def stages(self) -> int:
        """Stages it holds of every hop."""
        return int(self.codes.shape[2])

    def __bytes__(self) -> bytes:
        """Return the packet as it is sent."""
        columns = np.unpackbits(self.codes.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)
        return HEADER.pack(self.sequence, self.hops, self.stages) + np.packbits(columns[:, 16 - self.bits :]).tobytes()


@dataclass(frozen=True)
class PacketFormat:
    """What both ends of a stream know before its first packet.

    Attributes
    ----------
    channels : int
        Channels, 1 to 8.
    codebooks : int
        Stages the model has; a packet holds 1 to all of them.
    bits : int
        Bits of one code, 1 to 16.

    Raises
    ------
    ParameterError
        If one is out of range.
    """

    channels: int
    codebooks: int
    bits: int

    def __post_init__(self) -> None:
        check_integer("channels", self.channels, 1, MOST_CHANNELS)
        check_integer("codebooks", self.codebooks, 1, 64)
        check_integer("bits", self.bits, 1, 16)

    def size(self, hops: int, stages: int) -> int:
        """Return the bytes of a packet of so many hops and stages."""
        return HEADER.size + -(-hops * self.channels * stages * self.bits // 8)

    def parse(self, data: bytes) -> Packet:
        """Return the packet in ``data``, which holds it and nothing else.

        Raises
        ------
        BitstreamError
            If the header is out of range, the length is not the one that follows from it, or padding is not zero.
        """
        if len(data) < HEADER.size:
            raise BitstreamError(f"packet of {len(data)} bytes; its header alone has {HEADER.size}")
        sequence, hops, stages = HEADER.unpack_from(data)
        if not hops or not 1 <= stages <= self.codebooks:
            raise BitstreamError(f"packet of {hops} hops and {stages} stages; allowed are 1 to {MOST_HOPS} hops and "
                                 f"1 to {self.codebooks} stages")  # fmt: skip
        if len(data) != self.size(hops, stages):
            raise BitstreamError(f"packet of {len(data)} bytes; {hops} hops of {stages} stages and {self.channels} "
                                 f"channels take {self.size(hops, stages)}")  # fmt: skip
        count = hops * self.channels * stages
        flat = np.unpackbits(np.frombuffer(data, np.uint8, offset=HEADER.size))
        used = count * self.bits
        if flat[used:].any():
            raise BitstreamError("packet with padding that is not zero; it is damaged or of another model")
        weights = 1 << np.arange(self.bits, dtype=np.int64)[::-1]
        codes = flat[:used].reshape(count, self.bits) @ weights
        return Packet(sequence, codes.reshape(hops, self.channels, stages), self.bits)

    def parse_all(self, data: bytes) -> list[Packet]:
        """Return the packets in ``data``, one after the other, at least one.

        Raises
        ------
        BitstreamError
            As of :meth:`parse`.
        """
        packets: list[Packet] = []
        while data or not packets:
            size = len(data)
            if size > HEADER.size:
                _, hops, stages = HEADER.unpack_from(data)
                size = min(size, self.size(hops, stages))
            packets.append(self.parse(data[:size]))
            data = data[size:]
        return packets


def distance(later: int, earlier: int) -> int:
    """Return how many hops ``later`` is after ``earlier``, -32768 to 32767, both counted modulo 65536."""
    half = SEQUENCE_MODULUS // 2
    return (later - earlier + half) % SEQUENCE_MODULUS - half
