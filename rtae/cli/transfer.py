"""What commands that write one output have in common: outputs that appear whole, standard output, progress."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rtae.atomic import AtomicFile
from rtae.audio import AudioWriter, Coding, output_format
from rtae.base import Frames
from rtae.errors import AudioFileError, ParameterError

PIPE = "-"
"""Name that stands for standard input or output."""

MADE = Coding(Path("a.wav"), "WAV", "PCM_16")
"""What sound that comes from no sound file counts as when the format of the output is chosen."""

MOST_WAV_BYTES = 0xFFFFFFFF - 36

Advance = Callable[[int, int | None], None]
"""Called with the samples of each block done, and the number of all samples if that is known."""


def check_target(source: str, target: str, *, force: bool) -> None:
    """Refuse a target that is there, or is the source.

    Raises
    ------
    AudioFileError, ParameterError
    """
    if target == PIPE:
        if sys.stdout.isatty():
            raise ParameterError("standard output is a terminal; name a file, or lead it to another program")
        return
    if source != PIPE and os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise ParameterError(f"output '{target}' would replace the input; choose another output")
    if os.path.exists(target) and not force:
        raise AudioFileError(f"'{target}' exists and was kept; add --force to replace it")


@contextmanager
def open_output(target: str) -> Iterator[BinaryIO]:
    """Give a binary file that appears under its name when it is whole; or standard output.

    Raises
    ------
    AudioFileError
        If it cannot be written.
    """
    if target == PIPE:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with AtomicFile(target) as temporary, temporary.open("wb") as file:
            yield file
    except OSError as error:
        raise AudioFileError(f"cannot write '{target}': {error.strerror}") from None


@contextmanager
def open_input(source: str) -> Iterator[BinaryIO]:
    """Give a binary file to read; or standard input.

    Raises
    ------
    AudioFileError
        If it cannot be read.
    """
    if source == PIPE:
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")
    except OSError as error:
        raise AudioFileError(f"cannot read '{source}': {error.strerror}") from None
    with file:
        yield file


@contextmanager
def progress_of(name: str) -> Iterator[tuple[Console, Advance]]:
    """Show a bar on standard error while there is a person to see it; give where to print, and what moves it."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        yield console, lambda samples, total: progress.update(task, advance=samples, total=total)


class WavPipe:
    """Writes 16-bit wave to a file that cannot go back, where libsndfile does not.

    Parameters
    ----------
    file : binary file
        Where to.
    sample_rate, channels : int
        Format.
    samples : int or None
        Samples a channel; None, or too many for the format, declares as most programs do that the length is not known.
    """

    def __init__(self, file: BinaryIO, sample_rate: int, channels: int, samples: int | None) -> None:
        self._file = file
        width = 2 * channels
        size = MOST_WAV_BYTES if samples is None else min(samples * width, MOST_WAV_BYTES)
        chunk = struct.pack("<IHHIIHH", 16, 1, channels, sample_rate, sample_rate * width, width, 16)
        file.write(b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + chunk + b"data" + struct.pack("<I", size))

    def write(self, block: Frames) -> None:
        """Append a block (n, channels) within full scale."""
        self._file.write(np.clip(np.rint(block * 32768.0), -32768, 32767).astype("<i2").tobytes())


@contextmanager
def open_sound(target: str, sample_rate: int, channels: int, samples: int | None) -> Iterator[AudioWriter | WavPipe]:
    """Give a writer of a sound file whose suffix decides the format; or of wave on standard output.

    Raises
    ------
    AudioFileError
        If it cannot be written.
    """
    if target == PIPE:
        with open_output(target) as file:
            yield WavPipe(file, sample_rate, channels, samples)
        return
    container, subtype = output_format(target, MADE)
    with AudioWriter(target, sample_rate=sample_rate, channels=channels, format=container, subtype=subtype) as writer:
        yield writer
