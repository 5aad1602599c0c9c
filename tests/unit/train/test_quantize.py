import math

import pytest
import torch

from rtae.errors import ParameterError
from rtae.train.quantize import GaussianBottleneck, ResidualQuantizer, entropy_bits


def clusters(frames: int = 200, seed: int = 5) -> torch.Tensor:
    """Latents (frames, 4, 3) around sixteen points, in equal shares."""
    generator = torch.Generator().manual_seed(seed)
    points = 3 * torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    return (points.repeat(frames // 4, 1) + 0.05 * torch.randn(4 * frames, 3, generator=generator)).reshape(-1, 4, 3)


def trained(stages: int = 3, steps: int = 30) -> ResidualQuantizer:
    quantizer = ResidualQuantizer(3, stages, 4, 0.9)
    quantizer.start(clusters())
    for step in range(steps):
        quantizer(clusters(seed=step))
    return quantizer.eval()


def test_latents_pass_until_the_codebooks_start() -> None:
    quantizer = ResidualQuantizer(3, 3, 4, 0.9, continuous_steps=2)
    latent = clusters()
    assert quantizer.eval()(latent)[1] == math.inf
    quantizer.train()
    for _ in range(2):
        assert not quantizer.starts
        passed, commitment = quantizer(latent)
        assert torch.equal(passed, latent) and commitment == 0
    assert quantizer.starts
    quantizer.start(latent)
    passed, commitment = quantizer(latent)
    assert not torch.equal(passed, latent) and 0 < commitment < 1
    assert not quantizer.starts and quantizer.eval()(latent)[1] < 1


def test_codebooks_start_from_examples_and_every_stage_comes_closer() -> None:
    quantizer = ResidualQuantizer(3, 3, 4, 0.9)
    quantizer.start(clusters())
    quantizer.eval()
    rows = clusters(seed=9).reshape(-1, 3)
    codes = quantizer.codes(rows)
    errors = []
    for stages in range(4):
        sent = codes.clone()
        sent[:, stages:] = -1
        errors.append((rows - quantizer.latent(sent)).square().mean().item())
    assert errors[0] == pytest.approx(rows.square().mean().item())
    assert errors[1] < 0.5 * errors[0]
    assert errors == sorted(errors, reverse=True) and errors[3] < errors[1]


def greedy(quantizer: ResidualQuantizer, rows: torch.Tensor) -> torch.Tensor:
    """Codes (rows, stages), each the nearest to what the one before it left."""
    found = []
    for codebook in quantizer.codebooks:
        found.append(torch.cdist(rows, codebook).argmin(dim=1))
        rows = rows - codebook[found[-1]]
    return torch.stack(found, dim=1)


def test_following_several_candidates_leaves_less_than_the_nearest_codes() -> None:
    quantizer = ResidualQuantizer(8, 5, 5, 0.9)
    generator = torch.Generator().manual_seed(3)
    quantizer.codebooks.normal_(generator=generator).mul_(torch.tensor([1.0, 0.8, 0.6, 0.5, 0.4])[:, None, None])
    rows = torch.randn(400, 8, generator=generator)

    def left(codes: torch.Tensor) -> torch.Tensor:
        """Sum over the stages of what is left, row by row."""
        kept = [torch.where(torch.arange(5) < count, codes, -1) for count in range(1, 6)]
        return torch.stack([(rows - quantizer.latent(sent)).square().sum(dim=1) for sent in kept]).sum(dim=0)

    searched, nearest = left(quantizer.codes(rows)), left(greedy(quantizer, rows))
    assert searched.mean() < 0.95 * nearest.mean()
    assert (searched < nearest + 1e-4).float().mean() > 0.9
    one = torch.cat([quantizer.codes(row) for row in rows.split(1)])
    assert torch.equal(one, quantizer.codes(rows))


def test_where_all_codes_can_be_followed_the_sequence_is_the_best_there_is() -> None:
    quantizer = ResidualQuantizer(5, 2, 3, 0.9)
    generator = torch.Generator().manual_seed(8)
    quantizer.codebooks.normal_(generator=generator)
    rows = torch.randn(300, 5, generator=generator)
    first = rows[:, None] - quantizer.codebooks[0]
    second = first[:, :, None] - quantizer.codebooks[1]
    errors = first.square().sum(dim=2)[:, :, None] + second.square().sum(dim=3)  # (rows, first code, second code)
    best = errors.flatten(1).argmin(dim=1)
    codes = quantizer.codes(rows)
    assert torch.equal(codes, torch.stack([best // 8, best % 8], dim=1))
    assert not torch.equal(codes, greedy(quantizer, rows))


def test_the_codebooks_follow_latents_that_move() -> None:
    quantizer = trained(stages=1)
    rows = clusters(seed=999).reshape(-1, 3)

    def error(rows: torch.Tensor) -> float:
        return (rows - quantizer.latent(quantizer.codes(rows))).square().mean().item()

    at_home, abroad = error(rows), error(rows + 1)
    quantizer.train()
    for step in range(60):
        quantizer(clusters(seed=step) + 1)
    quantizer.eval()
    assert abroad > 4 * at_home
    assert error(rows + 1) < 1.5 * at_home


def test_entropy_and_share_of_use_are_those_of_known_codes() -> None:
    codes = torch.tensor([[0, 1], [1, 1], [2, 1], [3, 1]])
    entropy, used = entropy_bits(codes, 2)
    assert entropy.tolist() == pytest.approx([2.0, 0.0])
    assert used.tolist() == [1.0, 0.25]


def test_a_dead_code_is_put_where_the_residuals_are() -> None:
    quantizer = trained(stages=1)
    with torch.no_grad():
        quantizer.codebooks[0, 3] = 1e3
        quantizer.counts[0, 3] = 0.0
    quantizer.train()
    quantizer(clusters())
    assert quantizer.codebooks[0, 3].abs().max() < 20


def test_what_is_decoded_is_what_the_codes_say_and_the_gradient_passes() -> None:
    quantizer = trained()
    latent = clusters().requires_grad_()
    quantised, commitment = quantizer(latent)
    rows = latent.detach().reshape(-1, 3)
    expected = quantizer.latent(quantizer.codes(rows)).reshape(latent.shape)
    assert expected.numel() > 0
    torch.testing.assert_close(quantised.detach(), expected, atol=1e-5, rtol=1e-5)
    quantised.sum().backward()
    torch.testing.assert_close(latent.grad, torch.ones_like(latent))
    assert commitment.item() > 0


def test_training_leaves_out_stages_at_random_and_the_same_again_after_a_resume() -> None:
    first, second = trained(steps=3).train(), ResidualQuantizer(3, 3, 4, 0.9).train()
    second.load_state_dict(first.state_dict())
    latent = torch.cat([clusters()] * 8, dim=1)
    quantised = first(latent)[0]
    assert torch.equal(second(latent)[0], quantised)
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers(), strict=True))
    errors = (quantised - latent).square().mean(dim=(0, 2)).reshape(8, 4).mean(dim=1)
    assert errors.max() > 1.2 * errors.min()


def test_frozen_codebooks_do_not_move() -> None:
    quantizer = trained().train()
    quantizer.learns = False
    before = quantizer.codebooks.clone()
    quantizer(clusters(seed=77) + 1)
    assert torch.equal(quantizer.codebooks, before)


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"codec\.bits = 17"):
        ResidualQuantizer(3, 3, 17, 0.9)


def test_the_divergence_is_that_of_two_gaussians() -> None:
    mean, log_variance = torch.tensor([[0.7, -1.2]]), torch.tensor([[0.3, -2.0]])
    ours = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(GaussianBottleneck.divergence(mean, log_variance), expected)


def test_the_gaussian_draws_around_its_mean_and_warms_its_divergence_up() -> None:
    torch.manual_seed(3)
    bottleneck = GaussianBottleneck(4, warmup_steps=4)
    latent = torch.randn(500, 2, 4)
    costs = []
    total = torch.zeros_like(latent)
    for _ in range(400):
        drawn, cost = bottleneck(latent)
        total += drawn.detach()
        costs.append(cost.item())
    mean, full = bottleneck.eval()(latent)
    assert (total / 400 - mean).abs().mean() < 0.1
    assert costs[:4] == pytest.approx([full.item() * share for share in (0.25, 0.5, 0.75, 1.0)], rel=1e-4)
    assert costs[-1] == pytest.approx(full.item()) and math.isfinite(full.item())
