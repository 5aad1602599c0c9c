"""Sound files: a block reader and a writer that never leaves half a file, both in constant memory.

Whatever libsndfile knows can be read (wav, flac, ogg with Vorbis or Opus, mp3, ...). Blocks are float32 arrays of shape
``(samples, channels)``, full scale at 1.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from rtae.atomic import AtomicFile
from rtae.errors import AudioFileError, MissingDependencyError

BLOCK_SIZE = 1 << 16
"""Samples a block when reading."""

STANDARD_INPUT = "-"

_SUFFIX_FORMATS = {".aif": "AIFF", ".aifc": "AIFF", ".oga": "OGG", ".opus": "OGG", ".snd": "AU"}
_INTEGER_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24}
_UNBOUNDED_SUBTYPES = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
# libsndfile's log of a header that promises more than the file holds. A wrong size of the outermost chunk alone (RIFF,
# FORM) is a habit of careless writers and harmless; sizes from 0x7fff0000 on are what pipes write for "unknown".
_SHORT_CHUNK = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN_SIZE = 0x7FFF0000


class AudioReader:
    """A sound file, read in blocks.

    Parameters
    ----------
    path : path-like
        The file; ``-`` is standard input, of which what can be read in order is read: wav, au, ogg, mp3.

    Attributes
    ----------
    path : Path
    sample_rate, channels : int
    frames : int or None
        Samples per channel as the file declares; None where it does not know.
    format, subtype : str
        Container and coding in libsndfile's words, as :class:`AudioWriter` takes them.

    Raises
    ------
    AudioFileError
        If the file is missing, no regular file, empty, no audio, or known to be cut off.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        soundfile = _soundfile()
        piped = os.fspath(path) == STANDARD_INPUT
        if not piped:
            _check_readable(self.path)
        try:
            self._file: Any = soundfile.SoundFile(0 if piped else os.fspath(self.path), closefd=not piped)
        except soundfile.LibsndfileError as error:
            raise self._failure(f"damaged, or no sound file ({_reason(error)})") from None
        except TypeError:  # soundfile wants the rate of a headerless .raw file from the caller
            raise self._failure("headerless audio has no declared rate; convert it to wav first") from None
        # soundfile seeks after each read of what is seekable, and an mp3 decoder then loses its bit reservoir: audible.
        self._file.seekable = lambda: False
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.format = str(self._file.format)
        self.subtype = str(self._file.subtype)
        frames = int(self._file.frames)
        self.frames = frames if frames < 1 << 62 else None
        # What writes to a pipe does not know how much it will be, and declares the most.
        if piped and frames * self.channels * _INTEGER_BITS.get(self.subtype, 32) // 8 >= _UNKNOWN_SIZE - (1 << 16):
            self.frames = None
        try:
            if frames == 0:
                raise self._failure("it holds no audio (0 samples)")
            if not piped and _is_cut(self.path, self.format, self._file.extra_info):
                raise self._failure("the file is truncated; copy it again or repair it")
        except AudioFileError:
            self.close()
            raise

    def blocks(self, size: int = BLOCK_SIZE) -> Iterator[NDArray[np.float32]]:
        """Yield the audio from the present position on as arrays of shape ``(<= size, channels)``.

        Raises
        ------
        AudioFileError
            If the file is damaged, or ends before its declared length.
        """
        soundfile = _soundfile()
        seen = 0
        while True:
            try:
                block: NDArray[np.float32] = self._file.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise self._failure(
                    f"the file is truncated or damaged after {seen} samples: {_reason(error)}"
                ) from None
            if len(block) == 0:
                break
            seen += len(block)
            yield block
        if self.frames is not None and seen < self.frames:
            raise self._failure(f"the file is truncated: {seen} of {self.frames} samples")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _failure(self, found: str) -> AudioFileError:
        return AudioFileError(f"cannot read '{self.path}': {found}")


@dataclass(frozen=True)
class Coding:
    """How audio was coded that comes from elsewhere than a sound file: what :func:`output_format` wants to know."""

    path: Path
    format: str
    subtype: str


