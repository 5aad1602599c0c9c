"""``rtae check``: each fault in a model built to have it, and models that have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rtae.bench.apart import denormal_share
from rtae.bench.checks import Subject, difference
from rtae.bench.driver import Driver, open_session
from rtae.bench.layout import make_layout, read_layout, recognise
from rtae.bench.nodes import operator_costs
from rtae.bench.verdict import check
from rtae.errors import ModelFormatError, ModelNotFoundError, ParameterError
from rtae.shipped import available, find
from tests import faulty_models
from tests.unit.evaluate import layouts


def failed(verdict):
    return {item.name for item in verdict.findings if item.verdict == "fail"}


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("unreset", "reset"),
        ("random", "determinism"),
        ("leaky", "rows"),
        ("sticky", "recovery"),
        ("denormal", "denormals"),
        ("blockwise", "block size"),
    ],
)
def test_a_fault_is_caught_by_the_check_that_is_for_it(tmp_path, fault, found):
    verdict = check(getattr(faulty_models, fault)(tmp_path / f"{fault}.onnx"))
    assert found in failed(verdict) and not verdict.good
    assert "fails: " in verdict.to_text() and found in verdict.to_text().rpartition("fails: ")[2]


def test_a_wrong_declared_delay_is_caught_with_the_right_one(tmp_path, build):
    honest = build("delay", samples=192)
    assert failed(check(honest)) == set()
    liar = faulty_models.redeclared(honest, tmp_path / "liar.onnx", delay=190)
    verdict = check(liar)
    assert failed(verdict) == {"delay"}
    finding = next(item for item in verdict.findings if item.name == "delay")
    assert "declared 190" in finding.reason and "192.00 samples" in finding.reason


@pytest.mark.parametrize("name", ["identity", "gain", "encoder", "decoder", "vae_encoder", "vae_decoder", "classifier"])
def test_sound_models_pass(build, name):
    verdict = check(build(name))
    assert verdict.good, verdict.to_text()
    passed = [item.name for item in verdict.findings if item.verdict == "pass"]
    assert {"output", "parity", "reset", "rows", "denormals", "determinism"} <= set(passed)
    assert verdict.costs and sum(item.share for item in verdict.costs) == pytest.approx(1.0)
    assert sum(item.nodes for item in verdict.costs) >= 2
    assert verdict.as_dict()["verdict"] == "pass"


@pytest.mark.parametrize("name", available())
def test_the_shipped_models_pass(name):
    verdict = check(find(name))
    assert verdict.good, verdict.to_text()


def test_operators_inside_a_branch_are_counted_once(tmp_path):
    """A branch costs what its nodes cost, and onnxruntime tells both."""
    infos = helper.make_tensor_value_info
    branch = helper.make_graph(
        [helper.make_node("Softmax", ["input"], ["output"])], "b", [], [infos("output", TensorProto.FLOAT, ["B", "T"])]
    )
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("If", ["yes"], ["output"], then_branch=branch, else_branch=branch),
    ]
    signature = [infos("input", TensorProto.FLOAT, ["B", "T"])], [infos("output", TensorProto.FLOAT, ["B", "T"])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", *signature), opset_imports=[helper.make_opsetid("", 20)], ir_version=9
    )
    path = tmp_path / "branch.onnx"
    path.write_bytes(model.SerializeToString())
    layout = recognise(open_session(path))
    costs = operator_costs(path, layout, np.ones((30, 1, 160), np.float32))
    assert {"Softmax", "ReduceMax"} <= {item.operator for item in costs} and "If" not in {i.operator for i in costs}
    assert sum(item.share for item in costs) == pytest.approx(1.0)


def test_a_wave_of_any_length_passes_when_its_blocks_do_not_matter(tmp_path):
    verdict = check(faulty_models.seamless(tmp_path / "seamless.onnx"))
    assert verdict.good
    assert next(item for item in verdict.findings if item.name == "block size").verdict == "pass"


def test_foreign_layouts_are_recognised_and_give_back_the_signal(tmp_path):
    spectral = layouts.spectral_identity(tmp_path / "gtcrn.onnx")
    layout = recognise(open_session(spectral))
    assert (layout.name, layout.sample_rate, layout.hop, layout.delay) == ("gtcrn", 16_000, 256, 256)
    subject = Subject(spectral, layout)
    sound = subject.driver.sound(subject.outputs, subject.speech)
    assert sound.shape == (1, len(subject.outputs) * 256) and np.any(sound)
    assert difference(sound[0, 256:], subject.speech[0, : sound.shape[1] - 256]) < 1e-5
    first, second = layouts.dtln(tmp_path)
    assert recognise(open_session(first)).frame == "magnitude"
    assert recognise(open_session(second)).frame == "block"
    silero = layouts.silero_like(tmp_path / "silero.onnx")
    layout = recognise(open_session(silero))
    assert (layout.name, layout.hop, layout.span) == ("silero", 512, 576)
    found = Subject(silero, layout)
    assert found.frames.shape[1:] == (1, 576) and found.outputs.shape[1:] == (1, 1)


def test_a_foreign_denoiser_gets_a_verdict(tmp_path):
    verdict = check(layouts.spectral_identity(tmp_path / "gtcrn.onnx"))
    assert verdict.good, verdict.to_text()
    delay = next(item for item in verdict.findings if item.name == "delay")
    assert delay.verdict == "pass" and "declared 256" in delay.reason


def test_a_layout_is_read_from_toml_and_fits_or_is_refused(tmp_path, build):
    model = build("delay", samples=192)
    text = tmp_path / "layout.toml"
    text.write_text(
        'input = "audio"\noutput = "audio_out"\nstates = [["state", "state_out"]]\nsample_rate = 48000\nhop = 128\n'
        "delay = 192\n[constants]\nattenuation_limit_db = 100.0\n"
    )
    layout = read_layout(text)
    assert make_layout(layout.as_dict()) == layout
    assert failed(check(model, layout)) == set()
    text.write_text('input = "audio"\noutput = "audio_out"\nsample_rate = 48000\nhop = 128\n')
    with pytest.raises(ModelFormatError, match="names inputs"):
        check(model, read_layout(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hop = ", "not valid TOML"),
        ("hop = 128", "input, output, sample_rate missing"),
        ('hop = "a"', "wrong type"),
        ("hops = 1", "unknown field 'hops'"),
        ('input="a"\noutput="b"\nhop=0\nsample_rate=1', "must be positive"),
        ('input="a"\noutput="b"\nhop=1\nsample_rate=1\nframe="x"', "frame is 'x'"),
        ('input="a"\noutput="b"\nhop=1\nsample_rate=1\nstates=["x"]', "pairs"),
        ('input="a"\noutput="b"\nhop=3\nwindow=4\nsample_rate=1\nframe="block"', "no multiple"),
    ],
)
def test_a_bad_layout_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "layout.toml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=message):
        read_layout(path)


def test_what_cannot_be_driven_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError):
        check(tmp_path / "nothing.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelFormatError, match="cannot load"):
        check(tmp_path / "text.onnx")
    unknown = layouts.write(
        tmp_path / "unknown.onnx", [helper.make_node("Identity", ["a"], ["b"])], {"a": (3, 4)}, {"b": (3, 4)}
    )
    assert onnx.load(unknown)
    with pytest.raises(ModelFormatError, match=r"unknown layout.*--layout"):
        check(unknown)


def test_denormal_numbers_are_counted_by_their_bits():
    # 1, 0, -0, 2^-127, infinity, NaN, -2^-149, 2^-126
    bits = [0x3F800000, 0, 0x80000000, 0x00400000, 0x7F800000, 0x7FC00000, 0x80000001, 0x00800000]
    assert denormal_share(np.array(bits, np.uint32).view(np.float32)) == 0.25


def test_the_plain_driver_streams_rows_apart(build):
    layout = recognise(open_session(build("delay", samples=192)))
    driver = Driver(open_session(build("delay", samples=192)), layout, rows=2)
    signals = np.arange(2 * 1280, dtype=np.float32).reshape(2, 1280)
    sound = driver.sound(driver.run(driver.frames(signals)), signals)
    assert np.array_equal(sound[:, 192:], signals[:, :-192]) and not np.any(sound[:, :192])


def test_the_layout_in_the_documentation_is_read(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "latency.md").read_text()
    lines = page.partition("    # layout.toml\n")[2].partition("\n\n")[0].splitlines()
    assert len(lines) >= 6
    path = tmp_path / "layout.toml"
    path.write_text("\n".join(line.removeprefix("    ") for line in lines))
    layout = read_layout(path)
    assert (layout.hop, layout.delay, layout.states) == (256, 256, (("h_in", "h_out"),))
    path.write_text("\n".join(line.removeprefix("    ").removeprefix("# ") for line in lines))
    assert read_layout(path).constants == {"strength": 1.0} and read_layout(path).span == 512
