"""The benchmark of codecs and the listening pages, with a codec that loses nothing."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import soundfile

from rtae.errors import ParameterError

ROOT = Path(__file__).parents[2]
CLIP = "full-band-17dB"


def benchmark(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pairs(tmp_path):
    """One pair of a second and a half."""
    for side in ("clean", "noisy"):
        audio, rate = soundfile.read(ROOT / "tests" / "data" / f"{CLIP}-{side}.flac", stop=72_000, dtype="float32")
        (tmp_path / "pairs" / side).mkdir(parents=True)
        soundfile.write(tmp_path / "pairs" / side / f"{CLIP}.flac", audio, rate)
    return tmp_path / "pairs"


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "index.csv"
    path.write_text(f"file,source,licence\nspeech/a.wav,some/speech,CC0\ndev/clean/{CLIP}.flac,some/speech,\n")
    return path


def test_the_codec_benchmark_writes_a_table_figures_and_a_picture(pairs, build, tmp_path, capsys):
    ends = [str(build(end)) for end in ("encoder", "decoder")]
    assert (
        benchmark("codec").main([str(pairs), *ends, "--quick", "--stages", "32", "24", "-o", str(tmp_path / "out")])
        == 0
    )
    assert "| codec 768 | 768.00 | 768.00   | 4.64 " in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "codec.json").read_text())
    assert [system["name"] for system in found["systems"]] == ["original", "codec 768", "codec 576"]
    assert len(found["stages"]) == 32
    assert (tmp_path / "out" / "codec.md").read_text().startswith("# Evaluation of codecs")
    assert (tmp_path / "out" / "codec.png").read_bytes().startswith(b"\x89PNG")


def test_a_listening_page_links_what_it_wrote_and_keeps_remarks(pairs, index, build, tmp_path):
    ends = [str(build(end)) for end in ("encoder", "decoder")]
    arguments = ["codec", str(pairs), *ends, "--kbps", "768", "--index", str(index), "-o", str(tmp_path / "page")]
    assert benchmark("listening").main(arguments) == 0
    page = tmp_path / "page" / "index.md"
    text = page.read_text()
    files = {path.name for path in page.parent.iterdir()} - {"index.md"}
    assert files == {f"{CLIP}-original.ogg", f"{CLIP}-768kbps.ogg", f"{CLIP}.webp"}
    assert all(f"({name})" in text for name in files)
    assert "[some/speech](https://github.com/some/speech) (CC0)" in text and "| 4.64" in text
    clip, rate = soundfile.read(page.parent / f"{CLIP}-768kbps.ogg")
    assert rate == 48_000 and abs(len(clip) - 72_000) < 10
    page.write_text(text.replace("Not listened to yet.", "A remark."))
    assert benchmark("listening").main(arguments) == 0
    assert page.read_text() == text.replace("Not listened to yet.", "A remark.")


def test_a_recording_without_licence_is_not_published(pairs, index, build, tmp_path):
    index.write_text(index.read_text().replace("CC0", ""))
    arguments = [
        "denoise",
        str(pairs),
        "--model",
        str(build("gain")),
        "--index",
        str(index),
        "-o",
        str(tmp_path / "page"),
    ]
    with pytest.raises(ParameterError, match="may not be published"):
        benchmark("listening").main(arguments)
    assert not (tmp_path / "page").exists()
