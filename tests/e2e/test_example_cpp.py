"""The C++ host: built with CMake, checked by its own program, equal to Python."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime.datasets
import pytest
import soundfile
from scipy.signal import resample_poly

import rtae
from rtae.model import Model
from tests import hosts

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "cpp"
ONNXRUNTIME = ROOT / "build" / "onnxruntime"
CLIPS = sorted((ROOT / "tests" / "data").glob("full-band-*-noisy.flac"))
FULL_SCALE = 1e-5
"""Largest difference from Python, relative to full scale."""


def command(*words, **environment):
    words = [str(word) for word in words]
    return subprocess.run(words, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Folder of the built programs."""
    for tool in ("cmake", "c++"):
        assert shutil.which(tool), f"{tool} is missing; .ci/run lists the system packages the tests need"
    done = command(SOURCE / "onnxruntime.sh", ONNXRUNTIME, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    folder = tmp_path_factory.mktemp("cpp")
    for step in (["-S", SOURCE, "-B", folder, f"-DONNXRUNTIME_ROOT={ONNXRUNTIME}"], ["--build", folder]):
        done = command("cmake", *step, CXXFLAGS="-O1 -Werror")
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def noisy():
    """Ten seconds of speech in noise."""
    audio = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in CLIPS])
    return np.tile(audio, 10 * 48_000 // len(audio) + 1)[: 10 * 48_000 + 123]


@pytest.mark.parametrize("chain", hosts.CHAINS, ids="+".join)
def test_output_is_that_of_python(programs, tmp_path, build, noisy, chain):
    files = hosts.files_of(chain, build)
    rate = hosts.sample_rate(files)
    audio = resample_poly(noisy, rate, 48_000).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", audio, rate, "FLOAT")
    done = command(programs / "rtae_process", *files, tmp_path / "in.wav", tmp_path / "out.wav")
    assert done.returncode == 0, done.stderr
    ours, ours_rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert ours_rate == rate and ours.shape == audio.shape and np.abs(ours).max() > 0.01
    np.testing.assert_allclose(ours, hosts.expected(files, audio), atol=FULL_SCALE, rtol=0)


@pytest.mark.parametrize("name", hosts.CLASSIFIERS)
def test_scores_are_those_of_python(programs, tmp_path, build, noisy, name):
    file = hosts.classifier(name, build)
    spec = Model(file).spec
    audio = resample_poly(noisy, spec.sample_rate, 48_000).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", audio, spec.sample_rate, "FLOAT")
    done = command(programs / "rtae_classify", file, tmp_path / "in.wav")
    assert done.returncode == 0, done.stderr
    header, *lines = done.stdout.splitlines()
    assert header.split(",") == ["seconds", *spec.classes]
    table = np.array([line.split(",") for line in lines], float)
    expected = hosts.scores(file, audio)
    assert len(table) == len(audio) // spec.hop and expected.std() > 0.01
    np.testing.assert_allclose(table[:, 0], np.arange(len(table)) * spec.hop / spec.sample_rate, atol=6e-4)
    np.testing.assert_allclose(table[:, 1:], expected, atol=FULL_SCALE, rtol=FULL_SCALE)
    whole = np.exp(expected.mean(axis=0, dtype=float))
    likely = whole.max() / whole.sum()
    assert done.stderr == f"{spec.classes[int(whole.argmax())]}, {100 * likely:.0f} %\n"


@pytest.mark.parametrize(
    ("model", "audio", "complaint"),
    [("compressor", "good.wav", "is no classifier"), ("classifier", "good.wav", "48000 Hz; convert it first")],
)
def test_what_cannot_be_classified_is_one_line(programs, tmp_path, build, noisy, model, audio, complaint):
    soundfile.write(tmp_path / audio, noisy[:4800], 48_000, "FLOAT")
    done = command(programs / "rtae_classify", build(model), tmp_path / audio)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr and done.stderr.startswith("rtae_classify: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("chain", [("delay",), ("gain",), *hosts.BUILT[2:], *hosts.SHIPPED], ids="+".join)
def test_host_passes_its_own_check(programs, build, chain):
    files = [build("gain")] if chain == ("gain",) else hosts.files_of(chain, build)
    done = command(programs / "rtae_check", *files)
    checks = 5 if len(files) == 1 else 4  # a codec knows no attenuation
    assert (done.returncode, done.stdout.count(" yes (")) == (0, checks), done.stdout + done.stderr


def test_check_finds_a_model_that_ignores_the_limit(programs, build):
    done = command(programs / "rtae_check", build("compressor"))
    assert done.returncode == 1
    assert re.search(r"^Without attenuation.* NO ", done.stdout, re.MULTILINE)


def test_16_bit_stereo_is_two_streams(programs, tmp_path, build, noisy):
    audio = np.stack([noisy[:48_000], noisy[48_000:96_000]], axis=1)
    soundfile.write(tmp_path / "in.wav", audio, 48_000, "PCM_16")
    done = command(programs / "rtae_process", build("compressor"), tmp_path / "in.wav", tmp_path / "out.wav")
    assert done.returncode == 0, done.stderr
    before = soundfile.read(tmp_path / "in.wav", dtype="float32")[0]
    after = soundfile.read(tmp_path / "out.wav", dtype="float32")[0]
    np.testing.assert_allclose(after, rtae.denoise(before, 48_000, build("compressor")), atol=FULL_SCALE, rtol=0)


@pytest.mark.parametrize(
    ("model", "audio", "complaint"),
    [
        ("missing.onnx", "good.wav", "missing.onnx"),
        ("foreign.onnx", "good.wav", "not an rtae model"),
        ("cut.onnx", "good.wav", "cut.onnx"),
        ("encoder.onnx", "good.wav", "a denoiser is wanted, or an encoder and its decoder"),
        ("good.onnx", "missing.wav", "cannot open"),
        ("good.onnx", "text.wav", "no wave file"),
        ("good.onnx", "header.wav", "no audio in it"),
        ("good.onnx", "24-bit.wav", "neither 16-bit nor float"),
        ("good.onnx", "16kHz.wav", "16000 Hz"),
    ],
)
def test_bad_input_is_one_line_and_no_file(programs, tmp_path, build, noisy, model, audio, complaint):
    good = build("compressor").read_bytes()
    (tmp_path / "good.onnx").write_bytes(good)
    (tmp_path / "cut.onnx").write_bytes(good[: len(good) // 2])
    shutil.copy(build("encoder"), tmp_path / "encoder.onnx")
    shutil.copy(onnxruntime.datasets.get_example("mul_1.onnx"), tmp_path / "foreign.onnx")
    soundfile.write(tmp_path / "good.wav", noisy[:4800], 48_000, "FLOAT")
    soundfile.write(tmp_path / "24-bit.wav", noisy[:4800], 48_000, "PCM_24")
    soundfile.write(tmp_path / "16kHz.wav", noisy[:4800], 16_000, "FLOAT")
    (tmp_path / "text.wav").write_text("Not audio, but long enough to be some.")
    (tmp_path / "header.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:36])
    done = command(programs / "rtae_process", tmp_path / model, tmp_path / audio, tmp_path / "out.wav")
    assert done.returncode == 2
    assert complaint in done.stderr and done.stderr.startswith("rtae_process: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out.wav").exists()


def test_one_command_of_the_readme_works(programs, tmp_path, build, noisy):
    assert "$ examples/cpp/run.sh noisy.wav clean.wav\n" in (SOURCE / "README.md").read_text()
    soundfile.write(tmp_path / "noisy.wav", noisy[:48_000], 48_000, "FLOAT")
    words = [SOURCE / "run.sh", tmp_path / "noisy.wav", tmp_path / "clean.wav", build("delay")]
    # The programs are built already: the command finds that out by itself.
    done = command(*words, BUILD=str(programs), PYTHON=sys.executable, CXXFLAGS="-O1 -Werror")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(soundfile.read(tmp_path / "clean.wav")[0], soundfile.read(tmp_path / "noisy.wav")[0])
