"""The program on a VAE's latents, with models whose latents are the samples themselves."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtae.errors import RtaeError

SOURCE = Path(__file__).parents[2] / "examples" / "vae"
RATE, HOP = 48_000, 32
TOLERANCE = 2 / 32768


@pytest.fixture
def folder(tmp_path, build):
    for end in ("encoder", "decoder"):
        (tmp_path / f"vae-{end}.onnx").write_bytes(build(f"vae_{end}").read_bytes())
    rng = np.random.default_rng(3)
    (tmp_path / "recordings").mkdir()
    for name, samples in (("one", 24_010), ("other", 30_000)):
        soundfile.write(tmp_path / "recordings" / f"{name}.wav", rng.uniform(-0.4, 0.4, samples), RATE)
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Run the program in this process and in that folder; return what it prints."""
    monkeypatch.syspath_prepend(SOURCE)
    monkeypatch.chdir(folder)
    program = importlib.import_module("vae")

    def run(*arguments):
        assert program.main(["-m", str(folder / "vae"), *map(str, arguments)]) == 0
        return capsys.readouterr().out

    yield run
    for name in ("vae", "figure"):
        del sys.modules[name]


def read(path):
    audio, rate = soundfile.read(path)
    assert rate == RATE and len(audio) > 1000
    return audio


def test_a_reconstruction_is_aligned_and_as_long(folder, run):
    said = run("reconstruct", "recordings/one.wav", "-o", "again.wav")
    assert said.startswith("again.wav: 0.50 s at -12.")
    np.testing.assert_allclose(read(folder / "again.wav"), read(folder / "recordings" / "one.wav"), atol=TOLERANCE)


def test_a_sample_lies_around_the_mean_as_far_as_the_variance_says(folder, run):
    run("reconstruct", "recordings/one.wav", "-o", "drawn.wav", "--sampled")
    mean = read(folder / "recordings" / "one.wav")
    quiet = np.abs(mean) < 0.01  # of variance 1 there, and what leaves full scale is clipped
    assert quiet.sum() > 300
    difference = read(folder / "drawn.wav")[quiet] - mean[quiet]
    expected = np.clip(np.random.default_rng(0).standard_normal(10_000), -1, 1)
    assert np.std(difference) == pytest.approx(np.std(expected), rel=0.1)


def test_interpolation_goes_in_steps(folder, run):
    run("interpolate", "recordings/one.wav", "recordings/other.wav", "-o", "steps.wav")
    audio = read(folder / "steps.wav")
    one, other = (read(folder / "recordings" / f"{name}.wav")[:24_010] for name in ("one", "other"))
    length = 24_010 + round(0.3 * RATE)
    assert len(audio) == 4 * length + 24_010
    for index, share in enumerate((0, 0.25, 0.5, 0.75, 1)):
        part = audio[index * length : index * length + 24_010]
        np.testing.assert_allclose(part, (1 - share) * one + share * other, atol=TOLERANCE)


def test_the_figure_tells_rate_distortion_and_divergence(folder, run):
    found = json.loads(run("figure", "recordings", "-o", "figure.png"))
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert len(found["bits"]) == HOP and found["bits"] == sorted(found["bits"], reverse=True)
    # uniform means of +-0.4 and a logarithmic variance of the mean negated
    mean = np.random.default_rng(0).uniform(-0.4, 0.4, 100_000)
    expected = np.mean(0.5 * (mean**2 + np.exp(-mean) - 1 + mean)) / np.log(2)
    assert np.mean(found["bits"]) == pytest.approx(expected, rel=0.1)
    assert found["kbps"] == pytest.approx(sum(found["bits"]) * RATE / HOP / 1e3)
    assert found["mean_db"] < 0.1 < found["sampled_db"]
    assert [point[2] for point in found["curve"]] == sorted((point[2] for point in found["curve"]), reverse=True)
    assert found["prior_dbfs"] == pytest.approx(0, abs=0.5)
    assert found["prior_speech_band"] == pytest.approx(7900 / 24_000, abs=0.03)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reconstruct", "none.wav", "-o", "x.wav"], "none.wav"),
        (["-m", "other", "reconstruct", "recordings/one.wav", "-o", "x.wav"], "other-encoder"),
        (["figure", ".", "-o", "x.png"], "no recordings"),
        (["reconstruct", "recordings/one.wav", "-o", "none/x.wav"], "none/x.wav"),
    ],
)
def test_what_cannot_be_done_is_said(folder, run, arguments, words):
    with pytest.raises(RtaeError, match=words):
        run(*arguments)
    assert not (folder / "x.wav").exists()


def test_on_the_command_line_an_error_is_one_line(tmp_path):
    program = [sys.executable, SOURCE / "vae.py", "-m", "none", "reconstruct", "x.wav", "-o", tmp_path / "x.wav"]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("rtae: no model 'none-encoder'") and done.stderr.count("\n") == 1
