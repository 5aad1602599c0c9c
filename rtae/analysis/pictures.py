"""Pictures of an analysis, drawn on a matplotlib figure: the time line, the wavelets, two versions compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtae.analysis.recording import Analysis
from rtae.analysis.scalogram import VOICES, scalogram
from rtae.analysis.spectrogram import level_db, mel_bands, mel_spectrogram
from rtae.atomic import AtomicFile
from rtae.errors import AudioFileError, MissingDependencyError
from rtae.mel import hz_to_mel
from rtae.page import COLOURS

TIMELINE_SIZE, SCALOGRAM_SIZE, COMPARISON_SIZE = (11.0, 13.0), (11.0, 4.5), (11.0, 11.0)
"""Width and height of each picture in inches."""

RANGE_DB, WAVELETS_RANGE_DB = 80.0, 60.0
"""Levels this far below the loudest are black, in spectrograms and in scalograms."""

FAINTEST_TOP_DB = -60.0
"""The brightest colour is never of a lower level than this: silence is black."""

_MARKS_HZ = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
_CHANGE_DB = 30.0
_MOST_POINTS = 2000


def draw_timeline(figure: Any, analysis: Analysis, top_db: tuple[float, float] | None = None) -> tuple[float, float]:
    """Draw waveform, levels, both spectrograms and the spectral measures one below the other over one time axis.

    Parameters
    ----------
    figure : Figure or SubFigure
    analysis : Analysis
    top_db : tuple of float, optional
        Levels of the brightest colour of the two spectrograms, to give two pictures one scale.

    Returns
    -------
    tuple of float
        Where the time axis begins and ends, as shares of the figure's width.
    """
    framing, power = analysis.framing, analysis.spectrogram.power()
    tops = top_db or tops_db(analysis)
    end = analysis.samples / analysis.sample_rate
    axes = figure.subplots(5, 1, sharex=True, height_ratios=(2, 3, 3, 2, 1.3))
    for axis in axes[1:3]:
        axis.grid(False)
    times, values = _thinned(analysis)
    envelope, rms = values["envelope"], values["rms"]
    axes[0].fill_between(times, -envelope, envelope, color=COLOURS[0], alpha=0.45, linewidth=0, label="peaks")
    axes[0].fill_between(times, -rms, rms, color=COLOURS[0], linewidth=0, label="RMS")
    axes[0].set_ylabel("amplitude")
    axes[0].set_ylim(*(np.array([-1.05, 1.05]) * (float(envelope.max()) or 1.0)))
    columns = _columns_s(analysis)
    extent = (*columns, 0.0, analysis.sample_rate / 2e3)
    image = axes[1].imshow(
        level_db(power, framing).T, origin="lower", aspect="auto", extent=extent, cmap="magma",
        vmin=tops[0] - RANGE_DB, vmax=tops[0], interpolation="nearest",
    )  # fmt: skip
    axes[1].set_ylabel("spectrogram, kHz")
    figure.colorbar(image, ax=axes[1], label="dBFS of a tone", pad=0.01)
    bands = mel_bands(framing)
    mel = level_db(mel_spectrogram(power, framing), framing, bands=True)
    image = axes[2].imshow(
        mel.T, origin="lower", aspect="auto", extent=(*columns, 0.5, bands + 0.5), cmap="magma",
        vmin=tops[1] - RANGE_DB, vmax=tops[1], interpolation="nearest",
    )  # fmt: skip
    marks = [mark for mark in _MARKS_HZ if 100 < mark < analysis.sample_rate / 2]
    places = hz_to_mel(marks) / hz_to_mel(analysis.sample_rate / 2) * (bands + 1)
    axes[2].set_yticks(places, [_hz(mark) for mark in marks])
    axes[2].set_ylabel(f"{bands} mel bands, Hz")
    figure.colorbar(image, ax=axes[2], label="dB of noise", pad=0.01)
    centroid, spread = values["centroid_hz"] / 1e3, values["bandwidth_hz"] / 1e3
    axes[3].fill_between(times, np.maximum(centroid - spread, 0), centroid + spread, color=COLOURS[2], alpha=0.2,
                         linewidth=0, label="± bandwidth")  # fmt: skip
    axes[3].plot(times, centroid, color=COLOURS[2], linewidth=1, label="centroid")
    axes[3].plot(times, values["rolloff_hz"] / 1e3, color=COLOURS[1], linewidth=1, label="roll-off")
    axes[3].set_ylabel("kHz")
    axes[3].set_ylim(0, analysis.sample_rate / 2e3)
    axes[4].plot(times, values["zero_crossing_rate"], color=COLOURS[3], linewidth=1, label="zero-crossing rate")
    axes[4].set_ylabel("a sample")
    axes[4].set_ylim(0, None)
    for axis in (axes[0], *axes[3:]):
        _legend(axis)
    axes[4].set_xlim(0, end)
    _time_axis(axes[4], end)
    figure.get_figure(root=True).draw_without_rendering()
    box = axes[4].get_position()
    return float(box.x0), float(box.x1)


def draw_scalogram(figure: Any, analysis: Analysis) -> None:
    """Draw the wavelet scalogram of the section, on a logarithmic frequency axis.

    Raises
    ------
    MissingDependencyError
        If PyWavelets is not installed.
    """
    found = scalogram(analysis.section, analysis.sample_rate)
    axis = figure.subplots()
    axis.grid(False)
    start = analysis.section_start / analysis.sample_rate
    level = 20.0 * np.log10(np.maximum(found.amplitude, 1e-7))
    top = max(float(level.max()), FAINTEST_TOP_DB)
    rows = len(found.frequencies_hz)
    image = axis.imshow(
        level, origin="lower", aspect="auto", cmap="magma", vmin=top - WAVELETS_RANGE_DB, vmax=top,
        interpolation="nearest", extent=(start, start + len(analysis.section) / analysis.sample_rate, -0.5, rows - 0.5),
    )  # fmt: skip
    lowest, highest = found.frequencies_hz[0], found.frequencies_hz[-1]
    marks = [mark for mark in _MARKS_HZ if lowest <= mark <= highest]
    axis.set_yticks([VOICES * float(np.log2(mark / lowest)) for mark in marks], [_hz(mark) for mark in marks])
    axis.set_ylabel("Hz")
    _time_axis(axis, analysis.samples / analysis.sample_rate)
    figure.colorbar(image, ax=axis, label="dBFS of a tone", pad=0.01)


def draw_comparison(figure: Any, before: Analysis, after: Analysis) -> None:
    """Draw levels over time, mean spectra, and where on the spectrogram the second version is louder or softer."""
    levels, spectra, change = figure.subplots(3, 1, height_ratios=(2, 2, 3))
    framing = before.framing
    mean = []
    for name, colour, analysis in (("before", COLOURS[1], before), ("after", COLOURS[0], after)):
        times, values = _thinned(analysis)
        level = 20.0 * np.log10(np.maximum(values["rms"], 1e-7))
        levels.plot(times, level, color=colour, linewidth=1, label=name)
        mean.append(analysis.spectrogram.power().mean(axis=0))
        spectra.plot(framing.frequencies_hz()[1:], level_db(mean[-1], framing)[1:], color=colour, label=name)
    levels.set_ylabel("RMS level, dBFS")
    end = before.samples / before.sample_rate
    levels.set_xlim(0, end)
    _time_axis(levels, end)
    spectra.set_xscale("log")
    lowest = max(30.0, framing.sample_rate / framing.frame)
    spectra.set_xlim(lowest, before.sample_rate / 2)
    marks = [mark for mark in _MARKS_HZ if lowest <= mark <= before.sample_rate / 2]
    spectra.set_xticks(marks, [_hz(mark) for mark in marks], minor=False)
    spectra.set_xticks([], minor=True)
    spectra.set_xlabel("frequency, Hz")
    spectra.set_ylabel("mean spectrum, dBFS")
    for axis in (levels, spectra):
        _legend(axis)
    floor = 10.0 ** (-RANGE_DB / 10.0) * max(float(before.spectrogram.power().max()), 1e-20)
    # Below the floor nothing is heard: what changes there is no change.
    powers = [np.maximum(analysis.spectrogram.power(), floor) for analysis in (before, after)]
    image = change.imshow(
        10.0 * np.log10(powers[1] / powers[0]).T, origin="lower", aspect="auto", cmap="RdBu_r",
        extent=(*_columns_s(before), 0.0, before.sample_rate / 2e3), vmin=-_CHANGE_DB, vmax=_CHANGE_DB,
        interpolation="nearest",
    )  # fmt: skip
    change.grid(False)
    change.set_xlim(0, end)
    change.set_ylabel("kHz")
    _time_axis(change, end)
    figure.colorbar(image, ax=change, label="softer  <  change, dB  >  louder", pad=0.01)


def tops_db(analysis: Analysis) -> tuple[float, float]:
    """Return the loudest levels of the spectrogram and of its mel bands, in dB, for the colours."""
    framing, power = analysis.framing, analysis.spectrogram.power()
    mel = mel_spectrogram(power, framing)
    levels = (level_db(power, framing), level_db(mel, framing, bands=True))
    tone, noise = (max(float(level.max()), FAINTEST_TOP_DB) for level in levels)
    return tone, noise


def write_png(path: str | os.PathLike[str], analyses: Sequence[Analysis], *, compare: bool) -> None:
    """Write one picture: time line and scalogram of each recording, then with ``compare`` the comparison.

    Raises
    ------
    AudioFileError
        If the file cannot be written.
    MissingDependencyError
        If matplotlib or PyWavelets is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError("no picture without matplotlib; run pip install 'rtae[analysis]'") from None
    heights = [TIMELINE_SIZE[1], SCALOGRAM_SIZE[1]] * len(analyses) + [COMPARISON_SIZE[1]] * compare
    figure = Figure(figsize=(TIMELINE_SIZE[0], sum(heights)), layout="constrained")
    parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
    for index, analysis in enumerate(analyses):
        parts[2 * index].suptitle(analysis.path)
        draw_timeline(parts[2 * index], analysis, tops_db(analyses[0]) if compare else None)
        parts[2 * index + 1].suptitle(f"{analysis.path}: wavelets of its loudest part")
        draw_scalogram(parts[2 * index + 1], analysis)
    if compare:
        parts[-1].suptitle("before and after")
        draw_comparison(parts[-1], analyses[0], analyses[1])
    try:
        with AtomicFile(path) as temporary:
            figure.savefig(temporary, format="png", dpi=100)
    except OSError as error:
        raise AudioFileError(f"cannot write '{os.fspath(path)}': {error.strerror}") from None


