"""The stream file ``.rtae``: a header, packets with a checksum each, an end record. :class:`StreamReader`, -`Writer`.

Specified in ``docs/bitstream.md``. Both work on anything that reads or writes bytes in order, pipes too, and hold a
packet or two in memory. The reader trusts nothing: it finds its way again behind damage, and what it hands out is
bounded by the bytes it was given.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from rtae.codec.header import StreamHeader
from rtae.codec.packet import HEADER, SEQUENCE_MODULUS, Packet, distance
from rtae.errors import BitstreamError, TruncatedStreamError

CHECKSUM = struct.Struct(">I")
"""CRC-32 (ISO 3309, as in zlib) of the record before it."""

END = struct.Struct(">HBBQ")
"""Hops of the stream modulo 65536, two zeros that no packet has in their place, samples of the stream."""


LEAST_RECORD = HEADER.size + 1 + CHECKSUM.size
"""Bytes of the shortest packet there can be, and its checksum."""


MOST_UNEXPLAINED_S = 60
"""Seconds that may be missing in a whole stream beyond what its damaged bytes can have held."""


class StreamWriter:
    """Writes a stream.

    Parameters
    ----------
    file : binary file
        Where to; only written to, in order.
    header : StreamHeader
        Written at once.
    """

    def __init__(self, file: BinaryIO, header: StreamHeader) -> None:
        self._file = file
        self._hops = 0
        file.write(bytes(header))

    def write(self, packet: Packet) -> None:
        """Append a packet; its sequence must follow on the one before."""
        assert packet.sequence == self._hops % SEQUENCE_MODULUS
        self._hops += packet.hops
        self._record(bytes(packet))

    def finish(self, samples: int) -> None:
        """Append the end record: the stream is whole and has so many samples a channel."""
        self._record(END.pack(self._hops % SEQUENCE_MODULUS, 0, 0, samples))

    def _record(self, data: bytes) -> None:
        self._file.write(data + CHECKSUM.pack(zlib.crc32(data)))


class StreamReader:
    """Reads a stream.

    Parameters
    ----------
    file : binary file
        Where from; only read, in order.

    Attributes
    ----------
    header : StreamHeader
        Of the stream.
    hops : int
        Hops up to the end of the newest packet, missing ones included; of the whole stream after its end record.
    samples : int or None
        Samples a channel: as the header declares; None where it does not, until the end record has been read.
    damaged : int
        Bytes skipped because they were no whole packet.

    Raises
    ------
    BitstreamError
        If the file is no stream, its header is damaged or out of range, or of a newer format.
    TruncatedStreamError
        If it ends within the header.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.header = StreamHeader.read(file)
        self.hops = 0
        self.samples = self.header.samples
        self.damaged = 0
        self._file = file
        self._buffer = bytearray()
        form = self.header.packet_format
        self._longest = max(form.size(self.header.hops_per_packet, form.codebooks), END.size) + CHECKSUM.size
        self._spare = int(MOST_UNEXPLAINED_S / self.header.hop_s)
        self._shortest = form.size(self.header.hops_per_packet, 1) + CHECKSUM.size

    def packets(self) -> Iterator[tuple[int, Packet | None]]:
        """Yield ``(missing, packet)``: hops lost before the packet, and the packet; at the end ``(missing, None)``.

        Raises
        ------
        BitstreamError
            If the end record contradicts the header.
        TruncatedStreamError
            After the last packet, if the file ends before its end record.
        """
        skipped = 0
        while len(self._buffer) >= LEAST_RECORD or self._fill():
            # Lost packets took room, unless bytes were cut out; unbounded, a few bytes could ask for years of sound.
            room = skipped // self._shortest * self.header.hops_per_packet
            record = self._record(room + self._spare if skipped else 0)
            if record is None:
                del self._buffer[0]
                skipped += 1
                self.damaged += 1
                continue
            missing, packet, size = record
            self._spare -= max(missing - room, 0)
            skipped = 0
            del self._buffer[:size]
            self.hops += missing
            yield missing, packet
            if packet is None:
                return
            self.hops += packet.hops
        self.damaged += len(self._buffer)
        seconds = self.hops * self.header.hop / self.header.codec_rate
        raise TruncatedStreamError(f"the stream ends early, after {seconds:.2f} s; copy it again")

    def _fill(self) -> bool:
        """Read what makes two of the longest records; return whether there is any record now."""
        self._buffer += self._file.read(2 * self._longest - len(self._buffer))
        return len(self._buffer) >= LEAST_RECORD

    def _record(self, most_missing: int) -> tuple[int, Packet | None, int] | None:
        """Return hops missing, packet and size of the record the buffer begins with, or None if that is none."""
        sequence, hops, stages = HEADER.unpack_from(self._buffer)
        missing = distance(sequence, self.hops)
        form, header = self.header.packet_format, self.header
        if not 0 <= missing <= most_missing:
            return None
        if hops == stages == 0:
            size = END.size
        elif 1 <= hops <= header.hops_per_packet and 1 <= stages <= form.codebooks:
            size = form.size(hops, stages)
        else:
            return None
        if len(self._buffer) < size + CHECKSUM.size and len(self._buffer) < self._longest:
            self._fill()
        data, check = bytes(self._buffer[:size]), self._buffer[size : size + CHECKSUM.size]
        if len(check) < CHECKSUM.size or CHECKSUM.unpack(check)[0] != zlib.crc32(data):
            return None
        if hops:
            return missing, form.parse(data), size + CHECKSUM.size
        samples = END.unpack(data)[3]
        if self.samples not in (None, samples):
            raise BitstreamError(f"the stream contradicts itself: {self.samples} samples in its header, "
                                 f"{samples} at its end; encode it again")  # fmt: skip
        self.samples = samples
        return missing, None, size + CHECKSUM.size
