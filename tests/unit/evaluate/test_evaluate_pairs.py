"""Folders of pairs, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtae.errors import AudioFileError, ParameterError
from rtae.evaluate.pairs import read_pairs

SIGNAL = np.linspace(-0.5, 0.5, 480)


def write(root: Path, side: str, name: str, audio: np.ndarray = SIGNAL, rate: int = 48_000) -> Path:
    (root / side).mkdir(parents=True, exist_ok=True)
    path = root / side / name
    soundfile.write(path, audio, rate, subtype="FLOAT" if path.suffix == ".wav" else "PCM_16")
    return path


def test_pairs_come_sorted_with_their_rate(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path, "clean", f"{name}.wav", rate=16_000)
        write(tmp_path, "noisy", f"{name}.flac", 0.5 * SIGNAL, rate=16_000)
    (tmp_path / "clean" / "notes.txt").write_text("not a recording")
    pairs = read_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert pairs[0].sample_rate == 16_000 and pairs[0].seconds == 0.03
    assert pairs[0].clean.dtype == np.float32 and pairs[0].clean.shape == pairs[0].noisy.shape == (480,)
    np.testing.assert_allclose(pairs[0].clean, SIGNAL, atol=1e-6)
    np.testing.assert_allclose(pairs[0].noisy, 0.5 * SIGNAL, atol=1e-4)


def test_folders_must_be_there_and_hold_recordings(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="holds no folder clean/"):
        read_pairs(tmp_path)
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "notes.txt").write_text("")
    with pytest.raises(ParameterError, match="holds no recordings"):
        read_pairs(tmp_path)


@pytest.mark.parametrize("side", ["clean", "noisy"])
def test_a_file_without_its_partner_is_named(side: str, tmp_path: Path) -> None:
    for each in ("clean", "noisy"):
        write(tmp_path, each, "a.wav")
    write(tmp_path, side, "alone.wav")
    with pytest.raises(ParameterError, match=r"alone is in only one of clean/ and noisy/ \(1 such"):
        read_pairs(tmp_path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for side in ("clean", "noisy"):
        write(tmp_path, side, "a.wav")
    write(tmp_path, "noisy", "a.flac")
    with pytest.raises(ParameterError, match=r"a\.flac and a\.wav"):
        read_pairs(tmp_path)


@pytest.mark.parametrize(
    ("audio", "rate", "told"),
    [
        (SIGNAL[:-1], 48_000, "479 samples at 48000 Hz, its clean partner 480"),
        (SIGNAL, 44_100, "at 44100 Hz, its clean partner 480 at 48000"),
        (np.stack([SIGNAL, SIGNAL], 1), 48_000, "has 2 channels"),
        (np.where(SIGNAL > 0, np.nan, SIGNAL), 48_000, "NaN or Inf"),
        (SIGNAL[:0], 48_000, "no audio"),
    ],
)
def test_a_bad_recording_is_refused(audio: np.ndarray, rate: int, told: str, tmp_path: Path) -> None:
    write(tmp_path, "clean", "a.wav")
    write(tmp_path, "noisy", "a.wav", audio, rate)
    with pytest.raises(AudioFileError, match=told):
        read_pairs(tmp_path)


def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "clean", "a.wav")
    write(tmp_path, "noisy", "a.wav").write_bytes(b"RIFF, or so it says")
    with pytest.raises(AudioFileError, match=r"a\.wav"):
        read_pairs(tmp_path)


def test_one_rate_at_a_time(tmp_path: Path) -> None:
    for name, rate in (("a.wav", 48_000), ("b.wav", 16_000)):
        for side in ("clean", "noisy"):
            write(tmp_path, side, name, rate=rate)
    with pytest.raises(ParameterError, match=r"mixes sample rates \[16000, 48000\]"):
        read_pairs(tmp_path)
