"""The benchmarks of speed and latency: README shows what they print, and a wrong result is no success."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.faulty_models import redeclared

ROOT = Path(__file__).parents[2]


def benchmark(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def readme():
    return (ROOT / "README.md").read_text()


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ") and "| ms |" not in line and "---" not in line
    ]


def test_the_latency_table_in_the_readme_is_what_is_measured(readme, capsys):
    assert benchmark("latency").main([]) == 0
    printed, shown = rows(capsys.readouterr().out), rows(readme)
    assert len(printed) >= 8
    for row in printed:
        *declared, samples, measured, _, _, agrees = row
        found = next(other for other in shown if other[:3] == row[:3] and len(other) == len(row))
        assert found[:5] == [*declared, samples] and found[-1] == agrees == "yes"
        # Confidence and the last digit are the processor's.
        assert float(found[5]) == pytest.approx(float(measured), abs=0.05)


def test_the_speed_table_in_the_readme_is_of_the_kind_that_is_printed(readme, capsys, build, tmp_path):
    path = build("delay", samples=192)
    options = [str(path), str(build("encoder")), "--hops", "100", "-o", str(tmp_path / "speed.json")]
    assert benchmark("speed").main(options) == 0
    heading, _, first, second = capsys.readouterr().out.splitlines()[:4]
    assert first.startswith(f"| {path.stem} |") and first.endswith("| 192, is 192.00 | 0e+00 |")
    assert second.endswith("|  | 0e+00 |")
    assert heading in readme and "| denoise |" in readme.partition(heading)[2]
    found = json.loads((tmp_path / "speed.json").read_text())
    assert [item["delay"] for item in found["systems"]] == [192, None] and found["environment"]["cpu"]


def test_a_wrong_delay_is_no_success(capsys, build, tmp_path):
    liar = redeclared(build("delay", samples=192), tmp_path / "liar.onnx", delay=150)
    assert benchmark("speed").main([str(liar), "--hops", "100"]) == 1
    assert "| 150, is 192.00 |" in capsys.readouterr().out
    assert benchmark("latency").main([str(liar)]) == 1
    assert "| NO |" in capsys.readouterr().out
