from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from rtae.errors import RtaeError
from rtae.train.codec_nets import Codec
from rtae.train.export_codec import export_codec, round_codec
from rtae.train.gru import Gru
from rtae.train.integers import FINER, LARGEST_LEVEL, LARGEST_WEIGHT, ZERO, IntegerGru, IntegerLinear, round_layers
from rtae.train.session import bundled_voices
from rtae.train.verify_codec import encode, verify_codec
from tests.unit.train.test_codec import make_codec, noise, twin  # noqa: F401


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def decibels(wanted: Tensor, found: Tensor) -> float:
    return float(10 * torch.log10(wanted.square().mean() / (wanted - found).square().mean()))


def rounded(layer: nn.Module, run: Callable[[nn.Module], object]) -> nn.Module:
    holder = nn.Sequential(layer)
    round_layers(holder, ["0"], lambda: run(holder[0]))
    return holder[0]


def test_a_rounded_layer_is_the_layer_but_for_seven_bits_of_weights() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 48), normal(500, 64)
    wanted = layer(x).detach()
    found = rounded(layer, lambda part: part(x))(x)
    assert 35 < decibels(wanted, found) < 60


def test_only_the_weights_are_rounded() -> None:
    layer, x = IntegerLinear(normal(7, 1800), None, torch.full((1800,), 0.02)), 0.4 * normal(5, 1800, seed=2)
    weight = layer.integers.double() * layer.scales[0].double() * layer.stretch.double().unsqueeze(1)
    assert decibels(x.double() @ weight, layer(x)) > 110  # as a product of floats
    assert int(layer.integers.abs().max()) == LARGEST_WEIGHT


def test_inputs_beyond_the_levels_are_cut() -> None:
    layer = IntegerLinear(torch.eye(2), None, torch.tensor([0.1, 0.2]))
    found = layer(torch.tensor([[20.0, -1e4], [12.0, -5.0]]))
    torch.testing.assert_close(found[1], torch.tensor([12.0, -5.0]))
    assert 12.6 < float(found[0, 0]) < 13 and -25.8 < float(found[0, 1]) < -25.3


def test_two_products_fit_into_sixteen_bits() -> None:
    assert 2 * (ZERO + LARGEST_LEVEL) * LARGEST_WEIGHT < 2**15


@pytest.mark.parametrize("rare", [False, True])
def test_steps_are_those_that_change_the_outputs_less(rare: bool) -> None:
    """Inputs of unlike size need their own; where one is rarely large, one step for all leaves the others finer."""
    torch.manual_seed(0)
    x, layer = normal(4000, 64), nn.Linear(64, 48)
    if rare:
        x[0, 0] = 400.0
    else:
        sizes = torch.logspace(-1, 1, 64)
        x *= sizes
        layer.weight.data /= sizes
    found = rounded(layer, lambda part: part(x))
    one = IntegerLinear(layer.weight, layer.bias, x.abs().max().expand(64) / LARGEST_LEVEL)
    own = IntegerLinear(layer.weight, layer.bias, x.abs().amax(dim=0) / LARGEST_LEVEL)
    better, worse = (one, own) if rare else (own, one)
    wanted = layer(x).detach()
    assert decibels(wanted, worse(x)) + 6 < decibels(wanted, better(x)) < decibels(wanted, found(x)) + 1


@pytest.mark.parametrize("step", [1.0, 1 / FINER])
def test_an_input_on_the_border_of_two_levels_is_no_cliff(step: float) -> None:
    layer = IntegerLinear(torch.ones(1, 1), None, torch.ones(1))
    borders = step * torch.tensor([[0.5], [2.5], [-3.5]])
    x = torch.cat([borders - 1e-6, borders, borders + 1e-6])
    torch.testing.assert_close(layer(x), x, atol=1e-5, rtol=0)


def test_a_rounded_recurrence_follows_the_recurrence_and_streams() -> None:
    torch.manual_seed(0)
    gru, x, state = Gru(24, 32), normal(40, 3, 24), 0.1 * normal(3, 32)
    with torch.no_grad():
        wanted, _ = gru(x, state)
    layer = rounded(gru, lambda part: part(x, state))
    with torch.no_grad():
        found, last = layer(x, state)
        first, between = layer(x[:15], state)
        rest, end = layer(x[15:], between)
    assert isinstance(layer, IntegerGru) and decibels(wanted, found) > 30
    torch.testing.assert_close(torch.cat([first, rest]), found)
    torch.testing.assert_close(end, last)


@pytest.fixture(scope="module")
def coarse() -> Codec:
    codec = make_codec()
    round_codec(codec, bundled_voices(codec.config.sample_rate, codec.config.hop)[:6])
    return codec


@pytest.fixture(scope="module")
def exported(coarse: Codec, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("rounded")
    return folder, export_codec(coarse, folder, "tiny", {"data": "none"})


def test_a_rounded_codec_is_exported_in_standard_operators(exported: tuple[Path, dict[str, object]]) -> None:
    folder, found = exported
    assert found["codes tied"] == 0
    for end, count in (("encoder", 7), ("decoder", 7)):  # dense layers and two of the recurrence
        graph = onnx.load(folder / f"tiny-{end}.onnx")
        assert sum(node.op_type == "MatMulInteger" for node in graph.graph.node) == count
        assert {node.domain for node in graph.graph.node} == {""}
        assert not any(node.op_type == "GRU" for node in graph.graph.node)


def test_a_rounded_file_that_is_not_the_network_is_found(
    coarse: Codec, exported: tuple[Path, dict[str, object]]
) -> None:
    folder, _ = exported
    files = [folder / f"tiny-{end}.onnx" for end in ("encoder", "decoder")]
    verify_codec(coarse, *files)
    for layer in (coarse.encoder.enter, coarse.decoder.leave):
        kept = layer.integers.data
        layer.integers.data = kept.roll(1, 0)
        with pytest.raises(RtaeError, match=r"codes are not those|latents|audio of 1 stages"):
            verify_codec(coarse, *files)
        layer.integers.data = kept


def test_codes_do_not_depend_on_other_streams(exported: tuple[Path, dict[str, object]]) -> None:
    path = exported[0] / "tiny-encoder.onnx"
    audio = noise(8).numpy()
    both = encode(path, audio)
    assert len(np.unique(both)) > 4
    for row in (0, 1):
        np.testing.assert_array_equal(encode(path, audio[row : row + 1])[0], both[row])


def test_a_variational_twin_stays_as_it_is(twin: Codec) -> None:  # noqa: F811
    round_codec(twin, noise())
    assert not any(isinstance(layer, IntegerLinear) for layer in twin.modules())
