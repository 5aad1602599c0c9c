"""A sound file measured as a whole, in bounded memory: :func:`analyze`."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtae.analysis.framing import Framing, finite
from rtae.analysis.measures import MEASURES, Meter
from rtae.analysis.spectrogram import Spectrogram
from rtae.audio import AudioReader
from rtae.errors import AudioFileError, ParameterError

SECTION_S = 6.0
"""Length of the part of a recording that is looked at through wavelets: its loudest."""

QUIETEST_DB = -140.0

_FLOOR_SHARE = 10  # per cent of the frames that are the quietest


@dataclass(frozen=True)
class Analysis:
    """What was measured in a sound file.

    Attributes
    ----------
    path : str
        The file.
    sample_rate, channels, samples : int
        Hertz, channels, samples a channel.
    framing : Framing
        The frames of ``values`` and ``spectrogram``.
    values : dict of ndarray
        Each of :data:`rtae.analysis.MEASURES`, float32 of shape (frames, channels), see
        :class:`rtae.analysis.Measured`.
    spectrogram : Spectrogram
        Power over time and frequency, mean of the channels.
    summary : dict of float
        ``duration_s``; ``peak_db`` and ``rms_db`` of all samples, in dBFS (0 is an amplitude of 1); ``crest_db``, their
        difference; ``floor_db`` and ``loud_db``, the levels that 10 and 95 % of the frames are below;
        ``centroid_hz``, ``bandwidth_hz`` and ``rolloff_hz``, their means weighted by the frames' power;
        ``zero_crossing_rate``, its mean.
    section : ndarray
        The part for the scalogram, float32 of shape (samples,): the loudest :data:`SECTION_S` seconds of the loudest
        channel, or all of it.
    section_start : int
        Its first sample.
    """

    path: str
    sample_rate: int
    channels: int
    samples: int
    framing: Framing
    values: dict[str, NDArray[np.float32]]
    spectrogram: Spectrogram
    summary: dict[str, float]
    section: NDArray[np.float32]
    section_start: int

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Centres of the frames of ``values``, in seconds."""
        return self.framing.times_s(len(self.values["rms"]))


def analyze(path: str | os.PathLike[str], *, section_start: int | None = None) -> Analysis:
    """Measure a sound file, reading it twice in blocks.

    What grows with the file is ``values``: 24 bytes a frame and channel, 8 MB a channel and hour at 48 kHz.

    Parameters
    ----------
    path : path-like
        The file.
    section_start : int, optional
        First sample of the section, to look at two files in the same place; by default where it is loudest.

    Raises
    ------
    AudioFileError
        If it cannot be read, is damaged or holds no samples.
    """
    with AudioReader(path) as reader:
        meter = Meter(reader.sample_rate, reader.channels)
        spectrogram = Spectrogram(meter.framing)
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in MEASURES}
        samples, peak, energy = 0, 0.0, np.zeros(reader.channels)
        for block in reader.blocks(_block_size(reader.channels)):
            samples += len(block)
            audio = finite(block)
            peak = max(peak, float(np.abs(audio).max()))
            energy += np.square(audio, dtype=np.float64).sum(axis=0)
            for measured in meter.process(block):
                spectrogram.add(measured)
                for name, value in measured.values.items():
                    parts[name].append(value)
        if not samples:
            raise AudioFileError(f"cannot analyze '{reader.path}': it holds no audio (0 samples)")
        for measured in meter.flush():
            spectrogram.add(measured)
            for name, value in measured.values.items():
                parts[name].append(value)
    values = {name: np.concatenate(parts.pop(name)) for name in MEASURES}
    framing = meter.framing
    if section_start is None:
        section_start = _loudest(values["rms"], framing, samples)
    section = _section(path, section_start, int(energy.argmax()))
    summary = _summary(values, samples / framing.sample_rate, peak, float(energy.sum()) / (samples * len(energy)))
    return Analysis(
        os.fspath(path), framing.sample_rate, len(energy), samples, framing, values, spectrogram, summary,
        section, section_start,
    )  # fmt: skip


def compared(before: str | os.PathLike[str], after: str | os.PathLike[str]) -> tuple[Analysis, Analysis]:
    """Measure two versions of a recording; the section of the second is where that of the first is.

    Raises
    ------
    AudioFileError
        If one cannot be read.
    ParameterError
        If they differ in sample rate, channels or length.
    """
    first = analyze(before)
    second = analyze(after, section_start=first.section_start)
    for name in ("sample_rate", "channels", "samples"):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            raise ParameterError(
                f"'{first.path}' has {name} {one} and '{second.path}' {other}; only versions of one recording, of the "
                "same rate, channels and length, can be compared"
            )
    return first, second


def decibels(power: float) -> float:
    """Return a mean square in dBFS, at least :data:`QUIETEST_DB`."""
    return float(10.0 * np.log10(max(power, 10.0 ** (QUIETEST_DB / 10.0))))


def _block_size(channels: int) -> int:
    """Return a block that takes some megabytes, whatever the number of channels."""
    return max(1024, (1 << 18) // channels)


def _loudest(rms: NDArray[np.float32], framing: Framing, samples: int) -> int:
    """Return the first sample of the loudest section."""
    frames = round(SECTION_S * framing.sample_rate / framing.hop)
    if len(rms) <= frames:
        return 0
    total = np.concatenate([[0.0], np.cumsum(np.square(rms, dtype=np.float64).sum(axis=1))])
    start = int(np.argmax(total[frames:] - total[:-frames])) * framing.hop
    return max(0, min(start, samples - round(SECTION_S * framing.sample_rate)))


def _section(path: str | os.PathLike[str], start: int, channel: int) -> NDArray[np.float32]:
    seen, found = 0, []
    with AudioReader(path) as reader:
        stop = start + round(SECTION_S * reader.sample_rate)
        for block in reader.blocks(_block_size(reader.channels)):
            found.append(finite(block[max(0, start - seen) : max(0, stop - seen), channel]))
            seen += len(block)
            if seen >= stop:
                break
    return np.concatenate(found)


def _summary(
    values: dict[str, NDArray[np.float32]], duration_s: float, peak: float, mean_square: float
) -> dict[str, float]:
    power = np.square(values["rms"], dtype=np.float64)
    levels = [decibels(value) for value in np.percentile(power.mean(axis=1), (_FLOOR_SHARE, 95))]
    weights = power / max(power.sum(), 1e-300)
    summary = {
        "duration_s": duration_s,
        "peak_db": decibels(peak**2),
        "rms_db": decibels(mean_square),
        "crest_db": decibels(peak**2) - decibels(mean_square),
        "floor_db": levels[0],
        "loud_db": levels[1],
    }
    for name in ("centroid_hz", "bandwidth_hz", "rolloff_hz"):
        summary[name] = float((weights * values[name]).sum())
    return summary | {"zero_crossing_rate": float(values["zero_crossing_rate"].mean())}
