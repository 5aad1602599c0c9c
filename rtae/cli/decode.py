"""``rtae decode``: a stream back to a sound file."""

from __future__ import annotations

import argparse

from rtae.cli.transfer import check_target, open_input, open_sound, progress_of
from rtae.codec.container import StreamReader
from rtae.codec.files import decode_blocks, open_decoder
from rtae.errors import AudioFileError, BitstreamError, RtaeError, TruncatedStreamError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", metavar="IN", help="stream that 'rtae encode' wrote; - is standard input")
    parser.add_argument(
        "output", metavar="OUT", help="sound file to write, its suffix decides the format; - is wave on standard output"
    )
    parser.add_argument("-m", "--model", metavar="NAME", help="codec, or its path (the one the stream names)")
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Decode in constant memory; 1 if the stream was damaged or ends early, and what could be had was written."""
    source, target = arguments.input, arguments.output
    check_target(source, target, force=arguments.force)
    truncated = None
    with open_input(source) as file:
        try:
            reader = StreamReader(file)
            codec = open_decoder(reader.header, arguments.model)
            header = reader.header
            sound = open_sound(target, header.sample_rate, header.packet_format.channels, header.samples)
            with progress_of(source) as (console, advance), sound as writer:
                samples = 0
                try:
                    for block in decode_blocks(reader, codec):
                        writer.write(block)
                        samples += len(block)
                        advance(len(block), reader.samples)
                except TruncatedStreamError as error:
                    if not samples:
                        raise
                    truncated = error
        except (BitstreamError, TruncatedStreamError) as error:
            raise type(error)(f"cannot decode '{source}': {error}") from None
        except (RtaeError, BrokenPipeError):
            raise
        except OSError as error:
            raise AudioFileError(f"cannot read '{source}': {error.strerror}") from None
    made_up = codec.statistics.concealed * float(reader.header.hop_s)
    if reader.damaged:
        console.print(f"rtae: '{source}' is damaged: {reader.damaged} bytes skipped, {made_up:.2f} s concealed")
    if truncated is not None:
        console.print(f"rtae: '{source}': {truncated}; what there is was written")
    return 1 if reader.damaged or truncated else 0
