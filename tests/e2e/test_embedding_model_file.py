"""``models/README.md`` is enough to use a model file: its host runs, its claims hold, its tables are the code's."""

import contextlib
import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtae
from rtae import shipped
from rtae.spec import FORMAT_VERSION, KINDS, METADATA_KEY, ModelSpec

PAGE = (Path(__file__).parents[2] / "models" / "README.md").read_text()
(HOST,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CLIP = Path(__file__).parents[1] / "data" / "full-band-minus-2dB-noisy.flac"
SHIPPED = [name for name in shipped.available() if shipped.load(name).spec.kind == "denoiser"]


def host_of_the_page(folder, model):
    """The names the page's host defines, with ``model`` where it looks for one."""
    (folder / "denoise.onnx").write_bytes(model.read_bytes())
    names = {}
    with contextlib.chdir(folder):
        exec(compile(HOST, "models/README.md", "exec"), names)
    return names


@pytest.mark.parametrize("name", ["compressor", "delay", *SHIPPED])
def test_host_of_the_page_gives_what_rtae_gives(tmp_path, build, name):
    model = shipped.find(name) if name in SHIPPED else build(name)
    host = host_of_the_page(tmp_path, model)
    noisy, _ = soundfile.read(CLIP, dtype="float32", stop=2 * 48_000 + 77)
    clean = host["clean"](noisy)
    assert clean.shape == noisy.shape and np.abs(clean).max() > 1e-3
    np.testing.assert_allclose(clean, rtae.denoise(noisy, host["spec"]["sample_rate"], model), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["gain", "delay", *SHIPPED])
def test_no_attenuation_gives_the_input_later(tmp_path, build, name):
    host = host_of_the_page(tmp_path, shipped.find(name) if name in SHIPPED else build(name))
    noisy, _ = soundfile.read(CLIP, dtype="float32", stop=48_000)
    host["limit"][:] = 0.0
    np.testing.assert_allclose(host["clean"](noisy), noisy, atol=1e-5, rtol=0)


def test_tables_name_every_field_and_kind():
    documented = set(
        re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \| (?:string|list|integer|number|object)", PAGE, re.MULTILINE)
    )
    fields = {field.name for field in dataclasses.fields(ModelSpec)} | {"algorithmic_latency"}
    assert {name for pair in documented for name in pair if name} == fields
    assert set(re.findall(r"^\| `([\w-]+)` \| `", PAGE, re.MULTILINE)) == set(KINDS)
    assert f"The entry `{METADATA_KEY}`" in PAGE and f"Format version **{FORMAT_VERSION}**" in PAGE


def test_delay_of_the_example_is_the_one_declared(build):
    claimed = int(re.search(r"= (\d+) samples of\ndelay", PAGE)[1])
    path = build("delay", samples=128, hop=256)
    assert claimed == 128 + 256 - math.gcd(480, 256) == rtae.Denoiser(path, block_size=480).delay
