"""``rtae analyze`` on files of every kind, and its page in a browser without network."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib import image
from playwright.sync_api import sync_playwright

from rtae.analysis import MEASURES, analyze, measure
from rtae.cli import main
from tests.unit.analysis.signals import random_signal

CLIP = Path(__file__).parents[1] / "data" / "wide-band-2dB-noisy.flac"
CLEAN = CLIP.with_name("wide-band-2dB-clean.flac")

KINDS = {
    "one sample": (48_000, np.full((1, 1), 0.5, np.float32)),
    "silence": (48_000, np.zeros((10_000, 2), np.float32)),
    "8 channels": (48_000, np.stack([random_signal(seed, 9_000) for seed in range(8)], axis=1)),
    "192 kHz": (192_000, random_signal(9, 60_000)[:, np.newaxis]),
    "100 Hz": (100, random_signal(9, 1_000)[:, np.newaxis]),
    "not finite": (48_000, np.array([[0.5], [np.nan], [np.inf], [0.1]], np.float32)),
}


@pytest.fixture
def recording(tmp_path):
    """Write a sound file and return its path."""

    def write(audio, rate=48_000, name="recording.wav"):
        path = tmp_path / name
        soundfile.write(path, audio, rate, subtype="FLOAT")
        return path

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_every_kind_are_measured_and_reported(recording, tmp_path, kind, capsys):
    rate, audio = KINDS[kind]
    path = recording(audio, rate)
    found = analyze(path)
    whole = measure(audio, rate)
    assert (found.samples, found.channels) == audio.shape
    for name in MEASURES:
        assert whole.values[name].size > 0
        np.testing.assert_array_equal(found.values[name], whole.values[name])
    assert all(np.isfinite(value) for value in found.summary.values())
    assert main(["analyze", str(path), "-o", str(tmp_path / "report.html")]) == 0
    assert main(["analyze", str(path)]) == 0
    assert "mean level" in capsys.readouterr().out


def test_the_summary_is_of_the_signal(recording):
    time = np.arange(96_000) / 48_000
    tone = (0.25 * np.sin(2 * np.pi * 1_000 * time)).astype(np.float32)
    found = analyze(recording(tone)).summary
    assert found["duration_s"] == 2.0
    assert found["peak_db"] == pytest.approx(20 * np.log10(0.25), abs=0.01)
    assert found["rms_db"] == pytest.approx(20 * np.log10(0.25) - 3.01, abs=0.01)
    assert found["crest_db"] == pytest.approx(3.01, abs=0.01)
    assert found["centroid_hz"] == pytest.approx(1_000, rel=0.02)
    assert found["zero_crossing_rate"] == pytest.approx(2_000 / 48_000, rel=0.02)


def test_the_section_is_where_the_loudest_channel_is_loudest(recording):
    audio = 0.01 * np.stack([random_signal(1, 20 * 8_000), random_signal(2, 20 * 8_000)], axis=1)
    audio[9 * 8_000 : 14 * 8_000, 1] += 0.3
    found = analyze(recording(audio, 8_000))
    assert len(found.section) == 6 * 8_000
    assert 8 * 8_000 <= found.section_start <= 9 * 8_000
    start = found.section_start
    np.testing.assert_array_equal(found.section, audio[start : start + 6 * 8_000, 1].astype(np.float32))


def test_json_and_csv_hold_every_frame(recording, tmp_path):
    audio = np.stack([random_signal(1, 30_000), random_signal(2, 30_000)], axis=1)
    path = recording(audio)
    whole = measure(audio, 48_000).values
    for name in ("out.json", "out.csv"):
        assert main(["analyze", str(path), str(path), "-o", str(tmp_path / name)]) == 0
    first, second = json.loads((tmp_path / "out.json").read_text())["files"]
    assert first == second
    assert first["framing"] == {
        "frame_samples": 2048, "hop_samples": 512, "frames": 59, "first_centre_s": 0.0, "mel_bands": 128,
    }  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert len(rows) == 2 * 2 * 59
    for name in MEASURES:
        assert np.shape(first["measures"][name]) == (2, 59)
        np.testing.assert_allclose(np.array(first["measures"][name]).T, whole[name], rtol=1e-6)
        column = np.array([float(row[name]) for row in rows[:118]]).reshape(2, 59)
        np.testing.assert_allclose(column.T, whole[name], rtol=1e-6)
    assert float(rows[58]["time_s"]) == pytest.approx(58 * 512 / 48_000, abs=1e-6)
    assert [rows[0]["channel"], rows[59]["channel"]] == ["1", "2"]


def test_bad_input_is_one_line_and_leaves_nothing(recording, tmp_path, capsys):
    path = recording(random_signal(1, 5_000))
    shorter = recording(random_signal(1, 4_000), name="shorter.wav")
    empty = recording(np.zeros((0, 1), np.float32), name="empty.wav")
    kept = tmp_path / "kept.html"
    kept.write_text("mine")
    before = sorted(tmp_path.iterdir())
    for arguments, part in (
        ([empty], "holds no audio (0 samples)"),
        ([tmp_path / "none.wav"], "cannot read"),
        ([path, "-o", tmp_path / "out.pdf"], "the suffix decides"),
        ([path, "-o", kept], "exists and was kept"),
        ([path, "-o", tmp_path / "none" / "out.html"], "does not exist|No such"),
        ([path, "--compare"], "takes two files"),
        ([path, shorter, "--compare"], "has samples 5000"),
        ([path, empty, "-o", tmp_path / "out.html"], "holds no audio"),
    ):
        assert main(["analyze", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert any(one in error for one in part.split("|")) and error.count("\n") == 1, error
    assert sorted(tmp_path.iterdir()) == before and kept.read_text() == "mine"


def test_a_png_has_all_its_pictures(tmp_path):
    target = tmp_path / "out.png"
    assert main(["analyze", str(CLIP), "-o", str(target)]) == 0
    pixels = image.imread(target)
    assert pixels.shape[0] > pixels.shape[1] > 1_000
    coloured = np.ptp(pixels[..., :3], axis=2) > 0.15
    # Waveform, two spectrograms, spectral measures, zero crossings, scalogram, top to bottom.
    height = len(pixels) // 12
    assert all(coloured[start : start + height].any() for start in range(height, 11 * height, height))


def test_silence_is_black_in_pictures(recording, tmp_path):
    path = recording(np.zeros((48_000, 1), np.float32))
    target = tmp_path / "out.png"
    assert main(["analyze", str(path), "-o", str(target)]) == 0
    pixels = image.imread(target)[..., :3]
    left = pixels[:, : pixels.shape[1] * 4 // 5]  # bars of colours are on the right
    assert (left.max(axis=2) < 0.05).mean() > 0.4  # two spectrograms and a scalogram
    assert (np.ptp(left, axis=2) > 0.4).mean() < 0.01


def test_the_report_opens_plays_and_follows_in_a_browser_without_network(tmp_path):
    target = tmp_path / "report.html"
    assert main(["analyze", "--compare", str(CLIP), str(CLEAN), "-o", str(target)]) == 0
    program = shutil.which("chromium")
    assert program, "chromium is not installed: apt-get install chromium"
    told: list[str] = []
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900}, offline=True)
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: told.append(request.url[:40]))
        page.goto(target.as_uri())
        page.wait_for_function("[...document.images].every((one) => one.complete)")
        page.wait_for_function("[...document.querySelectorAll('audio')].every((one) => one.duration > 0)")
        durations = page.evaluate("[...document.querySelectorAll('audio')].map((one) => one.duration)")
        widths = page.evaluate("[...document.images].map((one) => one.naturalWidth)")
        box = page.locator("figure img").first.bounding_box()
        left, right = (float(page.get_attribute("figure", f"data-{side}")) for side in ("left", "right"))
        page.locator("figure").first.click(position={"x": box["width"] * (left + right) / 2, "y": 50})
        page.wait_for_function("document.querySelector('audio').currentTime > 0")
        jumped = page.evaluate("document.querySelector('audio').currentTime")
        page.wait_for_function("document.querySelector('figure i').style.display == 'block'")
        line = page.evaluate("parseFloat(document.querySelector('figure i').style.left) / 100")
        others = [one for one in told if not one.startswith(("data:", "file:"))]
        page.evaluate("console.log('seen')")
        browser.close()
    assert told[-1] == "seen"  # else nothing above could have been seen
    assert others == []
    seconds = soundfile.info(CLIP).duration
    assert durations == pytest.approx([seconds, seconds], abs=0.01)
    assert len(widths) == 5 and min(widths) > 100
    assert jumped == pytest.approx(seconds / 2, rel=0.02)
    assert line == pytest.approx((left + right) / 2, abs=0.01)
