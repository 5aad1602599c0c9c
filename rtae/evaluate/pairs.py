"""Pairs of clean and noisy recordings: what a system is evaluated on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtae.audio import AudioReader
from rtae.errors import AudioFileError, ParameterError

FloatArray = npt.NDArray[np.float32]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".w64")
"""Endings of the files that are taken for recordings; anything else in the folders is left alone."""


@dataclass(frozen=True)
class Pair:
    """One noisy recording and its clean original, aligned to the sample.

    Attributes
    ----------
    name : str
        Name of the file, without its ending.
    clean, noisy : ndarray of float32, shape (samples,)
        The two signals.
    sample_rate : int
        Rate of both, in hertz.
    """

    name: str
    clean: FloatArray
    noisy: FloatArray
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.clean) / self.sample_rate


def read_pairs(directory: str | Path) -> list[Pair]:
    """Read a folder of pairs: ``clean/`` and ``noisy/`` with files of equal names.

    Parameters
    ----------
    directory : str or Path
        Folder that holds ``clean/`` and ``noisy/``.

    Returns
    -------
    list of Pair
        Sorted by name; all of one sample rate.

    Raises
    ------
    ParameterError
        If a folder is missing or empty, a name occurs twice or lacks its partner, or the sample rates differ.
    AudioFileError
        If a file cannot be read, has more than one channel, or differs in length or rate from its partner.
    """
    root = Path(directory)
    clean, noisy = (_recordings(root, side) for side in ("clean", "noisy"))
    lonely = sorted(clean.keys() ^ noisy.keys())
    if lonely:
        raise ParameterError(
            f"{root}: {lonely[0]} is in only one of clean/ and noisy/ ({len(lonely)} such files); names must be equal"
        )
    pairs = [_read_pair(stem, clean[stem], noisy[stem]) for stem in sorted(clean)]
    rates = {pair.sample_rate for pair in pairs}
    if len(rates) > 1:
        raise ParameterError(f"{root} mixes sample rates {sorted(rates)}; evaluate one rate at a time")
    return pairs


def _recordings(root: Path, side: str) -> dict[str, Path]:
    folder = root / side
    if not folder.is_dir():
        raise ParameterError(f"{root} holds no folder {side}/; expected clean/ and noisy/ with files of equal names")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and (first := found.setdefault(path.stem, path)) != path:
            raise ParameterError(f"{folder} holds {first.name} and {path.name}; keep one, pairs go by the name alone")
    if not found:
        raise ParameterError(f"{folder} holds no recordings; expected files ending in {', '.join(SUFFIXES)}")
    return found


def _read_pair(name: str, clean_path: Path, noisy_path: Path) -> Pair:
    clean, clean_rate = _read_mono(clean_path)
    noisy, noisy_rate = _read_mono(noisy_path)
    if clean_rate != noisy_rate or clean.shape != noisy.shape:
        raise AudioFileError(
            f"{noisy_path} has {len(noisy)} samples at {noisy_rate} Hz, its clean partner {len(clean)} at {clean_rate} "
            "Hz; a pair must be aligned and of equal length"
        )
    return Pair(name, clean, noisy, clean_rate)


def _read_mono(path: Path) -> tuple[FloatArray, int]:
    with AudioReader(path) as reader:
        if reader.channels != 1:
            raise AudioFileError(f"{path} has {reader.channels} channels; quality is measured on one, split it first")
        mono = np.concatenate([block[:, 0] for block in reader.blocks()])
        rate = reader.sample_rate
    if not np.isfinite(mono).all():
        raise AudioFileError(f"{path} holds NaN or Inf samples; remove it from the set")
    return mono, rate
