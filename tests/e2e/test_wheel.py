"""The wheel in an environment of its own: what a user gets from ``pip install``, far from this repository."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "tests" / "data" / "wide-band-2dB-noisy.flac"


def pip(python, *arguments):
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """``installed(*command)`` runs a program of the environment, in an empty folder; returns its output."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    binaries = home / "bin"
    pip(binaries / "python", "install", wheel)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}

    def run(program, *arguments):
        command = [binaries / program, *map(str, arguments)]
        result = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        return result.stdout

    run.folder = elsewhere
    return run


def test_wheel_holds_what_run_time_needs_and_no_more(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {f"rtae/models/{path.name}" for path in (ROOT / "models").iterdir()}
    assert {f"rtae/models/{name}" for name in ("denoise.onnx", "denoise.safetensors", "README.md")} <= shipped
    assert {name for name in names if name.startswith("rtae/models/")} == shipped
    assert {"rtae/py.typed", "rtae/assets/noisy.opus", "rtae/assets/README.md"} <= names
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rtae").rglob("*.py")}
    assert len(sources) > 20
    assert {name for name in names if name.endswith(".py")} == sources
    others = {name for name in names if not name.startswith("rtae/")}
    assert all(name.split("/")[0].endswith(".dist-info") for name in others)
    assert any(name.endswith("licenses/LICENSE") for name in others)


def test_installed_package_is_not_the_repository_and_has_no_torch(installed):
    code = "import importlib.util as u, rtae; print(rtae.__file__); print(u.find_spec('torch'))"
    location, torch = installed("python", "-c", code).splitlines()
    assert not Path(location).is_relative_to(ROOT)
    assert torch == "None"


def test_shipped_model_loads_and_runs(installed):
    code = (
        "import numpy, rtae\n"
        "denoiser = rtae.load('denoise')\n"
        "out = denoiser.process(numpy.zeros((1000, 1), numpy.float32))\n"
        "print(denoiser.spec.name, denoiser.spec.sample_rate, out.shape)"
    )
    assert installed("python", "-c", code) == "denoise 48000 (1000, 1)\n"


def test_file_is_denoised(installed):
    assert "1 file, 3.0 s of audio" in installed("rtae", "denoise", CLIP, "-o", "clean.flac")
    before, after = soundfile.info(CLIP), soundfile.info(installed.folder / "clean.flac")
    assert (after.frames, after.samplerate, after.subtype) == (before.frames, before.samplerate, before.subtype)


def test_demo_runs_without_its_extra(installed):
    assert "no picture without matplotlib" in installed("rtae", "demo", "--fast")
    assert sorted(os.listdir(installed.folder / "demo")) == ["after.wav", "before.wav"]


def test_module_and_script_agree(installed):
    assert installed("rtae", "info", "denoise") == installed("python", "-m", "rtae", "info", "denoise")
