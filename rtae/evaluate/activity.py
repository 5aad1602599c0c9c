"""Where the speech is in a clean recording: active frames, pauses and onsets.

A plain level criterion is enough, because it only ever sees clean speech.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FRAME_S = 0.010
ACTIVE_BELOW_PEAK_DB = 20.0
PAUSE_BELOW_PEAK_DB = 25.0
SHORTEST_PAUSE_S = 0.1
PAUSE_MARGIN_S = 0.03
"""A pause is measured this far inside its ends: what rings on after a word is no residual noise."""
ONSET_S = 0.05
"""Length of the beginning of a word that :func:`rtae.evaluate.metrics.onset_loss_db` looks at."""
SILENCE_DB = -80.0
"""Recordings whose loudest frames lie below this level (dBFS, RMS) hold no speech."""


@dataclass(frozen=True)
class Activity:
    """Frames of one clean recording.

    Attributes
    ----------
    frame : int
        Samples of a frame.
    active : ndarray of bool, shape (frames,)
        Frames that hold speech.
    pause : ndarray of bool, shape (frames,)
        Frames well inside a pause between words.
    onsets : tuple of slice
        Ranges of samples: the first 50 ms after each pause.
    """

    frame: int
    active: npt.NDArray[np.bool_]
    pause: npt.NDArray[np.bool_]
    onsets: tuple[slice, ...]


def frame_power(audio: npt.NDArray[np.floating], frame: int) -> npt.NDArray[np.float64]:
    """Mean square of successive frames; a last part shorter than a frame is left out.

    Parameters
    ----------
    audio : ndarray, shape (samples,)
        Signal.
    frame : int
        Samples of a frame.

    Returns
    -------
    ndarray of float64, shape (samples // frame,)
        Power of each frame.
    """
    whole = len(audio) // frame
    return np.asarray(np.mean(np.square(audio[: whole * frame].reshape(whole, frame), dtype=np.float64), axis=1))


def find_activity(clean: npt.NDArray[np.floating], sample_rate: int) -> Activity:
    """Find speech, pauses and onsets by the level of 10 ms frames.

    A frame is active within 20 dB of the recording's loud frames (the 95th percentile of the levels), and belongs to a
    pause if it lies in at least 100 ms that are more than 25 dB below them.

    Parameters
    ----------
    clean : ndarray, shape (samples,)
        Clean speech.
    sample_rate : int
        Rate in hertz.

    Returns
    -------
    Activity
        Without any active frame if the recording is silent.
    """
    frame = max(1, round(FRAME_S * sample_rate))
    level = 10 * np.log10(frame_power(clean, frame) + 1e-20)
    if not len(level) or (loud := float(np.percentile(level, 95))) < SILENCE_DB:
        nothing = np.zeros(len(level), bool)
        return Activity(frame, nothing, nothing, ())
    active = level > loud - ACTIVE_BELOW_PEAK_DB
    quiet = level < loud - PAUSE_BELOW_PEAK_DB
    pause = np.zeros(len(level), bool)
    onsets = []
    shortest, margin = round(SHORTEST_PAUSE_S / FRAME_S), round(PAUSE_MARGIN_S / FRAME_S)
    onset_samples = round(ONSET_S * sample_rate)
    for begin, end in _runs(quiet):
        if end - begin < shortest:
            continue
        pause[begin + margin : end - margin] = True
        # A rise that does not reach the active level within the onset is breath or a click, not a word.
        if active[end : end + round(ONSET_S / FRAME_S)].any() and end * frame + onset_samples <= len(clean):
            onsets.append(slice(end * frame, end * frame + onset_samples))
    return Activity(frame, active, pause, tuple(onsets))


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
