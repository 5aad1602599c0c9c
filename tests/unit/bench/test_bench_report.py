"""Reports of the benchmark: what is measured is what is there, and old and new are compared."""

from __future__ import annotations

import copy
import json
import re
import sys
import time

import numpy as np
import onnxruntime
import pytest
from matplotlib.figure import Figure

from rtae.bench import speed
from rtae.bench.driver import open_session
from rtae.bench.hops import HopTimes, agreement, measuring_overhead_us, time_hops
from rtae.bench.page import _histogram, _timeline, to_html
from rtae.bench.report import compare, comparison_table, document, read_document, to_markdown, worse
from rtae.bench.speed import Extent, measure_model, measure_network, measure_system
from rtae.bench.streams import BATCHES
from rtae.bench.systems import CodecEnd, Network, feed, stepper
from rtae.errors import MissingDependencyError, ParameterError
from rtae.evaluate.systems import ModelSystem
from rtae.model import Model
from tests import faulty_models
from tests.unit.evaluate import layouts


class Sleeper:
    name, sample_rate, hop = "sleeper", 48_000, 48

    def step(self, audio):
        time.sleep(0.002)
        return audio


@pytest.fixture(scope="module")
def report(build):
    path = build("delay", samples=192)
    extent = Extent(hops=200, loads=("idle",))
    system = measure_system(lambda: ModelSystem(path), extent) | measure_model(path, extent)
    parts = {"input_device": None, "hop_wait": 96, "model": 192, "headroom": 128, "output_device": 0}
    budget = {"what": "<b>: a path", "sample_rate": 48_000, "parts_samples": parts, "reported_samples": 416}
    budgets = [budget | {"measured_samples": 416.0}, budget | {"what": "none", "measured_samples": None}]
    machine = {"cpu": "a & b", "cores": 2, "system": "x", "python": "3", "packages": {"numpy": "2"}, "threads": 1}
    return document([system], budgets, machine, measuring_overhead_us())


def test_a_hop_that_sleeps_two_milliseconds_is_late_every_time():
    found = time_hops(Sleeper(), 60).as_dict()
    assert found["deadline_ms"] == pytest.approx(1.0)
    assert found["late"] == found["hops"] == 60 and found["p50_ms"] >= 2.0 and found["rtf"] >= 2.0
    assert found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"] <= found["p99_9_ms"] <= found["max_ms"]
    assert sum(found["histogram"]["counts"]) == 60 and max(found["timeline_ms"]) == found["max_ms"]


def test_percentiles_histogram_and_time_line_are_those_of_the_times():
    seconds = np.linspace(0.001, 0.1, 1000)
    found = HopTimes(seconds, 0.05).as_dict()
    assert found["p50_ms"] == pytest.approx(50.5) and found["max_ms"] == pytest.approx(100.0)
    assert found["late"] == int(np.sum(seconds > 0.05)) and found["rtf"] == pytest.approx(1.01)
    assert len(found["timeline_ms"]) == 400 and sum(found["histogram"]["counts"]) == 1000
    edges, counts = found["histogram"]["edges_ms"], found["histogram"]["counts"]
    assert len(edges) == len(counts) + 1 and edges[0] <= 1.0 < edges[1] and edges[-2] <= 100.0 < edges[-1]
    # All lie on one grid, so that one can be drawn over another.
    other = HopTimes(3.0 * seconds, 0.05).as_dict()["histogram"]["edges_ms"]
    common = [edge for edge in other if any(edge == pytest.approx(mine) for mine in edges)]
    assert len(common) > 10 and edges[1] / edges[0] == pytest.approx(10 ** (1 / 20), rel=1e-5)


def test_agreement_is_the_ratio_of_two_calls():
    assert 1.5 < agreement(lambda _: time.sleep(0.002), lambda _: time.sleep(0.001), list(range(60))) < 2.5


def test_a_report_holds_every_figure_and_is_json(report):
    system = json.loads(json.dumps(report, allow_nan=False))["systems"][0]
    assert report["schema"] == "rtae-bench" and report["version"] == 1
    assert 0.0 < report["measuring_overhead_us"] < 100.0
    assert system["size_bytes"] > 100 and system["nodes"] >= 4 and system["start_ms"] > 0 < system["first_hop_ms"]
    assert system["error"] == 0.0 and 0.5 < system["agreement"] < 2.0 and 0.3 < system["run_time"] < 10.0
    assert system["file_times_real_time"] > 1.0
    assert set(system["streams"]["stream_us"]) == {str(size) for size in BATCHES}
    assert system["streams"]["batched"] >= system["streams"]["one_by_one"] > 0 < system["streams"]["all_cores"]
    assert {row["block"] for row in system["blocks"]} >= {64, 128, 480}
    assert {row["threads"] for row in system["variants"]} == {1, 2}
    assert abs(system["memory_growth_mib"]) < 20 and system["allocation_kept_bytes_a_hop"] < 1000


def test_the_markdown_has_a_table_for_each_part(report):
    page = to_markdown(report)
    for title in ("Hop times", "Systems", "Real-time streams", "Block sizes", "Threads", "Latency budget"):
        assert f"## {title}" in page
    assert "not reported" in page and "| none |" in page and "Timing a hop adds" in page
    tables = [line.count("|") for line in page.splitlines() if line.startswith("| ---")]
    assert len(tables) == 6


