"""Measures as data: JSON for programs, CSV for a spreadsheet, and numbers in words for people."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import rtae
from rtae.analysis.measures import MEASURES
from rtae.analysis.recording import Analysis
from rtae.analysis.spectrogram import mel_bands
from rtae.atomic import AtomicFile
from rtae.errors import AudioFileError

SUMMARY = {
    "duration_s": ("length", "{:.2f} s"),
    "peak_db": ("peak", "{:.1f} dBFS"),
    "rms_db": ("mean level (RMS)", "{:.1f} dBFS"),
    "crest_db": ("peak above mean (crest)", "{:.1f} dB"),
    "floor_db": ("quietest tenth is below", "{:.1f} dBFS"),
    "loud_db": ("loudest twentieth is above", "{:.1f} dBFS"),
    "centroid_hz": ("brightness (centroid)", "{:.0f} Hz"),
    "bandwidth_hz": ("spread around it (bandwidth)", "{:.0f} Hz"),
    "rolloff_hz": ("85 % of the spectrum is below", "{:.0f} Hz"),
    "zero_crossing_rate": ("sign changes a sample", "{:.3f}"),
}
"""Each number of a summary: what it is called, and how it is written."""


def summary_rows(analyses: Sequence[Analysis], *, compare: bool = False) -> list[list[str]]:
    """Return a row for each number: its name, its value in each recording, and with ``compare`` the change."""
    rows = []
    for key, (label, form) in SUMMARY.items():
        values = [analysis.summary[key] for analysis in analyses]
        row = [label, *(form.format(value) for value in values)]
        if compare:
            # The difference of two levels is in dB, without a full scale.
            row.append(form.replace("{:", "{:+").replace("dBFS", "dB").format(values[1] - values[0]))
        rows.append(row)
    return rows


def write_json(path: Path, analyses: Sequence[Analysis]) -> None:
    """Write every measure of every frame, with the framing that gives it its time.

    Raises
    ------
    AudioFileError
        If the file cannot be written; nothing of it is left then.
    """

    def write(file: TextIO) -> None:
        file.write(f'{{"rtae": {json.dumps(rtae.__version__)}, "files": [')
        for number, analysis in enumerate(analyses):
            file.write(",\n" if number else "\n")
            file.write(json.dumps(_facts(analysis))[:-1] + ', "measures": {')
            for index, name in enumerate(MEASURES):
                channels = [[_short(value) for value in channel] for channel in analysis.values[name].T.tolist()]
                file.write(f"{', ' if index else ''}{json.dumps(name)}: {json.dumps(channels)}")
            file.write("}}")
        file.write("\n]}\n")

    write_text(path, write)


def write_csv(path: Path, analyses: Sequence[Analysis]) -> None:
    """Write a line for each frame of each channel.

    Raises
    ------
    AudioFileError
        If the file cannot be written; nothing of it is left then.
    """

    def write(file: TextIO) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "channel", "time_s", *MEASURES])
        for analysis in analyses:
            times = [f"{time:.6f}" for time in analysis.times_s.tolist()]
            for channel in range(analysis.channels):
                columns = [analysis.values[name][:, channel].tolist() for name in MEASURES]
                for time, *values in zip(times, *columns, strict=True):
                    writer.writerow([analysis.path, channel + 1, time, *(_short(value) for value in values)])

    write_text(path, write)


def _facts(analysis: Analysis) -> dict[str, Any]:
    framing = analysis.framing
    return {
        "file": analysis.path,
        "sample_rate": analysis.sample_rate,
        "channels": analysis.channels,
        "samples": analysis.samples,
        "framing": {
            "frame_samples": framing.frame,
            "hop_samples": framing.hop,
            "frames": len(analysis.times_s),
            "first_centre_s": 0.0,
            "mel_bands": mel_bands(framing),
        },
        "summary": analysis.summary,
    }


def _short(value: float) -> float:
    return float(f"{value:.7g}")  # float32 has no more


def write_text(path: Path, write: Callable[[TextIO], object]) -> None:
    """Let ``write`` fill a text file that appears when it is whole.

    Raises
    ------
    AudioFileError
        If the file cannot be written; nothing of it is left then.
    """
    try:
        with AtomicFile(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            write(file)
    except OSError as error:
        raise AudioFileError(f"cannot write '{path}': {error.strerror}") from None
