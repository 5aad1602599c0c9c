"""Spectrograms: of a whole recording in bounded memory (:class:`Spectrogram`), and on the mel scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtae.analysis.framing import Framing
from rtae.analysis.measures import Measured
from rtae.mel import mel_filters

MOST_COLUMNS = 2048
"""Columns a spectrogram may have, more than a page has pixels."""

MOST_BANDS = 128

Power = NDArray[np.float32]


class Spectrogram:
    """The power spectrogram of a stream, its frames averaged so that it never has more than so many columns.

    Each column is the mean power of ``frames_per_column`` successive frames (the last one of those there are) and of
    all channels. That number doubles whenever the columns would be too many; up to ``most_columns`` frames it is 1.

    Parameters
    ----------
    framing : Framing
        The frames.
    most_columns : int, optional
        Bound on the columns, even.

    Attributes
    ----------
    framing : Framing
        As given.
    frames_per_column : int
        Frames averaged in a column so far.
    """

    def __init__(self, framing: Framing, most_columns: int = MOST_COLUMNS) -> None:
        self.framing = framing
        self.frames_per_column: int = 1
        self._sums = np.zeros((most_columns, framing.bins), np.float64)
        self._frames = 0

    def add(self, measured: Measured) -> None:
        """Take the next frames."""
        power = np.square(np.abs(measured.spectrum)).mean(axis=1)
        while self._frames + len(power) > len(self._sums) * self.frames_per_column:
            half = self._sums[0::2] + self._sums[1::2]
            self._sums[: len(half)], self._sums[len(half) :] = half, 0.0
            self.frames_per_column *= 2
        columns = (self._frames + np.arange(len(power))) // self.frames_per_column
        np.add.at(self._sums, columns, power)
        self._frames += len(power)

    @property
    def column_s(self) -> float:
        """Seconds from one column to the next."""
        return self.frames_per_column * self.framing.hop / self.framing.sample_rate

    def power(self) -> Power:
        """Return the mean power, float32 of shape (columns, bins), in the units of the transform squared."""
        starts = np.arange(0, self._frames, self.frames_per_column)
        counts = np.minimum(self.frames_per_column, self._frames - starts)
        return np.asarray(self._sums[: len(starts)] / counts[:, np.newaxis], np.float32)


def mel_bands(framing: Framing) -> int:
    """Return the mel bands used with a framing: as many as its frequency resolution feeds, at most 128."""
    return min(MOST_BANDS, framing.frame // 8)


def mel_spectrogram(power: Power, framing: Framing) -> Power:
    """Return a power spectrogram (..., bins) in mel bands, (..., bands): ``librosa.feature.melspectrogram``."""
    return np.asarray(power @ mel_filters(mel_bands(framing), framing.sample_rate, framing.frame), np.float32)


def level_db(power: Power, framing: Framing, *, bands: bool = False) -> Power:
    """Return power in decibels, 0 of which a full-scale sine has in its bin; at least -140.

    With ``bands``, mel bands count, in which a sine's power is spread over the width of the band: there 0 dB is white
    noise of full scale.
    """
    # The Hann window sums to frame / 2 and its squares to 3 / 8 frame; a mel band weighs the power of 1 Hz with 1.
    reference = 0.375 * framing.frame * framing.frame / framing.sample_rate if bands else (framing.frame / 4.0) ** 2
    return np.asarray(10.0 * np.log10(np.maximum(power / reference, 1e-14)), np.float32)
