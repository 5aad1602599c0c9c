"""A picture of spectrograms, one below the other."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT

from rtae.atomic import AtomicFile
from rtae.errors import AudioFileError, MissingDependencyError

WINDOW_S = 0.02
LEVELS_DB = (-110.0, -30.0)


def save_spectrograms(
    path: str | os.PathLike[str], signals: Mapping[str, NDArray[np.float32]], sample_rate: int
) -> None:
    """Draw the spectrograms of signals of shape ``(samples,)`` into a PNG file, each under its title.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    AudioFileError
        If the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError("no picture without matplotlib; run pip install 'rtae[demo]'") from None
    size = round(WINDOW_S * sample_rate)
    transform = ShortTimeFFT(np.hanning(size), size // 4, sample_rate, scale_to="magnitude")
    figure = Figure(figsize=(10, 3 * len(signals)), layout="constrained")
    axes = figure.subplots(len(signals), sharex=True, squeeze=False)[:, 0]
    for axis, (title, signal) in zip(axes, signals.items(), strict=True):
        levels = 20.0 * np.log10(np.maximum(np.abs(transform.stft(signal)), 1e-9))
        extent = (0.0, len(signal) / sample_rate, 0.0, sample_rate / 2e3)
        image = axis.imshow(
            levels, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=LEVELS_DB[0], vmax=LEVELS_DB[1]
        )
        axis.set_title(title)
        axis.set_ylabel("kHz")
    axes[-1].set_xlabel("s")
    figure.colorbar(image, ax=list(axes), label="dBFS")
    try:
        with AtomicFile(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
    except OSError as error:
        raise AudioFileError(f"cannot write '{os.fspath(path)}': {error.strerror}") from None
