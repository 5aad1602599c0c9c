"""Delay between a probe and what came back of it, window by window: a number with a confidence, or none."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtae.errors import ParameterError
from rtae.lag import cross_correlation, refined_peak

WINDOW_S = 0.2
"""Length of a window: at an offset of 100 ppm the delay moves by 1 sample of 48 kHz within it."""

LEAST_PEAK = 6.0
"""Peak over the root mean square of the correlation around it: noise alone reaches 5 in a second of lags."""

AGREE_S = 0.002
"""Windows this close to the common line agree."""

LEAST_CONFIDENCE = 0.5
"""Share of the windows that must agree for there to be a delay at all."""

_LEAST_WINDOWS = 5
_LOBE_S = 0.001
_DRIFT_PPM = 1000.0


@dataclass(frozen=True)
class Measurement:
    """What was found.

    Attributes
    ----------
    sample_rate : int
        Hertz.
    delay_samples : float or None
        Delay at the beginning of the probe; None if no signal came back, or none that keeps one delay.
    deviation_samples : float
        Spread of the windows around it (1.4826 times the median absolute deviation).
    confidence : float
        Share of the windows that agree, 0 to 1.
    offset_ppm : float
        By how much the delay grows, in parts per million of time: the output's clock beside the input's. 0 if it
        grows by less than half a sample in all.
    windows, lost, jumps : int
        Windows looked at; those without a clear peak; those that have one elsewhere (glitches).
    inverted : bool
        The polarity is turned over.
    """

    sample_rate: int
    delay_samples: float | None
    deviation_samples: float
    confidence: float
    offset_ppm: float
    windows: int
    lost: int
    jumps: int
    inverted: bool

    @property
    def delay_ms(self) -> float | None:
        """Delay in milliseconds."""
        return None if self.delay_samples is None else 1e3 * self.delay_samples / self.sample_rate

    def agrees_with(self, declared_samples: float) -> bool:
        """Whether the delay is the declared one to half a sample."""
        return self.delay_samples is not None and abs(self.delay_samples - declared_samples) <= 0.5

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-ready mapping."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        """One line for a person."""
        if self.delay_samples is None:
            what = "no signal" if self.lost > self.jumps else "no steady delay"
            return f"{what} (confidence {self.confidence:.0%})"
        return (
            f"{self.delay_samples:.2f} samples = {self.delay_ms:.3f} ms, "
            f"deviation {self.deviation_samples:.2f}, confidence {self.confidence:.0%}"
        )


def measure_delay(
    probe: NDArray[np.floating], heard: NDArray[np.floating], sample_rate: int, *, longest_samples: int | None = None
) -> Measurement:
    """Measure by how much `heard` lags `probe`.

    The probe is cut into windows. Each is sought in what was heard; the windows vote on a delay, and a robust line
    (Theil 1950, Sen 1968) through those that agree gives delay and clock offset.

    Parameters
    ----------
    probe, heard : ndarray, shape (n,) and (m,)
        What was played and what was recorded, from the same moment on.
    sample_rate : int
        Hertz.
    longest_samples : int, optional
        Longest delay to look for; a second by default.

    Returns
    -------
    Measurement

    Raises
    ------
    ParameterError
        If the probe is shorter than five windows.
    """
    size = round(WINDOW_S * sample_rate)
    longest = sample_rate if longest_samples is None else longest_samples
    count = len(probe) // size
    if count < _LEAST_WINDOWS:
        raise ParameterError(
            f"the probe lasts {len(probe) / sample_rate:.2f} s; delay needs at least {_LEAST_WINDOWS * WINDOW_S:g} s"
        )
    lobe = max(4, round(_LOBE_S * sample_rate))
    sound = np.where(np.isfinite(heard), heard, 0.0)
    # A little before zero delay belongs to the search, so that a peak there has two sides.
    sound = np.concatenate([np.zeros(lobe), sound, np.zeros(max(0, count * size + longest - len(sound)))])
    starts, lags, signs = [], [], []
    for start in range(0, count * size, size):
        found = _search(probe[start : start + size], sound[start : start + lobe + size + longest], lobe)
        if found is not None:
            starts.append(start + size / 2)
            lags.append(found[0] - lobe)
            signs.append(found[1])
    times, delays = np.array(starts), np.array(lags)
    agreeing = _consensus(times, delays, AGREE_S * sample_rate)
    confidence = float(np.sum(agreeing)) / count
    lost, jumps = count - len(delays), len(delays) - int(np.sum(agreeing))
    if confidence < LEAST_CONFIDENCE:
        return Measurement(sample_rate, None, 0.0, confidence, 0.0, count, lost, jumps, False)
    times, delays = times[agreeing], delays[agreeing]
    slope = _slope(times, delays)
    if abs(slope) * float(np.ptp(times)) < 0.5:
        slope = 0.0
    rest = delays - slope * times
    delay = float(np.median(rest))
    deviation = 1.4826 * float(np.median(np.abs(rest - delay)))
    inverted = float(np.median(np.array(signs)[agreeing])) < 0
    return Measurement(sample_rate, delay, deviation, confidence, 1e6 * slope, count, lost, jumps, inverted)


def _search(window: NDArray[np.floating], sound: NDArray[np.floating], lobe: int) -> tuple[float, float] | None:
    """Return lag and polarity of a window in a sound, None if no peak stands out of what is a lobe away from it."""
    correlation = cross_correlation(window, sound, 0, len(sound) - len(window) + 1)
    index = int(np.argmax(np.abs(correlation)))
    height = abs(float(correlation[index]))
    beside = np.concatenate([correlation[: max(0, index - lobe)], correlation[index + lobe + 1 :]])
    floor = float(np.sqrt(np.mean(np.square(beside)))) if len(beside) else 0.0
    if not height or height < LEAST_PEAK * floor:
        return None
    sign = float(np.sign(correlation[index]))
    return refined_peak(sign * correlation, index), sign


def _consensus(times: NDArray[np.float64], delays: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Flag the largest group of windows that lie on one line of at most 1000 ppm."""
    best = np.zeros(len(delays), bool)
    for time, delay in zip(times, delays, strict=True):
        near = np.abs(delays - delay) <= tolerance + 1e-6 * _DRIFT_PPM * np.abs(times - time)
        if np.sum(near) > np.sum(best):
            best = near
    if np.sum(best) < _LEAST_WINDOWS - 2:
        return np.zeros(len(delays), bool)
    slope = _slope(times[best], delays[best])
    rest = delays - slope * times
    return np.asarray(np.abs(rest - np.median(rest[best])) <= tolerance)


def _slope(times: NDArray[np.float64], delays: NDArray[np.float64]) -> float:
    first, second = np.triu_indices(len(times), 1)
    return float(np.median((delays[second] - delays[first]) / (times[second] - times[first])))
