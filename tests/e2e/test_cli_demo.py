"""``rtae demo``: the bundled recording through the live engine."""

import os
import re
import sys

import numpy as np
import pytest
import soundfile
from rich.console import Console

from rtae.cli import demo, main
from rtae.cli.spectrogram import save_spectrograms
from rtae.errors import AudioFileError

RATE = 48_000


def read(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(("model", "options"), [("identity", {}), ("delay", {"samples": 777})])
def test_model_without_effect_plays_the_recording_unchanged(tmp_path, build, capsys, wide, model, options):
    folder = tmp_path / "results"
    assert main(["demo", "--fast", "--model", str(build(model, **options)), "-o", str(folder)]) == 0
    before, after = read(folder / "before.wav"), read(folder / "after.wav")
    assert before.shape == (round(11.4 * RATE), 1)
    assert np.abs(before).max() > 0.1
    assert np.array_equal(after, before)
    table = capsys.readouterr().out
    measured, declared = re.search(r"([\d.]+) ms measured, ([\d.]+) ms declared", table).groups()
    assert measured == declared
    assert float(declared) >= 1e3 * options.get("samples", 0) / RATE
    assert "0.0 dB in the pauses" in table


def test_reduction_in_the_pauses_is_that_of_the_model(tmp_path, build, capsys, wide):
    assert main(["demo", "--fast", "--model", str(build("gain", factor=0.1)), "-o", str(tmp_path)]) == 0
    assert "20.0 dB in the pauses" in capsys.readouterr().out


def test_nobody_speaks_in_the_pauses(tmp_path, build):
    main(["demo", "--fast", "--model", str(build("identity")), "-o", str(tmp_path)])
    before = read(tmp_path / "before.wav")
    level, _ = demo.noise_levels_db(before, before, RATE)
    overall = 10 * np.log10(np.mean(before**2))
    assert -40 < level < overall - 3


def test_picture_is_drawn(tmp_path, build):
    assert main(["demo", "--fast", "--model", str(build("identity")), "-o", str(tmp_path)]) == 0
    picture = (tmp_path / "spectrogram.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and len(picture) > 50_000
    assert sorted(os.listdir(tmp_path)) == ["after.wav", "before.wav", "spectrogram.png"]


def test_without_matplotlib_only_the_picture_is_missing(tmp_path, build, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "--fast", "--model", str(build("identity")), "-o", str(tmp_path)]) == 0
    assert sorted(os.listdir(tmp_path)) == ["after.wav", "before.wav"]
    assert "rtae: no picture without matplotlib; run pip install 'rtae[demo]'" in capsys.readouterr().out


def test_played_in_real_time_the_delay_is_the_declared_one(build):
    seed = 22
    print("seed", seed)
    recording = (0.1 * np.random.default_rng(seed).standard_normal((RATE, 2))).astype(np.float32)
    played = demo.play(str(build("identity")), recording, RATE, fast=False, console=Console(quiet=True))
    assert played.after.shape == recording.shape
    # Late blocks are dry, which for this model is the same signal: the delay holds whatever the machine does.
    assert played.delay == played.latency.engine > 0


def test_folder_that_cannot_be_made(tmp_path, build, capsys):
    (tmp_path / "file").write_bytes(b"")
    assert main(["demo", "--fast", "--model", str(build("identity")), "-o", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith(f"rtae: cannot make the folder '{tmp_path / 'file'}'")


def test_unknown_model_leaves_no_folder(tmp_path, capsys):
    assert main(["demo", "--fast", "--model", "no-such-model", "-o", str(tmp_path / "out")]) == 2
    assert "no-such-model" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_picture_that_cannot_be_written(tmp_path):
    with pytest.raises(AudioFileError, match="does not exist"):
        save_spectrograms(tmp_path / "missing" / "a.png", {"noise": np.zeros(RATE, np.float32)}, RATE)
