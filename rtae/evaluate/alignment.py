"""Delay of a system, measured by cross-correlating what goes in with what comes out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rtae.lag import cross_correlation, refined_peak

EARLIEST_S = 0.02
"""How far before zero delay the search begins."""
LATEST_S = 0.25
"""How far beyond the declared delay the search goes on."""
TOLERANCE_S = 0.0005
"""A measured delay this close to the declared one agrees with it."""
LEAST_CORRELATION = 0.1
"""Below this mean correlation the output does not resemble the input, and the delay is not known."""


class DelayMeter:
    """Gathers the cross-correlation of a system's inputs and outputs over several recordings.

    Parameters
    ----------
    sample_rate : int
        Rate of the signals, in hertz.
    declared : int
        Delay the system declares, in samples.
    """

    def __init__(self, sample_rate: int, declared: int) -> None:
        self._earliest = -round(EARLIEST_S * sample_rate)
        self._correlation = np.zeros(declared + round(LATEST_S * sample_rate) - self._earliest + 1)
        self._count = 0

    def add(self, given: npt.NDArray[np.floating], output: npt.NDArray[np.floating]) -> None:
        """Take one recording: what went in and what came out, both from the stream's first sample on."""
        self._correlation += cross_correlation(given, output, self._earliest, len(self._correlation))
        self._count += 1

    @property
    def delay(self) -> float | None:
        """Delay in samples, to a fraction of one; None if the output does not resemble the input."""
        peak = int(np.argmax(self._correlation))
        if self._correlation[peak] < LEAST_CORRELATION * max(self._count, 1):
            return None
        return float(self._earliest + refined_peak(self._correlation, peak))
