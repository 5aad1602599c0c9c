"""``rtae bench`` on the command line, and its page in a browser without network."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from rtae.cli import main

SHORT = ("--hops", "120", "--loads", "idle")
CHROMIUM = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr", "--window-size=1200,3000",
)  # fmt: skip


@pytest.fixture(scope="module")
def written(build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    quality = tmp_path_factory.mktemp("quality") / "evaluation.json"
    points = {"near": (8.0, 1.85), "far": (32.0, 1.93), "beside it": (32.0, 1.94)}
    systems = [
        {"name": name, "latency": {"declared_ms": latency}, "means": {"pesq_wb": {"mean": mean}, "estoi": None}}
        for name, (latency, mean) in points.items()
    ]
    quality.write_text(json.dumps({"measures": {"pesq_wb": {"label": "PESQ-WB"}}, "systems": systems}))
    models = [str(build("delay", samples=192)), str(build("encoder"))]
    assert main(["bench", *models, *SHORT, "--quality", str(quality), "-o", str(folder)]) == 0
    return folder


def test_three_files_are_written_and_hold_the_same(written):
    assert {path.name for path in written.iterdir()} == {"bench.json", "bench.md", "bench.html"}
    report = json.loads((written / "bench.json").read_text())
    assert len(report["systems"]) == 2 and len(report["budgets"]) == 1  # an encoder has no signal to time
    assert report["machine"]["cpu"] and "governor" in report["machine"] and report["budgets"][0]["measured_samples"]
    figure = f"{report['systems'][0]['loads']['idle']['p50_ms']:.3f}"
    assert figure in (written / "bench.md").read_text() and figure in (written / "bench.html").read_text()


def test_a_comparison_passes_or_fails_by_the_threshold(written, build, tmp_path, capsys):
    arguments = ["bench", str(build("delay", samples=192)), *SHORT]
    assert main([*arguments, "--compare", str(written / "bench.json"), "--threshold", "1000"]) == 0
    assert "new / old" in capsys.readouterr().err
    report = json.loads((written / "bench.json").read_text())
    report["systems"][0]["size_bytes"] //= 2
    (tmp_path / "old.json").write_text(json.dumps(report))
    assert main([*arguments, "--compare", str(tmp_path / "old.json"), "--threshold", "1.9"]) == 1
    assert "worse" in capsys.readouterr().err
    report["machine"]["cpu"] = "Z80"
    (tmp_path / "old.json").write_text(json.dumps(report))
    assert main([*arguments, "--compare", str(tmp_path / "old.json"), "--threshold", "1000"]) == 0
    assert "another processor (Z80" in capsys.readouterr().err


def test_wrong_usage_is_one_line_and_found_before_anything_is_measured(capsys, build, tmp_path):
    model = str(build("identity"))
    (tmp_path / "file").write_text("x")
    for arguments, part in (
        (["--hops", "5"], "--hops is 5"),
        (["--threshold", "0.5"], "--threshold is 0.5"),
        (["--compare", str(tmp_path / "none.json")], "cannot read"),
        (["--quality", str(tmp_path / "file")], "cannot read"),
        (["-o", str(tmp_path / "file" / "sub")], "cannot write"),
    ):
        assert main(["bench", model, *arguments]) == 2
        error = capsys.readouterr().err
        assert part in error and error.count("\n") == 1


def browse(page: Path, folder: Path) -> tuple[str, Path]:
    """Open a page; return what the browser logged, and a picture of it."""
    browser = shutil.which("chromium")
    assert browser, "chromium is not installed: apt-get install chromium"
    picture = folder / f"{page.stem}.png"
    arguments = [browser, *CHROMIUM, f"--user-data-dir={folder / page.stem}", f"--screenshot={picture}", page.as_uri()]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert picture.exists(), result.stderr
    return result.stderr, picture


def test_the_page_opens_in_a_browser_without_network_or_console_errors(written, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text("<script>console.error('seen'); nothing()</script>")
    log, _ = browse(broken, tmp_path)
    assert "CONSOLE" in log and "seen" in log  # else the next test could not fail
    log, picture = browse(written / "bench.html", tmp_path)
    assert "CONSOLE" not in log
    pixels = image.imread(picture)[..., :3]
    coloured = pixels.max(axis=2) - pixels.min(axis=2) > 0.2
    # The pictures are there, of which each has coloured areas: histogram, time line, budget, quality.
    rows = np.flatnonzero(coloured.any(axis=1))
    pictures = np.split(rows, np.flatnonzero(np.diff(rows) > 100) + 1)
    assert len(pictures) >= 4, [(int(part[0]), int(part[-1])) for part in pictures]
