import pytest
import torch
from torch import Tensor

from rtae.train.config import LossConfig
from rtae.train.losses import FLOOR, DenoisingLoss, active_hops


def reference_spectral(estimate: Tensor, clean: Tensor, loss: DenoisingLoss, size: int) -> Tensor:
    """Compute the same by automatic differentiation's rules, term by term, as it is written in the papers."""
    c = loss.config
    window, weight = loss.get_buffer(f"window_{size}"), loss.get_buffer(f"weight_{size}")
    x, s = (torch.fft.rfft(signal.unfold(1, size, size // 2) * window) for signal in (estimate, clean))
    magnitude = [(spectrum.abs().square() + FLOOR) ** (c.compression / 2) for spectrum in (x, s)]
    phase = [spectrum / (spectrum.abs().square() + FLOOR).sqrt() for spectrum in (x, s)]
    compressed = [m * p for m, p in zip(magnitude, phase, strict=True)]
    missing = magnitude[1] - magnitude[0]
    value = (
        c.complex_weight * (compressed[1] - compressed[0]).abs().square()
        + c.magnitude_weight * missing.square()
        + c.removed_speech_weight * missing.relu().square()
    )
    return (value * weight).mean()


@pytest.mark.parametrize("size", [16, 32])
def test_the_written_out_gradient_is_the_automatic_one(size: int) -> None:
    torch.manual_seed(size)
    loss = DenoisingLoss(LossConfig(windows=(size,), wave_weight=0.0, speech_weight=0.0), 16000).double()
    estimate = torch.randn(3, 128, dtype=torch.double, requires_grad=True)
    clean, noisy = torch.randn(2, 3, 128, dtype=torch.double)
    zeros = torch.zeros(3, 4, dtype=torch.double)
    total = loss(estimate, clean, noisy, zeros, zeros)["total"]
    level = noisy.square().mean(dim=1, keepdim=True).rsqrt()
    reference = reference_spectral(estimate * level, clean * level, loss, size)
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
