"""The header of a stream file: :class:`StreamHeader`. Specified in ``docs/bitstream.md``."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from rtae.codec.codec import RATE_RANGE_HZ, Codec
from rtae.codec.packet import MOST_CHANNELS, MOST_HOPS, PacketFormat
from rtae.errors import BitstreamError, TruncatedStreamError

MAGIC = b"\x89RTAE\r\n\x1a"
"""First bytes of a stream; like those of PNG they show what a transfer as text would do to it."""

VERSION = 1
"""Newest version of the format this rtae reads and writes."""

FIXED = struct.Struct(">8s4B4IQ2B32s")
"""The part of fixed length: see :meth:`StreamHeader.__bytes__` for the order."""

UNKNOWN = (1 << 64) - 1
"""In place of the samples: not known when writing began."""

MOST_HOPS_OF_STREAM = 1 << 32
"""Longest stream: 497 days of hops of 10 ms."""

LONGEST_LEAD_S = 10


@dataclass(frozen=True)
class StreamHeader:
    """What a stream says of itself.

    Attributes
    ----------
    packet_format : PacketFormat
        Channels, stages of the model and bits of a code.
    codec_rate, hop : int
        The codec's rate in hertz, and samples at that rate a hop.
    sample_rate : int
        Rate of the audio encoded, in hertz, which decoding restores.
    lead : int
        Samples at the codec's rate by which the decoder's output lags the audio encoded.
    samples : int or None
        Samples a channel at ``sample_rate``; None where it was not known when writing began.
    hops_per_packet : int
        Most hops of a packet; only the last packet has fewer.
    name, identity : str
        Name of the codec, and SHA-256 of its decoder's file in hexadecimal digits.
    """

    packet_format: PacketFormat
    codec_rate: int
    hop: int
    sample_rate: int
    lead: int
    samples: int | None
    hops_per_packet: int
    name: str
    identity: str

    @classmethod
    def of(cls, codec: Codec, hops_per_packet: int, samples: int | None) -> StreamHeader:
        """Return the header of what a codec is about to encode."""
        spec = codec.spec
        return cls(
            codec.packet_format, spec.sample_rate, spec.hop, codec.sample_rate, codec.lead, samples, hops_per_packet,
            codec.name, codec.identity,
        )  # fmt: skip

    @property
    def hop_s(self) -> Fraction:
        """Seconds a hop."""
        return Fraction(self.hop, self.codec_rate)

    def __bytes__(self) -> bytes:
        """Return the header as it is written, checksum included."""
        form, name = self.packet_format, self.name.encode()[:255]
        data = FIXED.pack(
            MAGIC, VERSION, form.channels, form.codebooks, form.bits, self.codec_rate, self.hop, self.sample_rate,
            self.lead, UNKNOWN if self.samples is None else self.samples, self.hops_per_packet, len(name),
            bytes.fromhex(self.identity),
        ) + name  # fmt: skip
        return data + struct.pack(">I", zlib.crc32(data))

    @classmethod
    def read(cls, file: BinaryIO) -> StreamHeader:
        """Read a header from the front of a file.

        Raises
        ------
        BitstreamError
            If the file is no stream, of a newer version, or the header is damaged or out of range.
        TruncatedStreamError
            If the file ends within it.
        """
        data = file.read(FIXED.size)
        if not data or not (data.startswith(MAGIC) or MAGIC.startswith(data)):
            raise BitstreamError("no rtae stream (its first bytes are others); name a file that 'rtae encode' wrote")
        if len(data) > len(MAGIC) and data[len(MAGIC)] > VERSION:
            raise BitstreamError(f"the stream has format {data[len(MAGIC)]}, this rtae reads up to {VERSION}; "
                                 "if it is not damaged, upgrade with 'pip install -U rtae'")  # fmt: skip
        if len(data) == FIXED.size:
            data += file.read(data[FIXED.size - 33] + 4)
        if len(data) < FIXED.size or len(data) < FIXED.size + data[FIXED.size - 33] + 4:
            raise TruncatedStreamError(f"the stream ends after {len(data)} bytes, within its header; copy it again")
        if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
            raise BitstreamError("the stream's header is damaged (its checksum differs); copy it again")
        return cls._parse(data)

    @classmethod
    def _parse(cls, data: bytes) -> StreamHeader:
        (_, version, channels, codebooks, bits, codec_rate, hop, sample_rate, lead, samples, hops_per_packet, _,
         identity) = FIXED.unpack_from(data)  # fmt: skip
        bounds = {
            "version": (version, 1, VERSION),
            "channels": (channels, 1, MOST_CHANNELS),
            "codebooks": (codebooks, 1, 64),
            "bits": (bits, 1, 16),
            "codec rate": (codec_rate, *RATE_RANGE_HZ),
            "hop": (hop, 1, 1_000_000),
            "sample rate": (sample_rate, *RATE_RANGE_HZ),
            "lead": (lead, 0, LONGEST_LEAD_S * codec_rate),
            "hops a packet": (hops_per_packet, 1, MOST_HOPS),
        }
        if samples != UNKNOWN:
            bounds["samples"] = (samples, 0, MOST_HOPS_OF_STREAM * hop * sample_rate // max(codec_rate, 1))
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                raise BitstreamError(f"the stream's header declares {name} {value}; allowed are {low} to {high}")
        try:
            text = data[FIXED.size : -4].decode()
        except UnicodeDecodeError:
            text = ""
        if not text.isprintable() or not text:
            raise BitstreamError("the stream's header names no codec that can be read; encode it again")
        return cls(
            PacketFormat(channels, codebooks, bits), codec_rate, hop, sample_rate, lead,
            None if samples == UNKNOWN else samples, hops_per_packet, text, identity.hex(),
        )  # fmt: skip
