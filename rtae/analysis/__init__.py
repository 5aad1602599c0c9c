"""What is in a sound: levels, spectra and wavelets, of arrays, of streams and of files.

:func:`measure` and :class:`Meter` need numpy and scipy alone; the scalogram needs PyWavelets and pictures need
matplotlib, both of the extra ``analysis``.
"""

from rtae.analysis.framing import Framing
from rtae.analysis.measures import MEASURES, Measured, Meter, measure
from rtae.analysis.recording import Analysis, analyze, compared
from rtae.analysis.scalogram import Scalogram, scalogram
from rtae.analysis.spectrogram import Spectrogram, level_db, mel_bands, mel_spectrogram

__all__ = [
    "MEASURES",
    "Analysis",
    "Framing",
    "Measured",
    "Meter",
    "Scalogram",
    "Spectrogram",
    "analyze",
    "compared",
    "level_db",
    "measure",
    "mel_bands",
    "mel_spectrogram",
    "scalogram",
]
