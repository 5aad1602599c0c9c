"""Pictures of signals, for the log and for the page that shows the data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann


def spectrogram_figure(signals: Mapping[str, np.ndarray], sample_rate: int) -> Figure:
    """Return one spectrogram below the other, 0 dB the loudest point of the first signal, down to -80 dB."""
    figure = Figure(figsize=(8, 2.2 * len(signals)), layout="constrained")
    transform = ShortTimeFFT(hann(1024, sym=False), hop=256, fs=sample_rate)
    top = None
    for index, (name, signal) in enumerate(signals.items()):
        power_db = 20 * np.log10(np.abs(transform.stft(signal)) + 1e-9)
        top = float(power_db.max()) if top is None else top
        axes = figure.add_subplot(len(signals), 1, index + 1)
        axes.imshow(
            power_db,
            origin="lower",
            aspect="auto",
            extent=(0, len(signal) / sample_rate, 0, sample_rate / 2000),
            vmin=top - 80,
            vmax=top,
            cmap="magma",
            interpolation="nearest",
        )
        axes.set_ylabel("kHz")
        axes.set_title(name, fontsize=9)
    axes.set_xlabel("s")
    return figure
