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


def test_the_latency_table_in_the_readme_is_what_is_measured(readme, capsys):
    assert benchmark("latency").main([]) == 0
    table = capsys.readouterr().out.strip()
    assert table.count("\n") >= 9 and " NO |" not in table
    assert table in readme


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
