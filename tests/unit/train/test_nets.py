import dataclasses

import numpy as np
import pytest
import torch

from rtae.errors import ParameterError
from rtae.train.config import NetConfig, TrainConfig
from rtae.train.nets import Denoiser, band_matrices, windows


@pytest.mark.parametrize(
    ("fft", "hop", "synthesis"), [(1024, 256, 384), (1024, 512, 768), (1024, 128, 192), (64, 16, 32)]
)
@pytest.mark.parametrize("cross_fade", [1.0, 0.75, 0.5])
def test_windows_overlap_to_one(fft: int, hop: int, synthesis: int, cross_fade: float) -> None:
    analysis, synthesised = windows(fft, hop, synthesis, cross_fade)
    product = analysis[-synthesis:] * synthesised
    total = np.zeros(hop * 10 + synthesis)
    for start in range(0, hop * 10, hop):
        total[start : start + synthesis] += product
    np.testing.assert_allclose(total[synthesis : hop * 10], 1.0, atol=1e-12)
    left = int((1 - cross_fade) * (synthesis - hop))
    assert product[synthesis - left - 1] > 0 and np.abs(product[synthesis - left :]).max(initial=0.0) < 1e-30


@pytest.mark.parametrize(("fft", "hop", "synthesis"), [(64, 32, 32), (64, 16, 40), (64, 48, 80)])
def test_windows_that_cannot_reconstruct_are_refused(fft: int, hop: int, synthesis: int) -> None:
    with pytest.raises(ParameterError, match="synthesis"):
        windows(fft, hop, synthesis)


def test_bands_cover_every_bin_and_the_first_ones_are_single_bins() -> None:
    down, up = band_matrices(513, 128, 64)
    np.testing.assert_allclose(down.sum(axis=0), 1.0)
    np.testing.assert_allclose(up.sum(axis=0), 1.0)
    np.testing.assert_array_equal(up[:63, :63], np.eye(63))


def make_net(config: NetConfig) -> Denoiser:
    """A network that does something: random mask, statistics away from their start."""
    torch.manual_seed(5)
    net = Denoiser(config)
    torch.nn.init.normal_(net.gains.weight, std=0.3)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()


@torch.no_grad()
def test_hop_by_hop_equals_the_whole_signal(config: TrainConfig) -> None:
    net = make_net(config.net)
    hop = net.config.hop
    audio = 0.1 * torch.randn(2, 12 * hop)
    limit = torch.tensor([[200.0], [9.0]])
    whole, last, speech = net(audio, net.initial_state(2), limit)
    state = net.initial_state(2)
    pieces = []
    for size in (1, 1, 3, 2, 5):
        start = sum(piece.shape[1] for piece in pieces)
        piece, state, _ = net(audio[:, start : start + size * hop], state, limit)
        pieces.append(piece)
    assert whole.shape == audio.shape and speech.shape == (2, 12)
    assert whole.abs().max() > 0.01
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=2e-6, rtol=0)
    torch.testing.assert_close(state, last, atol=2e-6, rtol=0)


def test_an_odd_transform_is_refused() -> None:
    with pytest.raises(ParameterError, match="even"):
        Denoiser(NetConfig(fft=1023))


@torch.no_grad()
def test_without_attenuation_the_output_is_the_input_delayed(config: TrainConfig) -> None:
    net = make_net(config.net)
    audio = 0.1 * torch.randn(1, 10 * net.config.hop)
    output, _, _ = net(audio, net.initial_state(1), torch.zeros(1, 1))
    torch.testing.assert_close(output[:, net.delay :], audio[:, : -net.delay], atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_floor_keeps_a_share_of_the_input_but_not_in_training(config: TrainConfig) -> None:
    """A mask that is trained with the floor learns to take it out again."""
    floored, plain = (make_net(dataclasses.replace(config.net, floor=floor)) for floor in (0.1, 0.0))
    audio = 0.1 * torch.randn(1, 10 * config.net.hop)
    limit = torch.full((1, 1), 200.0)
    state = plain.initial_state(1)
    with_floor, without = (net(audio, state, limit)[0][:, plain.delay :] for net in (floored, plain))
    kept = 0.1 * audio[:, : -plain.delay] + 0.9 * without
    assert (with_floor - without).abs().max() > 1e-3
    torch.testing.assert_close(with_floor, kept, atol=1e-6, rtol=0)
    trained = [net.train()(audio, state, limit)[0] for net in (floored, plain)]
    torch.testing.assert_close(*trained, atol=0, rtol=0)


@torch.no_grad()
def test_no_output_depends_on_later_input(config: TrainConfig) -> None:
    net = make_net(config.net)
    hop = net.config.hop
    audio = 0.1 * torch.randn(1, 10 * hop)
    changed = audio.clone()
    changed[:, 6 * hop :] += 0.1
    limit = torch.full((1, 1), 200.0)
    first, _, _ = net(audio, net.initial_state(1), limit)
    second, _, _ = net(changed, net.initial_state(1), limit)
    torch.testing.assert_close(first[:, : 6 * hop], second[:, : 6 * hop], atol=0, rtol=0)
    assert (first[:, 6 * hop :] - second[:, 6 * hop :]).abs().max() > 1e-3


@torch.no_grad()
def test_nan_and_infinity_leave_no_trace_in_the_state(config: TrainConfig) -> None:
    net = make_net(config.net)
    audio = torch.zeros(1, 4 * net.config.hop)
    audio[0, 5], audio[0, 9] = float("nan"), float("inf")
    output, state, _ = net(audio, net.initial_state(1), torch.full((1, 1), 200.0))
    assert torch.isfinite(output).all() and torch.isfinite(state).all()
