"""``rtae train heads/...``: from folders of words to a classifier that listens."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtae.cli import main
from rtae.model import Model

RATE = 16_000
CONFIG = 'kind = "recurrent"\nwidth = 16\nblocks = 1\nsteps = 40\nbatch = 16\nlearning_rate = 1e-2\n'


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """Two "words", one high and one low, of six "speakers"; and noise of several classes, some of it held out."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(5)
    time = np.arange(RATE // 2) / RATE
    for word, pitch in (("high", 2_000), ("low", 300)):
        (folder / "words" / word).mkdir(parents=True)
        for speaker in range(6):
            tone = 0.1 * np.sin(2 * np.pi * pitch * (1 + 0.03 * speaker) * time) * np.hanning(len(time))
            soundfile.write(folder / "words" / word / f"s{speaker}-00.wav", tone, RATE)
    (folder / "noise").mkdir()
    for number in range(24):
        soundfile.write(folder / "noise" / f"kind{number:02}-00.wav", 0.1 * rng.standard_normal(RATE), RATE)
    (folder / "tiny.toml").write_text(CONFIG)
    return folder


def run(*arguments: object) -> tuple[int, str]:
    output = io.StringIO()
    with redirect_stdout(output):
        status = main([str(argument) for argument in arguments])
    return status, output.getvalue()


def test_from_words_to_a_model_that_tells_them_apart(sounds, tmp_path, capsys):
    common = ("--sounds", sounds / "words", "--noise", sounds / "noise", "-o", tmp_path / "tones")
    status, said = run("train", sounds / "tiny.toml", *common)
    assert status == 0, capsys.readouterr().err
    assert said.startswith("2 classes") and "clean  100.0 %" in said
    checkpoint, model = tmp_path / "tones" / "last.safetensors", tmp_path / "tones.onnx"
    assert f"next: rtae export {checkpoint} -o tones.onnx" in said
    assert main(["train", str(sounds / "tiny.toml"), *map(str, common)]) == 2
    assert "holds a training" in capsys.readouterr().err

    status, said = run("export", checkpoint, "-o", model, "--data", "tones")
    assert status == 0 and "streaming against offline" in said
    spec = Model(model).spec
    assert (spec.kind, spec.name, spec.classes) == ("classifier", "tones", ("high", "low"))
    assert spec.metrics["accuracy"]["clean"] == 1.0 and spec.training["data"] == "tones"
    for option in ("--weights", "--int8"):
        assert main(["export", str(checkpoint), "-o", str(tmp_path / "x.onnx"), option, str(tmp_path / "y")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert main(["export", str(checkpoint), "-o", str(model)]) == 2
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["heads/recurrent"], "--sounds"),
        (["--sounds", "{}/words"], "CONFIG"),
        (["heads/forest", "--sounds", "{}/words"], "heads/attention, heads/convolution, heads/recurrent"),
        (["heads/recurrent", "--sounds", "{}/words", "--budget", "3"], "--budget is not for classifiers"),
        (["heads/recurrent", "--sounds", "{}/noise"], "a folder for each word"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_line(sounds, tmp_path, capsys, arguments, words):
    given = [argument.format(sounds) for argument in arguments]
    assert main(["train", *given, "--noise", str(sounds / "noise"), "-o", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()
