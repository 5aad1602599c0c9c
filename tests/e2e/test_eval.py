"""``rtae eval`` and the quality benchmark, as they are typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from rtae.cli import main
from rtae.evaluate import dnsmos
from tests.models import METADATA_KEY, Build

ROOT = Path(__file__).parents[2]
FILES = {"evaluation.json", "evaluation.md", "quality-latency.png", "quality-time.png"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for side in ("clean", "noisy"):
        (folder / side).mkdir()
        for name in ("full-band-minus-2dB", "wide-band-2dB"):
            shutil.copy(ROOT / "tests" / "data" / f"{name}-{side}.flac", folder / side / f"{name}.flac")
    return folder


@pytest.fixture
def no_dnsmos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the slowest measure out of tests that are not about scores."""
    monkeypatch.setattr(dnsmos, "score", lambda audio: dnsmos.Scores(1.0, 1.0, 1.0))


def test_models_and_peers_are_evaluated_side_by_side(
    pairs: Path, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "results"
    model = build("delay", samples=192)
    status = main(["eval", str(pairs), "--models", str(model), "--peers", "rnnoise", "webrtc-ns", "-o", str(out)])
    assert status == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert {path.name for path in out.iterdir()} == FILES
    document = json.loads((out / "evaluation.json").read_text())
    systems = {system["name"]: system for system in document["systems"]}
    assert list(systems) == ["noisy", model.stem, "rnnoise", "webrtc-ns"]
    assert document["data"]["recordings"] == 2 and document["problems"] == []
    assert systems["rnnoise"]["changes"]["si_sdr"]["mean"] > 3
    assert systems["rnnoise"]["changes"]["dnsmos_bak"]["mean"] > 0.3
    assert systems[model.stem]["changes"]["si_sdr"]["mean"] == pytest.approx(0.0, abs=1e-6)
    assert systems[model.stem]["latency"]["measured_ms"] == pytest.approx(6.667, abs=0.01)
    for system in list(systems.values())[1:]:
        assert system["latency"]["agrees"] and system["timing"]["hops"] > 500
    page = (out / "evaluation.md").read_text()
    quality, latency = printed.out.strip().split("\n\n")
    assert quality in page and latency in page
    assert all(name in quality for name in systems)


@pytest.mark.usefixtures("no_dnsmos")
def test_a_model_delayed_3_ms_more_than_it_declares_is_reported(
    pairs: Path, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(build("delay", samples=192))
    for item in model.metadata_props:
        if item.key == METADATA_KEY:
            item.value = json.dumps({**json.loads(item.value), "delay": 48, "algorithmic_latency": 48 + 128})
    (tmp_path / "liar.onnx").write_bytes(model.SerializeToString())
    assert main(["eval", str(pairs), "-m", str(tmp_path / "liar.onnx")]) == 0
    printed = capsys.readouterr()
    assert "rtae: liar: declares a delay of 1.00 ms, measured are 4.00 ms (+3.00 ms)" in printed.err
    assert "**6.67**" in printed.out


@pytest.mark.usefixtures("no_dnsmos")
def test_json_on_standard_output(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(pairs), "--json", "--seed", "5"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["confidence"]["seed"] == 5
    assert [system["name"] for system in document["systems"]] == ["noisy"]


@pytest.mark.usefixtures("no_dnsmos")
def test_models_of_one_file_name_are_told_apart(
    pairs: Path, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / run / "model.onnx" for run in ("first", "second")]
    for path in paths:
        path.parent.mkdir()
        shutil.copy(build("identity"), path)
    assert main(["eval", str(pairs), "--json", "--models", *map(str, paths)]) == 0
    names = [system["name"] for system in json.loads(capsys.readouterr().out)["systems"]]
    assert names == ["noisy", *map(str, paths)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{nowhere}"], "holds no folder clean/"),
        (["{pairs}", "-m", "{nowhere}"], "no model"),
        (["{pairs}", "-m", "{text}"], "onnxruntime cannot load"),
        (["{pairs}", "-p", "krisp"], "unknown peer 'krisp'"),
        (["{pairs}", "-p", "gtcrn={nowhere}"], "no model file"),
        (["{pairs}", "-o", "{text}"], "cannot write to the folder"),
        (["{pairs}", "-o", "{text}/results"], "cannot write to the folder"),
        (["{pairs}", "--seed", "-1"], "seed is -1"),
        (["{pairs}", "-p", "rnnoise", "rnnoise"], "two systems are named 'rnnoise'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(
    arguments: list[str], told: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("not a model")
    places = {"pairs": pairs, "text": text, "nowhere": tmp_path / "nowhere.onnx"}
    assert main(["eval", *(argument.format(**places) for argument in arguments)]) == 2
    printed = capsys.readouterr()
    assert told in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert list(tmp_path.iterdir()) == [text]


@pytest.mark.parametrize("package", ["pesq", "threadpoolctl"])
def test_a_missing_package_names_the_extra(
    package: str, pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["eval", str(pairs)]) == 2
    assert "pip install 'rtae[peers]'" in capsys.readouterr().err


@pytest.mark.usefixtures("no_dnsmos")
def test_a_full_disk_is_told_and_leaves_no_half_file(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["eval", str(pairs), "-o", str(tmp_path)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_benchmark_script_is_the_command() -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "quality.py")]
    shown = subprocess.run([*script, "--help"], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0 and "usage: rtae eval" in shown.stdout
    for peer in ("rnnoise", "webrtc-ns", "gtcrn=FILE", "ul-unas=FILE", "dtln=FILE,FILE"):
        assert peer in " ".join(shown.stdout.split())