def test_the_page_is_whole_and_asks_nothing_of_the_network(report):
    quality = {
        "measures": {"pesq_wb": {"label": "PESQ-WB"}},
        "systems": [{"name": "a", "latency": {"declared_ms": 8.0}, "means": {"pesq_wb": {"mean": 2.0}, "estoi": None}}],
    }
    page = to_html(report, quality)
    assert page.count("data:image/svg+xml;base64,") == 4 and "Quality against latency" in page
    assert not re.search(r"(src|href)\s*=\s*['\"](?!data:)", page) and "<script" not in page and "url(" not in page
    assert "a &amp; b" in page and "&lt;b&gt;: a path" in page
    assert to_html(report).count("data:image/svg+xml;base64,") == 3


def test_pictures_show_every_load_that_a_system_was_under(report):
    more = copy.deepcopy(report)
    busy = more["systems"][0]["loads"] | {"cpu": HopTimes(np.full(200, 0.003), 0.0027).as_dict()}
    more["systems"].append(more["systems"][0] | {"name": "another", "loads": busy})
    figure = Figure()
    _histogram(figure, more)
    assert [axis.get_title(loc="left").partition(",")[0] for axis in figure.axes] == [
        f"{name}: deadline 2.67 ms" for name in (report["systems"][0]["name"], "another")
    ]
    assert figure.axes[1].get_title(loc="left").endswith("100.0% cpu")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["idle", "cpu", "deadline"]
    figure = Figure()
    _timeline(figure, more)
    shown = [axis.get_title(loc="left").partition(", ")[2] for axis in figure.axes if axis.axison]
    assert shown == ["idle", "idle", "cpu"]
    assert to_html(more).count("data:image/svg+xml;base64,") == 3


def test_without_matplotlib_the_extra_is_named(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"rtae\[demo\]"):
        to_html(report)


def test_the_same_is_not_worse_and_twice_as_slow_is(report):
    changes = compare(report, report)
    assert len(changes) == 4 and all(item.ratio == 1.0 for item in changes) and worse(changes, 1.0) == []
    slow = copy.deepcopy(report)
    slow["systems"][0]["loads"]["idle"]["p50_ms"] += 5.0
    found = worse(compare(report, slow), 1.25)
    assert [item.figure for item in found] == ["hop p50, ms"]
    assert comparison_table(compare(report, slow), 1.25).count("worse") == 1
    assert worse(compare(slow, report), 1.25) == []


def test_nothing_in_common_is_no_success(report):
    other = copy.deepcopy(report)
    other["systems"][0]["name"] = "another"
    with pytest.raises(ParameterError, match="nothing to compare"):
        compare(other, report)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "no report"),
        ('{"schema": "rtae-bench", "version": 2, "systems": []}', "version 2"),
        (None, "cannot read"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, text, message):
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ParameterError, match=message):
        read_document(path)


@pytest.mark.parametrize("end", ["encoder", "decoder", "vae_encoder", "vae_decoder"])
def test_both_ends_of_a_codec_are_measured_and_right(build, end):
    path = build(end)
    extent = Extent(hops=100, loads=("idle",), variants=False)
    system = measure_system(lambda: CodecEnd(path), extent) | measure_model(path, extent)
    assert system["loads"]["idle"]["hops"] == 100 and system["hop"] == 32
    assert system["error"] == 0.0 and 0.3 < system["agreement"] < 3.0
    assert system["streams"]["one_by_one"] > 0 and "file_times_real_time" not in system
    page = to_markdown(document([system], [], {}, 0.1))
    assert f"| {path.stem} | idle |" in page and "Block sizes" not in page


@pytest.mark.parametrize("name", ["delay", "encoder", "decoder", "vae_encoder", "vae_decoder"])
def test_a_model_of_any_kind_takes_its_feed(build, name):
    model = Model(build(name), streams=3)
    frames = feed(build(name), 3, 5)
    assert len(frames) == 5 and frames.shape[1] == 3 and np.any(frames[0] != frames[1])
    made = [stepper(model)(frame).copy() for frame in frames]
    assert made[0].shape[0] == 3 and np.isfinite(made).all() and np.any(made[-1])


def test_a_decoder_is_fed_codes_that_it_knows(build, tmp_path):
    small = faulty_models.redeclared(build("decoder"), tmp_path / "small.onnx", codebook_bits=4)
    frames = feed(small, 2, 8)
    assert frames.min() == 0 and frames.max() == 15
    assert np.any(stepper(Model(small, streams=2))(frames[0]))


@pytest.mark.parametrize("make", [faulty_models.seamless, layouts.silero_like, layouts.spectral_identity])
def test_a_foreign_network_is_timed_alone(tmp_path, make):
    path = make(tmp_path / "a.onnx")
    extent = Extent(100, ("idle",))
    system = measure_system(lambda: Network(path), extent) | measure_network(path, extent)
    assert system["name"] == "a (network only)" and system["loads"]["idle"]["hops"] == 100
    assert system["size_bytes"] == path.stat().st_size and system["nodes"] >= 1 and system["operators"]
    assert {row["threads"] for row in system["variants"]} == {1, 2} and 0.3 < system["agreement"] < 3.0
    page = to_markdown(document([system], [], {}, 0.1))
    assert "## Threads and providers" in page and f"| {system['nodes']} |" in page


def test_a_provider_without_its_device_has_no_row(tmp_path, monkeypatch):
    """onnxruntime takes the processor in its stead, and the row would be called by the wrong name."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["NoneSuch", "CPUExecutionProvider"])
    monkeypatch.setattr(
        speed, "open_session", lambda path, *, provider="CPUExecutionProvider", **options: open_session(path, **options)
    )
    found = measure_network(faulty_models.seamless(tmp_path / "a.onnx"), Extent(100, ("idle",)))
    assert [row["provider"] for row in found["variants"]] == ["CPUExecutionProvider"] * 2
