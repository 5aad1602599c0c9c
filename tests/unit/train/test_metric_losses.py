import dataclasses
import math

import numpy as np
import pystoi
import pytest
import torch
from torch import Tensor

from rtae.errors import ParameterError
from rtae.evaluate.measures import si_sdr
from rtae.train.config import LossConfig
from rtae.train.losses import DenoisingLoss
from rtae.train.metric_losses import LIMIT_DB, estoi, metric_terms, resampled, si_sdr_db, trained_on
from rtae.train.opinion import BEST, LEVEL, overall_opinion


def recording(seed: int, sample_rate: int, seconds: float = 3.0) -> tuple[Tensor, Tensor]:
    """Syllables of harmonics with pauses, and the same in noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time + seed)) / sample_rate
    voice = sum(np.sin(k * pitch) * (1.5 + np.sin(9 * time * k)) / k for k in range(1, 25))
    clean = 0.1 * voice * np.maximum(0, np.sin(2 * np.pi * 2.1 * time + seed)) ** 2
    noisy = clean + 0.05 * rng.standard_normal(time.size) * 2 ** rng.uniform(-2, 2)
    return torch.from_numpy(clean).float(), torch.from_numpy(noisy).float()


@pytest.mark.parametrize("seed", range(5))
def test_si_sdr_is_that_of_the_evaluation(seed: int) -> None:
    clean, noisy = recording(seed, 16000)
    expected = si_sdr(clean.numpy(), noisy.numpy())
    found = si_sdr_db(torch.stack([noisy, 0.3 * noisy]), torch.stack([clean, clean]))
    assert -20 < expected < 30
    assert found.tolist() == pytest.approx([expected, expected], abs=1e-3)
    limited = si_sdr_db(noisy[None], clean[None], LIMIT_DB).item()
    assert limited == pytest.approx(-10 * math.log10(10 ** (-expected / 10) + 10 ** (-LIMIT_DB / 10)), abs=1e-3)


def test_si_sdr_of_a_perfect_copy_is_the_limit_and_of_silence_the_lowest() -> None:
    clean, _ = recording(1, 16000)
    found = si_sdr_db(torch.stack([clean, torch.zeros_like(clean)]), torch.stack([clean, clean]), LIMIT_DB)
    assert found.tolist() == pytest.approx([LIMIT_DB, si_sdr(clean.numpy(), np.zeros(clean.numel()))], abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_estoi_is_that_of_pystoi(seed: int) -> None:
    clean, noisy = recording(seed, 10000)
    expected = pystoi.stoi(clean.numpy(), noisy.numpy(), 10000, extended=True)
    assert 0.05 < expected < 0.95
    assert estoi(noisy, clean, 10000).item() == pytest.approx(expected, abs=1e-4)
    assert estoi(clean, clean, 10000).item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 24000, 48000])
def test_estoi_at_other_rates_is_that_of_pystoi_but_for_its_resampler(sample_rate: int) -> None:
    clean, noisy = recording(7, sample_rate)
    expected = pystoi.stoi(clean.numpy(), noisy.numpy(), sample_rate, extended=True)
    assert estoi(noisy, clean, sample_rate).item() == pytest.approx(expected, abs=0.01)


def test_resampling_keeps_what_both_rates_hold() -> None:
    time = torch.arange(48000) / 48000
    tone = torch.sin(2 * math.pi * 440 * time)[None]
    found = resampled(tone, 48000, 10000)
    assert found.shape == (1, 10000)
    torch.testing.assert_close(found[0], torch.sin(2 * math.pi * 440 * torch.arange(10000) / 10000), atol=1e-3, rtol=0)


def test_terms_are_defined_for_every_example_and_lead_to_the_clean_speech() -> None:
    clean, noisy = recording(3, 16000)
    nothing, click = torch.zeros_like(clean), torch.zeros_like(clean)
    click[100:200] = 1.0
    cleans = torch.stack([clean, nothing, click]) / 0.05
    estimate = (torch.stack([noisy, noisy, click]) / 0.05).requires_grad_()
    config = LossConfig(si_sdr_weight=0.5, estoi_weight=2.0, dnsmos_weight=0.2)
    noisy_ones = estimate.detach()
    terms = metric_terms(estimate, cleans, 16000, config, noisy_ones)
    assert set(terms) == {"si_sdr", "estoi", "dnsmos"}
    ratio = si_sdr_db(estimate[:1], cleans[:1], LIMIT_DB).item()
    assert terms["si_sdr"].item() == pytest.approx(0.5 * (1 - ratio / LIMIT_DB) / 3, abs=1e-3)
    assert terms["estoi"].item() == pytest.approx(2.0 * (1 - estoi(noisy, clean, 16000).item()) / 3, abs=1e-3)
    # the click is as clean as it was, and nobody speaks in between
    opinion = overall_opinion(LEVEL * estimate[:1]).item()
    assert terms["dnsmos"].item() == pytest.approx(0.2 * (BEST - opinion) / 3, abs=1e-3)
    for term in terms.values():
        (gradient,) = torch.autograd.grad(term, estimate, retain_graph=True)
        assert torch.isfinite(gradient).all() and gradient[0].abs().max() > 0 and not gradient[1].any()
        step = -0.05 * gradient / gradient.norm() * estimate.detach().norm()
        better = metric_terms(noisy_ones + step, cleans, 16000, config, noisy_ones)
        name = next(key for key, value in terms.items() if value is term)
        assert better[name] < term


def test_opinions_of_every_other_example_count_twice() -> None:
    clean, noisy = recording(3, 16000)
    cleans, estimates = torch.stack([clean, noisy]) / 0.05, torch.stack([noisy, clean]) / 0.05
    found, wanted = (
        metric_terms(estimates[:rows], cleans[:rows], 16000, LossConfig(dnsmos_weight=0.1, dnsmos_every=rows))
        for rows in (2, 1)
    )
    assert found["dnsmos"].item() == pytest.approx(wanted["dnsmos"].item(), rel=1e-5)


def test_opinions_of_every_zeroth_example_are_refused() -> None:
    with pytest.raises(ParameterError, match="dnsmos_every must be at least 1"):
        DenoisingLoss(LossConfig(dnsmos_every=0), 16000)


@pytest.mark.parametrize("sample_rate", [16000, 48000])
def test_a_batch_without_speech_has_no_gradient_and_no_error(sample_rate: int) -> None:
    estimate = torch.randn(2, 8000, generator=torch.Generator().manual_seed(1)).requires_grad_()
    config = LossConfig(si_sdr_weight=1.0, estoi_weight=1.0, dnsmos_weight=1.0)
    terms = metric_terms(estimate, torch.zeros(2, 8000), sample_rate, config)
    assert [term.item() for term in terms.values()] == [0.0, 0.0, 0.0]
    sum(terms.values()).backward()
    assert not estimate.grad.any()


def test_the_terms_are_part_of_the_loss_only_when_asked_for() -> None:
    clean, noisy = recording(3, 16000)
    zeros = torch.zeros(1, 4)
    plain = DenoisingLoss(LossConfig(windows=(64,)), 16000)
    asked = DenoisingLoss(dataclasses.replace(plain.config, estoi_weight=0.5), 16000)
    all_of_them = LossConfig(si_sdr_weight=0.1, estoi_weight=0.1, dnsmos_weight=0.1)
    without, found = (loss(noisy[None], clean[None], noisy[None], zeros, zeros) for loss in (plain, asked))
    assert not {"si_sdr", "estoi", "dnsmos"} & without.keys()
    assert found["estoi"].item() == pytest.approx(0.5 * (1 - estoi(noisy, clean, 16000).item()), abs=1e-3)
    torch.testing.assert_close(found["total"], without["total"] + found["estoi"])
    assert trained_on(plain.config) == [] and trained_on(asked.config) == ["ESTOI"]
    assert trained_on(all_of_them) == ["SI-SDR", "ESTOI", "SIG", "BAK", "OVRL"]
