"""Delay of a system, measured by cross-correlating what goes in with what comes out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EARLIEST_S = 0.02
"""How far before zero delay the search begins."""
LATEST_S = 0.25
"""How far beyond the declared delay the search goes on."""
TOLERANCE_S = 0.0005
"""A measured delay this close to the declared one agrees with it."""
LEAST_CORRELATION = 0.1
"""Below this mean correlation the output does not resemble the input, and the delay is not known."""
_PRE_EMPHASIS = 0.97  # Makes speech nearly white, hence the peak of its correlation narrow.


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
        self._earliest = round(EARLIEST_S * sample_rate)
        self._correlation = np.zeros(self._earliest + declared + round(LATEST_S * sample_rate) + 1)
        self._count = 0

    def add(self, given: npt.NDArray[np.floating], output: npt.NDArray[np.floating]) -> None:
        """Take one recording: what went in and what came out, both from the stream's first sample on."""
        size = 1 << (len(given) + len(output)).bit_length()
        spectra = [np.fft.rfft(_pre_emphasize(signal), size) for signal in (given, output)]
        energy = np.prod([np.sqrt(np.mean(np.abs(spectrum) ** 2)) for spectrum in spectra])
        if not energy:
            return
        correlation = np.fft.irfft(np.conj(spectra[0]) * spectra[1] / energy, size)
        lags = np.arange(len(self._correlation)) - self._earliest
        # A recording shorter than the range has nothing to say of the longest lags.
        self._correlation += np.where(np.abs(lags) < len(given), correlation[lags % size], 0.0)
        self._count += 1

    @property
    def delay(self) -> float | None:
        """Delay in samples, to a fraction of one; None if the output does not resemble the input."""
        if not self._count:
            return None
        peak = int(np.argmax(self._correlation))
        if self._correlation[peak] / self._count < LEAST_CORRELATION:
            return None
        fraction = 0.0
        if 0 < peak < len(self._correlation) - 1:
            before, here, after = self._correlation[peak - 1 : peak + 2]
            fraction = 0.5 * (before - after) / (before - 2 * here + after)
        return float(peak - self._earliest + fraction)


def _pre_emphasize(signal: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    wide = signal.astype(np.float64)
    wide[1:] -= _PRE_EMPHASIS * signal[:-1]
    return wide
