import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from rtae.errors import RtaeError
from rtae.model import Model
from rtae.train.config import NetConfig, TrainConfig
from rtae.train.export import denoiser_to_onnx, export_denoiser
from rtae.train.nets import Denoiser
from rtae.train.quantized import export_int8
from tests.unit.train.test_nets import make_net


@pytest.fixture
def net(config: TrainConfig) -> Denoiser:
    return make_net(config.net)


def test_an_exported_model_says_what_it_is_and_streams(net: Denoiser, tmp_path: Path) -> None:
    found = export_denoiser(net, tmp_path / "tiny.onnx", "tiny", {"data": "none"})
    model = Model(tmp_path / "tiny.onnx")
    assert (model.spec.name, model.spec.hop, model.spec.delay) == ("tiny", 128, 64)
    assert model.spec.training["data"] == "none"
    assert model.spec.training["parameters"] == sum(p.numel() for p in net.parameters())
    assert found["streaming against offline"] < 1e-5
    audio, speech = model.step(np.full((1, 128), 0.1, np.float32))
    assert np.abs(audio).max() > 0 and 0 < speech[0, 0] < 1
    assert list(tmp_path.iterdir()) == [tmp_path / "tiny.onnx"]


def test_a_hop_takes_a_hundred_operators() -> None:
    """Each costs a call; the default floor and one that is not zero take as many."""
    for floor in (0.0, 0.1):
        assert len(denoiser_to_onnx(Denoiser(NetConfig(floor=floor))).graph.node) <= 100


def test_a_wrong_declared_delay_is_found_before_anything_is_written(
    net: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rtae.train.export as export

    original = export.denoiser_spec
    monkeypatch.setattr(export, "denoiser_spec", lambda *given: dataclasses.replace(original(*given), delay=63))
    with pytest.raises(RtaeError, match="declared delay"):
        export_denoiser(net, tmp_path / "tiny.onnx", "tiny", {})
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_differs_from_the_network_is_found(
    net: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rtae.train.export as export

    def spoilt(given: Denoiser) -> onnx.ModelProto:
        with torch.no_grad():
            given.gains.bias += 0.01
        graph = original(given)
        with torch.no_grad():
            given.gains.bias -= 0.01
        return graph

    original = export.denoiser_to_onnx
    monkeypatch.setattr(export, "denoiser_to_onnx", spoilt)
    with pytest.raises(RtaeError, match="streaming against offline"):
        export_denoiser(net, tmp_path / "tiny.onnx", "tiny", {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(net: Denoiser, tmp_path: Path) -> None:
    with pytest.raises(RtaeError, match="cannot write"):
        export_denoiser(net, tmp_path / "none" / "tiny.onnx", "tiny", {})


def test_eight_bits_cost_less_than_a_hundredth_of_the_signal(net: Denoiser, tmp_path: Path) -> None:
    export_denoiser(net, tmp_path / "tiny.onnx", "tiny", {})
    found = export_int8(tmp_path / "tiny.onnx", tmp_path / "small.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node]
    assert "MatMulInteger" in kinds
    assert found["int8 difference dB"] > 20
    assert Model(tmp_path / "small.onnx").spec == Model(tmp_path / "tiny.onnx").spec
