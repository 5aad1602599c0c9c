"""Reports as JSON, Markdown and pictures, from made-up results."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rtae.errors import MissingDependencyError
from rtae.evaluate import environment, pictures
from rtae.evaluate.metrics import METRICS
from rtae.evaluate.report import FORMAT_VERSION, Report
from rtae.evaluate.results import Latency, SystemResult, Timing
from rtae.evaluate.statistics import Estimate

TIMING = Timing(0.05, 0.4, 0.9, 1.6, 3.0, 25_000)


def result(name: str, value: float, *, declared_ms: float | None, measured_ms: float | None = None) -> SystemResult:
    scores: dict[str, float | None] = dict.fromkeys(METRICS, value)
    scores["onset_loss_db"] = None
    means = {key: None if each is None else Estimate(each, each - 0.25, each + 0.5, 2) for key, each in scores.items()}
    latency = None if declared_ms is None else Latency(8.0, declared_ms, measured_ms)
    return SystemResult(name, 48_000, {"a": scores, "b": scores}, means, means, latency and TIMING, latency)


@pytest.fixture
def report() -> Report:
    results = [
        result("noisy", 1.5, declared_ms=None),
        result("honest", 2.0, declared_ms=4.0, measured_ms=4.01),
        result("liar", -0.0004, declared_ms=4.0, measured_ms=7.0),
        result("mute", 1.0, declared_ms=4.0),
    ]
    return Report(results, "dev", 2, 10.0, 7, environment.describe())


def rows(markdown: str, heading: str) -> dict[str, list[str]]:
    """The cells of the first table after a heading, by the name of the system."""
    lines = markdown.split(f"## {heading}\n\n")[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({len(row) for row in cells}) == 1 and set("".join(cells[1])) == {"-"}
    return {row[0]: row[1:] for row in cells if set(row[0]) != {"-"}}


def test_json_holds_everything_and_its_version(report: Report) -> None:
    document = json.loads(report.to_json())
    assert (document["format"], document["format_version"]) == ("rtae-evaluation", FORMAT_VERSION)
    assert document["data"] == {"name": "dev", "recordings": 2, "seconds": 10.0}
    assert document["confidence"] == {"level": 0.95, "resamples": 2000, "seed": 7}
    assert document["measures"]["pesq_wb"]["higher_is_better"] is True
    noisy, honest, liar, mute = document["systems"]
    assert noisy["latency"] is None and noisy["timing"] is None
    assert honest["recordings"]["a"]["pesq_wb"] == 2.0 and honest["recordings"]["a"]["onset_loss_db"] is None
    assert honest["means"]["pesq_wb"] == {"mean": 2.0, "low": 1.75, "high": 2.5, "count": 2}
    assert honest["changes"]["onset_loss_db"] is None
    assert honest["timing"]["p999_ms"] == 1.6 and honest["timing"]["rtf"] == 0.05
    assert honest["latency"]["declared_ms"] == 12.0 and honest["latency"]["agrees"] is True
    assert liar["latency"]["measured_ms"] == 15.0 and liar["latency"]["agrees"] is False
    assert mute["latency"]["measured_ms"] is None
    assert [problem.split(":")[0] for problem in document["problems"]] == ["liar", "mute"]
    found = document["environment"]
    assert found["threads"] == 1 and found["packages"]["numpy"] == np.__version__ and found["cpu"] and found["python"]


def test_markdown_tells_the_means_and_marks_what_disagrees(report: Report) -> None:
    page = report.to_markdown()
    quality = rows(page, "Quality")
    assert quality["system"][:3] == ["PESQ-WB ↑", "ESTOI ↑", "SI-SDR dB ↑"] and len(quality["system"]) == len(METRICS)
    assert quality["honest"][:2] == ["2.00", "2.000"]
    assert quality["liar"][0] == "0.00", "no minus sign before nothing"
    assert quality["noisy"][list(METRICS).index("onset_loss_db")] == "–"
    assert rows(page, "Means, 95% confidence intervals")["honest"][0] == "1.75 … 2.50"
    changes = rows(page, "Change from the noisy input, 95% confidence intervals")
    assert "noisy" not in changes and changes["honest"][0] == "1.75 … 2.50"
    latency = rows(page, "Latency and time")
    assert "noisy" not in latency
    assert latency["honest"] == ["12.00", "12.01", "8.00", "0.400", "0.900", "1.600", "3.000", "0.0500"]
    assert latency["liar"][1] == "**15.00**" and latency["mute"][1] == "**unknown**"
    assert "- liar: declares a delay of 4.00 ms, measured are 7.00 ms (+3.00 ms)" in page
    assert "without Corrigendum 2" in page and "one thread" in page


def test_no_problem_no_heading(report: Report) -> None:
    honest = Report(report.results[:2], "dev", 2, 10.0, 7, report.environment)
    assert "## Problems" in report.to_markdown() and "## Problems" not in honest.to_markdown()


@pytest.mark.parametrize("draw", [pictures.quality_against_latency, pictures.quality_against_time])
def test_pictures_are_pictures(draw, report: Report) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(draw(report.results))).convert("RGB"))
    assert pixels.shape[0] > 500 and pixels.shape[1] > 800
    fewer = np.asarray(Image.open(io.BytesIO(draw(report.results[:2]))).convert("RGB"))
    assert fewer.shape == pixels.shape and (fewer != pixels).any(), "every system is drawn"
    assert draw(report.results[:1])[:8] == b"\x89PNG\r\n\x1a\n", "the noisy input alone"


def test_a_picture_of_nothing_defined_is_drawn() -> None:
    undefined = SystemResult("noisy", 48_000, {}, dict.fromkeys(METRICS), dict.fromkeys(METRICS))
    assert pictures.quality_against_latency([undefined])[:4] == b"\x89PNG"


def test_without_matplotlib_the_extra_is_named(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"matplotlib.*rtae\[peers\]"):
        pictures.quality_against_time(report.results)


def test_one_thread_restricts_the_libraries_already_loaded() -> None:
    from threadpoolctl import threadpool_info

    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info()]

    before = threads()
    assert before, "numpy's own library is loaded"
    with environment.one_thread():
        assert set(threads()) == {1}
    assert threads() == before


def test_the_revision_is_that_of_the_sources_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        return subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    source = tmp_path / "environment.py"
    monkeypatch.setattr(environment, "__file__", str(source))
    source.write_text("")
    assert environment.describe()["commit"] is None, "no repository"
    git("init")
    git("commit", "--allow-empty", "-m", "somebody else's")
    assert environment.describe()["commit"] is None, "a repository that happens to be around"
    git("add", source.name)
    git("commit", "-m", "ours")
    revision = git("rev-parse", "HEAD")[:12]
    assert environment.describe()["commit"] == revision
    source.write_text("# changed")
    assert environment.describe()["commit"] == f"{revision}+"
    monkeypatch.setenv("PATH", "")
    assert environment.describe()["commit"] is None, "no git"
