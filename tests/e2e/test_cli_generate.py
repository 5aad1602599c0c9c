"""``rtae generate``: files of the length asked for, the same again, and one line for what cannot be."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from rtae.cli import main

RATE = 48_000


@pytest.fixture
def folder(tmp_path, build, monkeypatch):
    for end in ("encoder", "decoder"):
        (tmp_path / f"vae-{end}.onnx").write_bytes(build(f"vae_{end}").read_bytes())
    rng = np.random.default_rng(3)
    for name, rate, samples in (("one", RATE, 24_010), ("other", 16_000, 12_000)):
        soundfile.write(tmp_path / f"{name}.wav", 0.05 * rng.standard_normal((samples, 2)), rate)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def generate(*arguments):
    return main(["generate", *map(str, arguments), "-m", "./vae"])


def read(path):
    audio, rate = soundfile.read(path)
    assert rate == RATE
    return audio


@pytest.mark.parametrize("kind", [["prior"], ["room-tone", "one.wav"]])
def test_endless_kinds_are_cut_to_the_second(folder, capsys, kind):
    for name in ("a.wav", "b.wav", "c.flac"):
        seed = 2 if name == "c.flac" else 1
        assert generate(*kind, "--seconds", 0.75, "--seed", seed, "--level", -30, "-o", name) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("a.wav: 0.75 s at -30.")
    a, b, c = (read(name) for name in ("a.wav", "b.wav", "c.flac"))
    assert len(a) == round(0.75 * RATE)
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_between_is_as_long_as_the_shorter_recording(folder, capsys):
    assert generate("between", "one.wav", "other.wav", "--share", 0, "-o", "x.wav") == 0
    one = read("one.wav").mean(axis=1)
    np.testing.assert_allclose(read("x.wav"), one, atol=2 / 32768)
    assert generate("between", "one.wav", "other.wav", "-o", "x.wav") == 2
    assert "--force" in capsys.readouterr().err
    assert generate("between", "one.wav", "other.wav", "-o", "x.wav", "--force") == 0
    glide = read("x.wav")
    np.testing.assert_allclose(glide[:100], one[:100], atol=2e-2)
    assert len(glide) == len(one) and not np.allclose(glide[-1_000:], one[-1_000:], atol=1e-2)


def test_standard_output_gets_the_wave_file(folder):
    program = [sys.executable, "-m", "rtae", "generate", "prior", "--seconds", "0.2", "-m", "./vae", "-o"]
    piped = subprocess.run([*program, "-"], capture_output=True, check=True)
    assert generate("prior", "--seconds", 0.2, "-o", "x.wav") == 0
    audio, rate = soundfile.read(io.BytesIO(piped.stdout))
    assert rate == RATE and len(audio) == round(0.2 * RATE)
    np.testing.assert_array_equal(audio, read("x.wav"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prior", "--seconds", "0"], "--seconds is 0"),
        (["prior", "--seconds", "nan"], "--seconds is nan"),
        (["prior", "--level", "3"], "level_dbfs is 3"),
        (["room-tone", "none.wav"], "none.wav"),
        (["between", "one.wav", "other.wav", "--share", "2"], "share is 2"),
        (["prior", "-m", "none"], "no model 'none-encoder'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(folder, capsys, arguments, words):
    before = sorted(folder.iterdir())
    assert main(["generate", arguments[0], "-m", "./vae", *arguments[1:], "-o", "x.wav"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert sorted(folder.iterdir()) == before