def _thinned(analysis: Analysis) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return times and measures, of the channels together, of as many frames as can be told apart.

    The envelope keeps its highest peaks, the RMS level its power; the others are means weighted by power.
    """
    frames = len(analysis.times_s)
    step = -(-frames // _MOST_POINTS)
    starts = np.arange(0, frames, step)
    power = np.square(analysis.values["rms"], dtype=np.float64)
    total = np.add.reduceat(power.sum(axis=1), starts)
    counts = np.diff(np.append(starts, frames))
    thinned = {
        "envelope": np.maximum.reduceat(analysis.values["envelope"].max(axis=1).astype(np.float64), starts),
        "rms": np.sqrt(total / (counts * analysis.channels)),
    }
    for name in ("zero_crossing_rate", "centroid_hz", "bandwidth_hz", "rolloff_hz"):
        weighted = np.add.reduceat((power * analysis.values[name]).sum(axis=1), starts)
        thinned[name] = weighted / np.maximum(total, 1e-300)
    return analysis.times_s[starts], thinned


def _columns_s(analysis: Analysis) -> tuple[float, float]:
    """Return where the first column of the spectrogram begins and the last one ends: half a hop before its centre."""
    half = analysis.framing.hop / analysis.sample_rate / 2
    return -half, len(analysis.spectrogram.power()) * analysis.spectrogram.column_s - half


def _legend(axis: Any) -> None:
    """Name the lines above the axes, where none of them is covered."""
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1, ncols=3, fontsize=10, frameon=False)


def _time_axis(axis: Any, end_s: float) -> None:
    if end_s <= 120.0:
        axis.set_xlabel("time, s")
        return
    axis.set_xlabel("time, h:min:s" if end_s > 3600.0 else "time, min:s")
    axis.xaxis.set_major_formatter(lambda value, position: clock(value, hours=end_s > 3600.0))


def clock(seconds: float, *, hours: bool) -> str:
    """Return a time as ``min:s``, or as ``h:min:s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _hz(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
