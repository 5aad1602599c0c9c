"""The package as its users see it: names, version, and what an import costs."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rtae
from rtae.errors import ParameterError
from tests.models import Build

ROOT = Path(__file__).parents[2]

NAMES = [
    "Denoiser",
    "LiveStream",
    "ModelSpec",
    "Processor",
    "RtaeError",
    "__version__",
    "denoise",
    "devices",
    "load",
]


def run_python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_public_names_are_these_and_all_there() -> None:
    assert rtae.__all__ == NAMES
    assert set(NAMES) <= set(dir(rtae))
    for name in NAMES:
        assert getattr(rtae, name) is not None
        assert name.startswith("_") or inspect.getdoc(getattr(rtae, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        rtae.no_such_name  # noqa: B018


def test_the_version_is_one() -> None:
    assert rtae.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("first", ["import rtae", "import rtae.denoise, rtae", "from rtae.denoise import Denoiser"])
def test_denoise_is_the_function_whatever_was_imported_first(first: str) -> None:
    assert (
        run_python(f"{first}\nimport rtae, sys\nprint(rtae.denoise is sys.modules['rtae.denoise'].denoise)") == "True"
    )


def test_an_import_takes_numpy_and_nothing_heavier() -> None:
    heavy = ("torch", "onnxruntime", "sounddevice", "soundfile", "scipy", "rich", "rtae.live", "rtae.cli")
    script = f"import sys, rtae\nprint('rtae' in sys.modules, [name for name in {heavy} if name in sys.modules])"
    assert run_python(script) == "True []"


def test_denoising_an_array_needs_no_sound_library(build: Build) -> None:
    heavy = ("torch", "sounddevice", "soundfile", "scipy")
    script = (
        f"import sys, numpy, rtae\n"
        f"print(rtae.denoise(numpy.zeros(100), 44100, {str(build('identity'))!r}).shape)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert run_python(script).splitlines() == ["(100,)", "[]"]


def test_load_makes_a_denoiser_and_passes_its_options_on(build: Build) -> None:
    denoiser = rtae.load(build("identity"), sample_rate=16_000, channels=2, block_size=160, attenuation_limit_db=9.0)
    assert isinstance(denoiser, rtae.Denoiser)
    assert isinstance(denoiser, rtae.Processor)
    assert (denoiser.sample_rate, denoiser.channels, denoiser.block_size) == (16_000, 2, 160)
    assert denoiser.attenuation_limit_db == 9.0
    defaults = rtae.load(build("identity"))
    assert (defaults.sample_rate, defaults.channels) == (48_000, 1)
    with pytest.raises(ParameterError, match="channels"):
        rtae.load(build("identity"), channels=0)


def test_defaults_agree() -> None:
    def default(function: object, name: str) -> object:
        return inspect.signature(function).parameters[name].default  # type: ignore[arg-type]

    assert default(rtae.load, "model") == default(rtae.Denoiser, "model") == default(rtae.denoise, "model") == "denoise"
    limits = [default(function, "attenuation_limit_db") for function in (rtae.Denoiser, rtae.denoise)]
    assert limits == [None, None]


def test_every_error_is_an_rtae_error_and_a_builtin() -> None:
    from rtae import errors

    classes = [item for item in vars(errors).values() if inspect.isclass(item)]
    assert len(classes) > 5
    for item in classes:
        assert issubclass(item, rtae.RtaeError)
        assert item is rtae.RtaeError or item.__mro__[2].__module__ == "builtins"
        assert item.__name__ in (errors.__doc__ or "")
