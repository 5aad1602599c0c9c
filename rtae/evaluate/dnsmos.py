"""DNSMOS P.835: predicted opinion of speech, background and overall quality, without a reference.

Reddy, Gopal, Cutler: DNSMOS P.835 (2022). The network is the one in the PyPI package ``speechmos``; it is run here
directly, on one thread, because that package needs librosa for a fourth score and takes every core.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtae.dnsmos import CALIBRATION, SAMPLE_RATE, model_path

WINDOW_S = 9.01
WINDOW = int(WINDOW_S * SAMPLE_RATE)
"""Samples the network looks at; shorter recordings are repeated, longer ones scored once a second and averaged."""


class Scores(NamedTuple):
    """Opinion scores from 1 to 5."""

    sig: float
    bak: float
    ovrl: float


def score(audio: npt.NDArray[np.floating]) -> Scores:
    """Score one recording.

    Parameters
    ----------
    audio : ndarray, shape (samples,)
        Signal at 16 kHz; what exceeds full scale is clipped.

    Returns
    -------
    Scores
        Speech (SIG), background (BAK) and overall (OVRL) quality.

    Raises
    ------
    MissingDependencyError
        If speechmos is not installed.
    """
    session = _session()
    signal = np.clip(audio, -1.0, 1.0).astype(np.float32)
    # The reference implementation doubles the recording until it is long enough, and so do the published scores.
    while len(signal) < WINDOW:
        signal = np.concatenate([signal, signal])
    # It also leaves out what follows the last whole second, and windows whose end comes out one sample short when their
    # floating-point second is rounded down.
    ends = {second: int((second + WINDOW_S) * SAMPLE_RATE) for second in range(max(1, len(signal) // SAMPLE_RATE - 9))}
    windows = [signal[end - WINDOW : end] for second, end in ends.items() if end - second * SAMPLE_RATE == WINDOW]
    raw = np.concatenate([session.run(None, {"input_1": window[None]})[0] for window in windows]).astype(np.float64)
    square, slope, offset = CALIBRATION.T
    sig, bak, ovrl = np.mean((square * raw + slope) * raw + offset, axis=0)
    return Scores(float(sig), float(bak), float(ovrl))


@functools.cache
def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model_path(), options, providers=["CPUExecutionProvider"])