class AudioWriter:
    """Write a sound file that appears under its name when it is whole, see :class:`rtae.atomic.AtomicFile`.

    A context manager: left by an exception it removes what was written. Samples outside full scale are clipped where
    the coding cannot hold them, never wrapped around.

    Parameters
    ----------
    path : path-like
        The file; an existing one is replaced.
    sample_rate, channels : int
        Rate in hertz and number of channels.
    format, subtype : str
        Container and coding in libsndfile's words, see :func:`output_format`.

    Raises
    ------
    AudioFileError
        If the folder is missing or not writable, the disk is full, or the format cannot hold this rate or this number
        of channels.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, sample_rate: int, channels: int, format: str, subtype: str
    ) -> None:
        self.path = Path(path)
        soundfile = _soundfile()
        self._subtype = subtype
        self._written = 0
        try:
            self._beside = AtomicFile(self.path)
        except OSError as error:
            raise self._failure(f"{error.strerror}") from None
        try:
            self._file: Any = soundfile.SoundFile(
                os.fspath(self._beside.temporary), "w", sample_rate, channels, format=format, subtype=subtype
            )
        except BaseException as error:
            self._beside.discard()
            if not isinstance(error, (soundfile.LibsndfileError, ValueError)):
                raise
            wanted = f"{format}/{subtype} with {channels} channels at {sample_rate} Hz"
            raise self._failure(f"{wanted} is not possible ({_reason(error)}); choose another file type") from None

    def write(self, block: NDArray[np.float32]) -> None:
        """Append a block of shape ``(samples, channels)``.

        Raises
        ------
        AudioFileError
            If the disk is full or the file cannot grow for another reason.
        """
        soundfile = _soundfile()
        try:
            self._file.write(_fit(block, self._subtype))
        except (soundfile.LibsndfileError, AssertionError):
            raise self._failure(self._why_not_growing()) from None
        self._written += len(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            with contextlib.suppress(_soundfile().LibsndfileError):  # after commit nothing is left to close
                self._file.close()
            self._beside.discard()

    def _commit(self) -> None:
        soundfile = _soundfile()
        try:
            self._file.close()
            # Coders write their last part on closing, and not all of them tell when that failed.
            found = soundfile.info(os.fspath(self._beside.temporary)).frames
        except soundfile.LibsndfileError:
            raise self._failure(self._why_not_growing()) from None
        if found < self._written:
            raise self._failure(f"{found} of {self._written} samples arrived on the disk; is it full?")
        try:
            self._beside.commit()
        except OSError as error:
            raise self._failure(f"{error.strerror}") from None

    def _why_not_growing(self) -> str:
        # libsndfile says "System error" only; the system tells the reason when asked to let the file grow once more.
        try:
            with self._beside.temporary.open("ab") as file:
                file.write(bytes(1 << 16))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return f"{error.strerror} after {self._written} samples"
        return f"the coder failed after {self._written} samples"

    def _failure(self, found: str) -> AudioFileError:
        return AudioFileError(f"cannot write '{self.path}': {found}")


def output_format(path: str | os.PathLike[str], like: AudioReader | Coding) -> tuple[str, str]:
    """Choose format and subtype for a file named `path` with the audio of `like`.

    The same suffix keeps both. Another suffix decides the format; linear samples then keep their resolution where the
    format has it.

    Raises
    ------
    AudioFileError
        If the suffix names no format that can be written.
    """
    soundfile = _soundfile()
    suffix = Path(path).suffix.lower()
    if suffix == like.path.suffix.lower():
        return like.format, like.subtype
    available = soundfile.available_formats()
    container = _SUFFIX_FORMATS.get(suffix, suffix[1:].upper())
    if container not in available or container == "RAW":
        raise AudioFileError(
            f"cannot write '{os.fspath(path)}': unknown suffix '{suffix}'; use .wav, .flac, .ogg, .opus or .mp3"
        )
    if suffix == ".opus":
        return container, "OPUS"
    if container == like.format and soundfile.check_format(container, like.subtype):
        return container, like.subtype
    samples = like.subtype.replace("ALAC_", "PCM_")
    if samples.startswith(("PCM_", "FLOAT", "DOUBLE")) and soundfile.check_format(container, samples):
        return container, samples
    if samples in ("PCM_20", "PCM_32", "FLOAT", "DOUBLE") and soundfile.check_format(container, "PCM_24"):
        return container, "PCM_24"
    return container, str(soundfile.default_subtype(container))


def _soundfile() -> ModuleType:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the binding is there, libsndfile is not
        raise MissingDependencyError(
            f"sound files need libsndfile ({error}); run 'pip install soundfile', on Debian 'apt install libsndfile1'"
        ) from None
    return cast(ModuleType, soundfile)


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _check_readable(path: Path) -> None:
    """Say what the system knows, in its words: libsndfile calls all of it "System error"."""
    try:
        if path.is_dir():
            raise AudioFileError(f"cannot read '{path}': it is a folder; name the sound files in it")
        if path.exists() and not path.is_file():
            raise AudioFileError(f"cannot read '{path}': it is no regular file")
        with path.open("rb") as file:
            if not file.read(1):
                raise AudioFileError(f"cannot read '{path}': the file is empty (0 bytes)")
    except (OSError, ValueError) as error:
        if isinstance(error, AudioFileError):
            raise
        raise AudioFileError(f"cannot read '{path}': {getattr(error, 'strerror', None) or error}") from None


def _is_cut(path: Path, container: str, log: str) -> bool:
    """Whether the file ends before what its header or its last page declares."""
    if container == "OGG":
        # RFC 3533: a page is 27 bytes, a table of segment lengths, and the segments; at most 65,307 bytes.
        with path.open("rb") as file:
            file.seek(-min(path.stat().st_size, 1 << 16), os.SEEK_END)
            tail = file.read()
        page = tail[max(tail.rfind(b"OggS"), 0) :]
        table = page[27 : 27 + page[26]] if len(page) > 26 else b""
        return len(page) < 27 or len(table) < page[26] or len(page) < 27 + len(table) + sum(table)
    return any(int(found) < int(declared) < _UNKNOWN_SIZE for declared, found in _SHORT_CHUNK.findall(log))


def _fit(block: NDArray[np.float32], subtype: str) -> NDArray[np.float32]:
    """Bring samples into what the coding holds: libsndfile wraps A-law, u-law and ADPCM around, and rounds PCM down."""
    if subtype in _UNBOUNDED_SUBTYPES:
        return block
    bits = _INTEGER_BITS.get(subtype)
    if bits is None:
        return np.clip(block, -1.0, 1.0)
    scale = np.float32(1 << (bits - 1))
    return np.asarray(np.clip(np.rint(block * scale), -scale, scale - 1) / scale, dtype=np.float32)
