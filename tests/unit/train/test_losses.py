import pytest
import torch
from torch import Tensor

from benchmarks.plain_training import plain_spectral_loss
from rtae.train.config import LossConfig
from rtae.train.losses import DenoisingLoss, active_hops


@pytest.mark.parametrize("size", [16, 32])
def test_the_written_out_gradient_is_the_automatic_one(size: int) -> None:
    torch.manual_seed(size)
    loss = DenoisingLoss(LossConfig(windows=(size,), wave_weight=0.0, speech_weight=0.0), 16000).double()
    estimate = torch.randn(3, 128, dtype=torch.double, requires_grad=True)
    clean, noisy = torch.randn(2, 3, 128, dtype=torch.double)
    zeros = torch.zeros(3, 4, dtype=torch.double)
    total = loss(estimate, clean, noisy, zeros, zeros)["total"]
    level = noisy.square().mean(dim=1, keepdim=True).rsqrt()
    window, weight = loss.get_buffer(f"window_{size}"), loss.get_buffer(f"weight_{size}")
    reference = plain_spectral_loss(estimate * level, clean * level, window, weight, loss.config)
    torch.testing.assert_close(total, reference)
    (found,) = torch.autograd.grad(total, estimate)
    (wanted,) = torch.autograd.grad(reference, estimate)
    assert wanted.abs().max() > 0
    torch.testing.assert_close(found, wanted)


def test_a_perfect_estimate_costs_nothing_and_silence_costs_more_than_noise_left_in() -> None:
    torch.manual_seed(2)
    loss = DenoisingLoss(LossConfig(windows=(64,), speech_weight=0.0), 16000)
    clean = torch.randn(2, 512)
    zeros = torch.zeros(2, 4)

    def total(estimate: Tensor) -> float:
        return float(loss(estimate, clean, clean, zeros, zeros)["total"])

    assert total(clean) == pytest.approx(0.0, abs=1e-9)
    assert total(clean * 0.5) > total(clean * 1.5) > 0


def test_the_mean_squared_error_alone_is_the_plain_baseline() -> None:
    torch.manual_seed(4)
    zero = ("complex_weight", "magnitude_weight", "wave_weight", "removed_speech_weight", "speech_weight")
    loss = DenoisingLoss(LossConfig(windows=(64,), mse_weight=1.0, **dict.fromkeys(zero, 0.0)), 16000)
    estimate, clean, noisy = torch.randn(3, 2, 512)
    noisy = noisy / noisy.square().mean(dim=1, keepdim=True).sqrt()
    total = loss(estimate, clean, noisy, torch.zeros(2, 4), torch.zeros(2, 4))["total"]
    torch.testing.assert_close(total, (estimate - clean).square().mean(), rtol=1e-5, atol=0)


def test_the_loss_does_not_depend_on_the_level() -> None:
    torch.manual_seed(3)
    loss = DenoisingLoss(LossConfig(windows=(64,)), 16000)
    estimate, clean, noisy = torch.randn(3, 2, 512)
    zeros = torch.zeros(2, 4)
    loud = loss(estimate, clean, noisy, zeros, zeros)["total"]
    quiet = loss(estimate * 0.01, clean * 0.01, noisy * 0.01, zeros, zeros)["total"]
    torch.testing.assert_close(loud, quiet, rtol=1e-4, atol=0)


def test_hops_within_40_db_of_the_loudest_are_active() -> None:
    clean = torch.cat([torch.full((1, 4), level) for level in (1.0, 0.02, 0.005, 0.0)], dim=1)
    assert active_hops(clean, 4).tolist() == [[1.0, 1.0, 0.0, 0.0]]
    assert active_hops(torch.zeros(1, 8), 4).tolist() == [[0.0, 0.0]]
