"""Recordings decoded once into one memory-mapped file, so that training never waits for a decoder."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from rtae.atomic import AtomicFile
from rtae.errors import ParameterError, RtaeError

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".w64", ".caf"}
STORE_VERSION = 1


@dataclass(frozen=True)
class Recording:
    """One recording in a :class:`Store`.

    Attributes
    ----------
    group : str
        Speaker of a speech recording, class of a noise: the path below the folder without a trailing ``-number``.
    start, length : int
        Place in the store, in samples.
    band_hz : float
        Highest frequency the original sample rate allows.
    snr_db : float
        Distance between loud and quiet frames, an estimate of the recording's own background.
    """

    path: str
    group: str
    start: int
    length: int
    band_hz: float
    snr_db: float


class Store:
    """Recordings of a folder as one memory-mapped int16 array at one sample rate."""

    def __init__(self, samples: np.ndarray, recordings: list[Recording], sample_rate: int) -> None:
        self.samples = samples
        self.recordings = recordings
        self.sample_rate = sample_rate

    @property
    def seconds(self) -> float:
        """Amount of audio in seconds."""
        return sum(item.length for item in self.recordings) / self.sample_rate

    def read(self, recording: Recording, start: int, length: int) -> np.ndarray:
        """Return ``length`` float32 samples from ``start`` of a recording, repeating it past its end."""
        if recording.length >= start + length:
            first = recording.start + start
            return _from_int16(self.samples[first : first + length])
        whole = self.samples[recording.start : recording.start + recording.length]
        return _from_int16(np.resize(np.roll(whole, -start), length))

    def subset(self, keep: set[str]) -> Store:
        """Return the store reduced to the groups in ``keep``."""
        return Store(self.samples, [item for item in self.recordings if item.group in keep], self.sample_rate)

    def split(self, share: float, fold: int = 0) -> tuple[Store, Store]:
        """Split by group into training and validation parts; a group never falls on both sides.

        Fold 1 holds out the groups that follow those of fold 0, and so on. A store of one group is on both sides.
        """
        groups = {item.group for item in self.recordings}
        ranked = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest())
        count = max(1, round(share * len(ranked)))
        held_out = {ranked[(fold * count + index) % len(ranked)] for index in range(count)}
        if held_out == groups:
            return self, self
        return self.subset(groups - held_out), self.subset(held_out)


def _from_int16(samples: np.ndarray) -> np.ndarray:
    return np.multiply(samples, np.float32(1 / 32768), dtype=np.float32)


def _estimate_snr_db(audio: np.ndarray, sample_rate: int) -> float:
    frame = sample_rate // 50
    frames = audio[: audio.size // frame * frame].reshape(-1, frame)
    if len(frames) < 10:
        return 0.0
    power = np.sort(np.square(frames).mean(axis=1)) + 1e-12
    quiet = power[: max(1, len(power) // 20)].mean()
    loud = power[len(power) // 2 :].mean()
    return float(10 * np.log10(loud / quiet))


def _decode(path: Path, sample_rate: int) -> tuple[np.ndarray, float]:
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = audio.mean(axis=1)
    if rate != sample_rate:
        common = math.gcd(rate, sample_rate)
        mono = resample_poly(mono, sample_rate // common, rate // common)
    return np.asarray(mono, dtype=np.float32), min(rate, sample_rate) / 2


def open_store(folder: str | Path, cache: str | Path, sample_rate: int) -> Store:
    """Open the recordings below ``folder``, decoding them into ``cache`` unless that was done before.

    The cache is keyed by the names, sizes and times of the files, so a changed folder is decoded anew.

    Raises
    ------
    ParameterError
        If the folder is missing or holds no sound file that can be read.
    RtaeError
        If the cache cannot be written, for instance because the disk is full.
    """
    folder, cache = Path(folder), Path(cache)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    if not files:
        raise ParameterError(f"no sound files below {folder}; give a folder of {', '.join(sorted(AUDIO_SUFFIXES))}")
    facts = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = hashlib.sha256(json.dumps([STORE_VERSION, sample_rate, facts]).encode()).hexdigest()[:16]
    target = cache / f"{folder.resolve().name}-{key}"
    return _open_or_build(target, sample_rate, _decoded(folder, files, sample_rate))


Item = tuple[str, str, np.ndarray, float]
"""Path, group, samples and band in hertz of a recording to be stored."""


def _open_or_build(target: Path, sample_rate: int, items: Iterator[Item]) -> Store:
    if not (target / "index.json").exists():
        _build(target, sample_rate, items)
    with open(target / "index.json", encoding="utf-8") as file:
        recordings = [Recording(**item) for item in json.load(file)]
    samples = np.memmap(target / "samples.i16", dtype=np.int16, mode="r")
    return Store(samples, recordings, sample_rate)


def store_rendered(items: Iterator[Item], key: str, cache: str | Path, sample_rate: int) -> Store:
    """Store computed recordings as :func:`open_store` stores files; ``key`` must change whenever the items would."""
    digest = hashlib.sha256(json.dumps([STORE_VERSION, sample_rate, key]).encode()).hexdigest()[:16]
    return _open_or_build(Path(cache) / f"rendered-{digest}", sample_rate, items)


def _decoded(folder: Path, files: list[Path], sample_rate: int) -> Iterator[Item]:
    for path in files:
        try:
            audio, band_hz = _decode(path, sample_rate)
        except soundfile.LibsndfileError:
            continue
        name = path.relative_to(folder)
        yield str(name), re.sub(r"-\d+$", "", str(name.with_suffix(""))), audio, band_hz


def _build(target: Path, sample_rate: int, items: Iterator[Item]) -> None:
    """Write samples and index into the folder ``target``; the index comes last, it is what says that both are whole."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        with AtomicFile(target / "samples.i16") as part:
            recordings = _write_samples(part, sample_rate, items)
            if not recordings:
                raise ParameterError(
                    f"no usable recording for {target.name}: none could be read, or all are silent or too short"
                )
        with AtomicFile(target / "index.json") as part:
            part.write_text(json.dumps([asdict(item) for item in recordings]), encoding="utf-8")
    except OSError as error:
        raise RtaeError(
            f"cannot keep decoded recordings in {target} ({error.strerror}); free some space, or choose another --cache"
        ) from None


def _write_samples(path: Path, sample_rate: int, items: Iterator[Item]) -> list[Recording]:
    recordings: list[Recording] = []
    position = 0
    with open(path, "wb") as out:
        for name, group, audio, band_hz in items:
            peak = float(np.abs(audio).max()) if audio.size >= sample_rate // 10 else 0.0
            if not 1e-4 < peak < np.inf:
                continue
            out.write(np.rint(audio * min(1.0, 1.0 / peak) * 32767).astype(np.int16).tobytes())
            snr_db = _estimate_snr_db(audio, sample_rate)
            recordings.append(Recording(name, group, position, audio.size, band_hz, round(snr_db, 1)))
            position += audio.size
    return recordings
