"""``rtae encode``: a sound file to a few kilobits a second."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from rtae.audio import AudioReader
from rtae.base import Frames
from rtae.cli.transfer import PIPE, check_target, open_output, progress_of
from rtae.codec.codec import DEFAULT_KBPS
from rtae.codec.files import encode_blocks, open_encoder
from rtae.errors import AudioFileError, ParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", metavar="IN", help="sound file: wav, flac, ogg, mp3, ...; - is standard input")
    parser.add_argument("output", metavar="OUT", help="stream to write, such as speech.rtae; - is standard output")
    parser.add_argument(
        "--kbps", type=float, help=f"kilobits a second and channel ({DEFAULT_KBPS:g}, or the nearest the codec has)"
    )
    parser.add_argument(
        "-m", "--model", default="codec", metavar="NAME", help="shipped codec, or its path (%(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Encode in constant memory."""
    source, target = arguments.input, arguments.output
    check_target(source, target, force=arguments.force)
    with AudioReader(source) as reader:
        try:
            codec = open_encoder(arguments.model, reader.sample_rate, reader.channels, arguments.kbps)
        except ParameterError as error:
            raise AudioFileError(f"cannot encode '{source}': {error}") from None
        with progress_of(source) as (console, advance), open_output(target) as file:

            def blocks() -> Iterator[Frames]:
                for block in reader.blocks():
                    yield block
                    advance(len(block), reader.frames)

            samples = encode_blocks(blocks(), codec, file, reader.frames)
            size = file.tell() if target != PIPE else None
    seconds = samples / reader.sample_rate
    if size is not None:
        rate = f", {8 * size / seconds / 1e3:.2f} kbit/s with all overhead" if samples else ""
        console.print(f"{seconds:.1f} s in {size} bytes{rate}")
    return 0
