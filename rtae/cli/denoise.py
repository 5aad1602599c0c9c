"""``rtae denoise``: remove the noise from sound files."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from rtae.audio import AudioReader, AudioWriter, output_format
from rtae.cli import message
from rtae.denoise import Denoiser
from rtae.errors import AudioFileError, ParameterError, RtaeError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "inputs", nargs="+", metavar="IN", help="sound file: wav, flac, ogg, opus, mp3, ...; or a folder of them"
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="file to write, or folder: one IN keeps its name in an existing folder or one written with a final slash, "
        "several always do; the suffix decides the format",
    )
    parser.add_argument(
        "-m", "--model", default="denoise", metavar="NAME", help="shipped model or model file (%(default)s)"
    )
    parser.add_argument(
        "--attenuation-limit",
        type=float,
        metavar="DB",
        help="take away at most this many decibels; leaves some of the noise, keeps more of the speech",
    )
    parser.add_argument("--force", action="store_true", help="replace existing outputs")
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="work on N files at once, into a folder; what its manifest says is done is skipped",
    )
    parser.add_argument("--dask", metavar="ADDRESS", help="work on the cluster of this dask scheduler, as with --jobs")


def run(arguments: argparse.Namespace) -> int:
    """Denoise every input; one that fails does not stop the others."""

    def open_denoiser(sample_rate: int, channels: int) -> Denoiser:
        return Denoiser(
            arguments.model,
            sample_rate=sample_rate,
            channels=channels,
            attenuation_limit_db=arguments.attenuation_limit,
        )

    if arguments.jobs is not None and arguments.jobs < 1:
        raise ParameterError(f"--jobs is {arguments.jobs}; it must be at least 1")
    inputs = [Path(name) for name in arguments.inputs]
    many = arguments.jobs is not None or arguments.dask is not None or any(path.is_dir() for path in inputs)
    jobs, folder = _plan(_expand(inputs, Path(arguments.output)), arguments.output, into_folder=many)
    open_denoiser(48_000, 1)  # a model that cannot be used is one error, not one a file
    if folder is not None:
        _make_folder(folder)
    if folder is not None and many:
        from rtae.cli.batch import run_batch

        return run_batch(
            jobs,
            folder,
            model=arguments.model,
            attenuation_limit_db=arguments.attenuation_limit,
            force=arguments.force,
            jobs=arguments.jobs or 1,
            dask=arguments.dask,
        )
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    done, seconds, start = 0, 0.0, time.perf_counter()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        for number, (source, target) in enumerate(jobs, 1):
            task = progress.add_task(f"{source.name} ({number} of {len(jobs)})", total=None)
            advance = _advance(progress, task)
            try:
                seconds += denoise_file(source, target, open_denoiser, force=arguments.force, advance=advance)
                done += 1
            except RtaeError as error:
                console.print(message(error))
            progress.remove_task(task)
    if done:
        elapsed = time.perf_counter() - start
        files = "1 file" if done == 1 else f"{done} files"
        print(f"{files}, {seconds:.1f} s of audio in {elapsed:.1f} s ({seconds / elapsed:.0f} times real time)")
    failed = len(jobs) - done
    if failed and len(jobs) > 1:
        console.print(f"rtae: {failed} of {len(jobs)} files failed")
    return 0 if not failed else 1 if done else 2


def denoise_file(
    source: Path,
    target: Path,
    open_denoiser: Callable[[int, int], Denoiser],
    *,
    force: bool,
    advance: Callable[[int, int | None], None],
) -> float:
    """Denoise one file in constant memory; the output has the input's length and is aligned with it.

    Parameters
    ----------
    source, target : Path
        The files.
    open_denoiser : callable
        Makes a denoiser for a sample rate and a number of channels.
    force : bool
        Replace an existing target.
    advance : callable
        Called with the samples of each block done, and the number of all samples if the file knows it.

    Returns
    -------
    float
        Seconds of audio.

    Raises
    ------
    AudioFileError
        If the source cannot be read, has a sample rate the denoiser does not take, or the target cannot be written.
    """
    if target.exists() and not force:
        raise AudioFileError(f"'{target}' exists and was kept; add --force to replace it")
    with AudioReader(source) as reader:
        container, subtype = output_format(target, reader)
        try:
            denoiser = open_denoiser(reader.sample_rate, reader.channels)
        except ParameterError as error:
            raise AudioFileError(f"cannot denoise '{source}': {error}") from None
        late, samples = denoiser.delay, 0
        with AudioWriter(
            target, sample_rate=reader.sample_rate, channels=reader.channels, format=container, subtype=subtype
        ) as writer:
            for block in reader.blocks():
                clean = denoiser.process(block)[late:]
                late = max(late - len(block), 0)
                writer.write(clean)
                samples += len(block)
                advance(len(block), reader.frames)
            writer.write(denoiser.flush()[late:])
    return samples / reader.sample_rate


def _advance(progress: Progress, task: TaskID) -> Callable[[int, int | None], None]:
    return lambda samples, total: progress.update(task, advance=samples, total=total)


def _expand(inputs: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """Return every input file, and its name below an output folder; of a folder, all sound files in it."""
    files = []
    for path in inputs:
        if path.is_dir():
            from rtae.cli.batch import sound_files

            files += [(file, file.relative_to(path)) for file in sound_files(path, without=output)]
        else:
            files.append((path, Path(path.name)))
    return files


def _plan(
    files: Sequence[tuple[Path, Path]], output: str, *, into_folder: bool
) -> tuple[list[tuple[Path, Path]], Path | None]:
    """Pair every input with its output; the folder they go to, if they do.

    Refuses what would overwrite an input or another output.
    """
    folder = None
    if into_folder or len(files) > 1 or Path(output).is_dir() or output.endswith(("/", os.sep)):
        folder = Path(output)
    jobs = [(source, folder / name if folder else Path(output)) for source, name in files]
    identities = {_identity(source): source for source, _ in files}
    taken: dict[Path, Path] = {}
    for source, target in jobs:
        overwritten = identities.get(_identity(target))
        if overwritten is not None:
            raise ParameterError(f"output '{target}' would replace the input '{overwritten}'; choose another output")
        if target in taken:
            raise ParameterError(f"'{taken[target]}' and '{source}' would both be written to '{target}'")
        taken[target] = source
    return jobs, folder


def _identity(path: Path) -> tuple[int, int] | Path:
    try:
        status = path.stat()
    except OSError:
        return path.absolute()
    return status.st_dev, status.st_ino


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioFileError(f"cannot make the folder '{folder}': {error.strerror}") from None
