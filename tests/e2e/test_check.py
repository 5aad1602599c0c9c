"""``rtae check`` on the command line."""

from __future__ import annotations

import json

from rtae.cli import main
from tests.faulty_models import redeclared


def test_a_sound_model_passes_with_a_table_of_its_operators(capsys, build):
    assert main(["check", str(build("delay", samples=192))]) == 0
    shown = capsys.readouterr().out
    assert "passes every check" in shown and "Split" in shown and "declared 192 samples" in shown


def test_a_fault_gives_status_1_and_the_reason_as_json(capsys, build, tmp_path):
    liar = redeclared(build("delay", samples=192), tmp_path / "liar.onnx", delay=100)
    assert main(["check", "--json", str(liar)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "fail" and report["schema"] == "rtae-check" and report["machine"]["cores"]
    assert [item["name"] for item in report["findings"] if item["verdict"] == "fail"] == ["delay"]


def test_flags_describe_a_model_that_is_not_recognised(capsys, build):
    model = str(build("delay", samples=192))
    flags = [
        "--input",
        "audio",
        "--output",
        "audio_out",
        "--state",
        "state=state_out",
        "--rate",
        "48000",
        "--hop",
        "128",
    ]
    flags += ["--constant", "attenuation_limit_db=100"]
    assert main(["check", model, *flags, "--delay", "192"]) == 0
    assert main(["check", model, "--delay", "5"]) == 1
    assert "declared 5 samples" in capsys.readouterr().out


def test_wrong_usage_is_one_line(capsys, build, tmp_path):
    model = str(build("identity"))
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    for arguments, part in (
        ([str(tmp_path / "bad.onnx")], "cannot load"),
        ([str(tmp_path / "none.onnx")], "no model"),
        ([model, "--input", "audio"], "missing"),
        ([model, "--state", "x"], "is no pair"),
        ([model, "--constant", "x=y"], "is no number"),
        ([model, "--layout", str(tmp_path / "none.toml")], "cannot read layout"),
    ):
        assert main(["check", *arguments]) == 2
        error = capsys.readouterr().err
        assert part in error and error.count("\n") == 1
