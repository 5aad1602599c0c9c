"""``rtae demo``: play a noisy recording through the live engine and show what came of it."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from rtae.audio import AudioReader, AudioWriter
from rtae.cli import message
from rtae.cli.spectrogram import save_spectrograms
from rtae.errors import AudioFileError, DeviceError, MissingDependencyError
from rtae.lag import cross_correlation
from rtae.live import FileBackend, Latency, LiveStream, Stats
from rtae.shipped import load
from rtae.spec import ModelSpec

Audio = NDArray[np.float32]

RECORDING = "noisy.opus"
PAUSES_S = ((0.0, 1.0), (5.75, 6.25), (10.8, 11.4))
"""Where nobody speaks in the recording, see ``rtae/assets/README.md``."""

LATENCY = "safe"
"""Latency setting of the stream: the sound should show the model, not how busy the machine is."""

_QUIETEST = 1e-12  # power of -120 dBFS: digital silence has a level, too
_COUNTED = (
    "late",
    "recovered",
    "xrun",
    "ended",
)  # kinds of events that the table has as a number, or that are normal here
_POLL_S = 0.05


@dataclass(frozen=True)
class Played:
    """One run of the live engine.

    Attributes
    ----------
    before, after : ndarray, shape (samples, channels)
        What went in and what came out, aligned by the declared latency.
    delay : int
        Samples between both as they were played, measured by correlation.
    latency : Latency
        What the stream declared.
    stats : Stats
        What the stream counted.
    told : tuple of str
        What the stream told besides, for instance that it stepped down to a lighter model.
    """

    before: Audio
    after: Audio
    delay: int
    latency: Latency
    stats: Stats
    told: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("-m", "--model", default="denoise", metavar="NAME", help="model name or file (%(default)s)")
    parser.add_argument("-o", "--output", default="demo", metavar="DIR", help="folder for the results (%(default)s/)")
    parser.add_argument("--fast", action="store_true", help="as fast as the machine can, instead of in real time")


def run(arguments: argparse.Namespace) -> int:
    """Play, write the results, print the table."""
    spec = load(arguments.model).spec
    folder = Path(arguments.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioFileError(f"cannot make the folder '{folder}': {error.strerror}") from None
    console = Console(highlight=False)
    with as_file(files("rtae") / "assets" / RECORDING) as path, AudioReader(path) as reader:
        rate, recording = reader.sample_rate, np.concatenate(list(reader.blocks()))
    played = play(arguments.model, recording, rate, fast=arguments.fast, console=console)

    written = [folder / "before.wav", folder / "after.wav"]
    for target, audio in zip(written, (played.before, played.after), strict=True):
        with AudioWriter(target, sample_rate=rate, channels=audio.shape[1], format="WAV", subtype="PCM_16") as writer:
            writer.write(audio)
    try:
        picture = folder / "spectrogram.png"
        save_spectrograms(picture, {"before": played.before[:, 0], "after": played.after[:, 0]}, rate)
        written.append(picture)
    except MissingDependencyError as error:
        print(message(error))
    console.print(_table(spec, played, fast=arguments.fast))
    for line in played.told:
        print("engine:", line)
    print("written:", ", ".join(map(str, written)))
    return 0


def play(model: str, recording: Audio, sample_rate: int, *, fast: bool, console: Console) -> Played:
    """Play a recording of shape ``(samples, channels)`` through the live engine.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If the model cannot be used.
    DeviceError
        If the stream ended before the recording did.
    """
    blocks: list[Audio] = []
    backend = FileBackend(recording, sample_rate, realtime=not fast, sink=lambda block: blocks.append(block.copy()))
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.1f} of {task.total:.1f} s"))
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        LiveStream(model, channels=recording.shape[1], latency=LATENCY, backend=backend) as stream,
    ):
        task = progress.add_task("playing", total=len(recording) / sample_rate)
        while stream.active:
            time.sleep(_POLL_S)
            progress.update(task, completed=len(blocks) * stream.block_size / sample_rate)
        stats, latency = stream.stats, stream.latency
        events = stream.events()
    output = np.concatenate(blocks) if blocks else recording[:0]
    if len(output) < len(recording) + latency.engine:
        reason = " ".join(event.message for event in events)
        raise DeviceError(f"the stream stopped after {len(output)} of {len(recording)} samples: {reason}")
    aligned = output[latency.engine :][: len(recording)]
    delay = int(cross_correlation(recording[:, 0], output[:, 0], 0, sample_rate).argmax())
    told = tuple(event.message for event in events if event.kind not in _COUNTED)
    return Played(recording, aligned, delay, latency, stats, told)


def noise_levels_db(before: Audio, after: Audio, sample_rate: int) -> tuple[float, float]:
    """Return the levels before and after in the recording's pauses, in dBFS."""
    spans = [slice(round(start * sample_rate), round(end * sample_rate)) for start, end in PAUSES_S]
    powers = (np.mean(np.concatenate([audio[span] for span in spans]) ** 2) for audio in (before, after))
    first, second = (float(10.0 * np.log10(max(power, _QUIETEST))) for power in powers)
    return first, second


def _table(spec: ModelSpec, played: Played, *, fast: bool) -> Table:
    stats, rate = played.stats, played.latency.sample_rate
    level_in, level_out = noise_levels_db(played.before, played.after, rate)
    seconds = len(played.before) / rate
    table = Table(
        show_header=False, title=f"{spec.name}: {seconds:.1f} s {'at full speed' if fast else 'in real time'}"
    )
    table.add_row("algorithmic latency", f"{spec.algorithmic_latency_ms:.2f} ms")
    measured, declared = (1e3 * samples / rate for samples in (played.delay, played.latency.engine))
    table.add_row("end-to-end delay", f"{measured:.2f} ms measured, {declared:.2f} ms declared (latency {LATENCY})")
    table.add_row("time a hop", f"p50 {stats.hop_p50_ms:.2f} ms, p99 {stats.hop_p99_ms:.2f} ms of {spec.hop_ms:.2f} ms")
    table.add_row("load", f"{100 * stats.load:.1f} % of one core")
    late = (
        f"{stats.late} of {stats.blocks} blocks{', played as they came in' if stats.late else ''}; {stats.xruns} xruns"
    )
    table.add_row("late", "cannot be: the clock waits" if fast else late)
    table.add_row(
        "noise reduction", f"{level_in - level_out:.1f} dB in the pauses ({level_in:.1f} to {level_out:.1f} dBFS)"
    )
    return table
