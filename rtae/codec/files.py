"""Whole recordings to streams and back, in constant memory: :func:`encode_blocks`, :func:`decode_blocks`.

:func:`encode` and :func:`decode` do the same for arrays and bytes in memory.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from rtae.base import Frames
from rtae.codec.codec import Codec
from rtae.codec.container import StreamReader, StreamWriter
from rtae.codec.header import StreamHeader
from rtae.codec.models import DECODER
from rtae.codec.packet import MOST_HOPS
from rtae.errors import BitstreamError, ModelNotFoundError, ParameterError, TruncatedStreamError
from rtae.shipped import available

PACKET_S = Fraction(1, 2)
"""Audio in a packet of a file: its eight bytes of overhead are 128 bit/s, and damage costs that much sound."""


def open_encoder(model: str | os.PathLike[str], sample_rate: int, channels: int, kbps: float | None = None) -> Codec:
    """Return a codec set up to encode a file; raises as :class:`Codec` does."""
    codec = Codec(model, sample_rate=sample_rate, channels=channels, kbps=kbps)
    hops = round(PACKET_S * codec.spec.sample_rate / codec.spec.hop)
    codec.hops_per_packet = min(max(hops, 1), MOST_HOPS)
    return codec


def encode_blocks(blocks: Iterable[Frames], codec: Codec, file: BinaryIO, samples: int | None = None) -> int:
    """Encode blocks of shape (n, channels) into a stream; return the samples a channel there were.

    Parameters
    ----------
    blocks : iterable of ndarray
        The audio.
    codec : Codec
        A fresh one, for instance of :func:`open_encoder`.
    file : binary file
        Where the stream goes.
    samples : int, optional
        Samples a channel that the blocks have, if that is known: a reader then knows it from the start.

    Raises
    ------
    ParameterError
        If the blocks have another number of samples, or another shape than the codec's.
    """
    writer = StreamWriter(file, StreamHeader.of(codec, codec.hops_per_packet, samples))
    count = 0
    for block in blocks:
        for packet in codec.encode(block):
            writer.write(packet)
        count += len(block)
    for packet in codec.flush():
        writer.write(packet)
    if samples not in (None, count):
        raise ParameterError(f"{count} samples came to be encoded, {samples} were declared")
    writer.finish(count)
    return count


def open_decoder(header: StreamHeader, model: str | os.PathLike[str] | None = None) -> Codec:
    """Return the codec a stream needs.

    Parameters
    ----------
    header : StreamHeader
        Of the stream.
    model : str or path-like, optional
        Name or path of the codec; by default the one the stream names.

    Raises
    ------
    BitstreamError
        If the codec is not the one that wrote the stream; the message names the one it needs.
    ModelNotFoundError, ModelFormatError
        If there is none of that name, or it cannot be used.
    """
    needed = f"codec {header.name!r} (SHA-256 of its decoder {header.identity[:16]}...)"
    # Never a path: a stream may come from anywhere.
    if model is None and f"{header.name}{DECODER}" not in available():
        raise ModelNotFoundError(f"the stream needs {needed}, which does not come with rtae; give its path by --model")
    codec = Codec(
        header.name if model is None else model,
        sample_rate=header.sample_rate,
        channels=header.packet_format.channels,
    )
    if codec.identity != header.identity:
        raise BitstreamError(
            f"the stream needs {needed}; {codec.name!r} here is {codec.identity[:16]}...; name the right one by --model"
        )
    spec = codec.spec
    found = (spec.codebooks, spec.codebook_bits, spec.sample_rate, spec.hop)
    declared = (header.packet_format.codebooks, header.packet_format.bits, header.codec_rate, header.hop)
    if found != declared:
        raise BitstreamError(f"the stream's header declares codebooks, bits, rate and hop {declared}; "
                             f"those of its codec are {found}")  # fmt: skip
    return codec


def decode_blocks(reader: StreamReader, codec: Codec) -> Iterator[Frames]:
    """Yield the audio of a stream in blocks of shape (n, channels), aligned with what was encoded and as long.

    What is damaged is concealed.

    Parameters
    ----------
    reader : StreamReader
        The stream, from its first packet on.
    codec : Codec
        A fresh one of :func:`open_decoder`.

    Raises
    ------
    BitstreamError
        If the stream contradicts itself.
    TruncatedStreamError
        After the last block, if the stream ends early.
    """
    header = reader.header
    # Of a stream by another encoder the delay may differ by a fraction of a sample from a whole number.
    late = codec.delay + round((header.lead - codec.lead) * Fraction(header.sample_rate, header.codec_rate))
    given, held = 0, np.zeros((0, codec.channels), np.float32)
    truncated: TruncatedStreamError | None = None
    decoded = _decoded(reader, codec)
    while True:
        try:
            block = next(decoded, None)
        except TruncatedStreamError as error:
            block, truncated = None, error
        # Only the end record, right behind the last packet, may tell how much of that is padding.
        if reader.samples is not None:
            held = held[: max(reader.samples - given, 0)]
        given += len(held)
        yield held
        if block is None:
            break
        held, late = block[late:], max(late - len(block), 0)
    if truncated is not None:
        raise truncated
    if given != reader.samples:
        raise BitstreamError(f"the stream contradicts itself: {reader.samples} samples declared, packets for {given}; "
                             "encode it again")  # fmt: skip


def _decoded(reader: StreamReader, codec: Codec) -> Iterator[Frames]:
    """Yield the decoder's output for every record, and in pieces for what is missing before it."""
    longest = reader.header.hops_per_packet
    for missing, packet in reader.packets():
        for at in range(0, missing, longest):
            yield codec.conceal(min(longest, missing - at))
        yield codec.decode([] if packet is None else [packet])


def encode(
    audio: ArrayLike, sample_rate: int, *, kbps: float | None = None, model: str | os.PathLike[str] = "codec"
) -> bytes:
    """Encode a whole recording into a stream, as ``rtae encode`` writes it.

    Parameters
    ----------
    audio : array_like, shape (n, channels) or (n,)
        Float samples, 1 to 8 channels.
    sample_rate : int
        Hertz, 1000 to 768000.
    kbps, model : optional
        As of :class:`Codec`.

    Raises
    ------
    ParameterError
        If the array is not audio, or a parameter is out of range.
    ModelNotFoundError, ModelFormatError
        If the models cannot be used.
    """
    array = np.asarray(audio)
    if array.ndim not in (1, 2):
        raise ParameterError(f"audio must have shape (samples, channels) or (samples,), got {array.shape}")
    codec = open_encoder(model, sample_rate, 1 if array.ndim == 1 else array.shape[1], kbps)
    file = io.BytesIO()
    encode_blocks([array], codec, file, len(array))
    return file.getvalue()


def decode(data: bytes, *, model: str | os.PathLike[str] | None = None) -> tuple[Frames, int]:
    """Decode a whole stream; the inverse of :func:`encode` but for what the codec loses.

    Parameters
    ----------
    data : bytes
        The stream.
    model : str or path-like, optional
        Name or path of the codec; by default the one the stream names.

    Returns
    -------
    audio : ndarray, shape (n, channels)
        Float32, of the length of what was encoded.
    sample_rate : int
        Hertz.

    Raises
    ------
    BitstreamError
        If it is no stream, contradicts itself, or needs another codec.
    TruncatedStreamError
        If it ends early; :func:`decode_blocks` gives what there is.
    ModelNotFoundError, ModelFormatError
        If the models cannot be used.
    """
    reader = StreamReader(io.BytesIO(data))
    codec = open_decoder(reader.header, model)
    return np.concatenate(list(decode_blocks(reader, codec))), codec.sample_rate
