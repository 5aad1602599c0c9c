"""The differentiable opinion against the one that evaluations take."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import Tensor

from rtae.errors import MissingDependencyError
from rtae.evaluate import dnsmos
from rtae.train.codec_losses import CodecLoss
from rtae.train.config import CodecConfig, LossConfig
from rtae.train.losses import DenoisingLoss
from rtae.train.metric_losses import resampled
from rtae.train.opinion import overall_opinion
from tests.unit.evaluate.conftest import NAMES, read


def at_16_khz(*signals: np.ndarray) -> Tensor:
    return resampled(torch.from_numpy(np.concatenate(signals)[None]), 48000, dnsmos.SAMPLE_RATE)


def test_the_overall_opinion_is_that_of_the_evaluation() -> None:
    recordings = [at_16_khz(*9 * [read(name, side)])[0] for name in NAMES for side in ("noisy", "clean")]
    windows = torch.stack([audio[: dnsmos.WINDOW] for audio in recordings])
    windows[2] *= 20  # beyond full scale
    expected = [dnsmos.score(window.numpy()).ovrl for window in windows]
    assert overall_opinion(windows).tolist() == pytest.approx(expected, abs=0.03)
    assert max(expected) - min(expected) > 0.5


def test_its_gradient_leads_to_a_better_opinion() -> None:
    clean, noisy = at_16_khz(read(NAMES[0], "clean")), at_16_khz(read(NAMES[0], "noisy"))
    opinion = overall_opinion(noisy)
    assert overall_opinion(clean) > opinion + 0.2
    both = torch.cat([clean, noisy]).requires_grad_()
    (gradient,) = torch.autograd.grad(overall_opinion(both)[1], both)
    assert torch.isfinite(gradient).all() and not gradient[0].any()
    step = 0.02 * gradient[1:] / gradient.norm() * noisy.norm()
    assert overall_opinion(noisy + step) > opinion + 0.02


def test_silence_has_a_finite_opinion_and_gradient() -> None:
    silence = torch.zeros(1, 8000, requires_grad=True)
    opinion = overall_opinion(silence)
    opinion.sum().backward()
    assert 0.5 < opinion.item() < 2 and torch.isfinite(silence.grad).all()


def test_the_missing_package_is_named_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for loss in (lambda config: DenoisingLoss(config, 16000), lambda config: CodecLoss(CodecConfig(), config)):
        loss(LossConfig())
        with pytest.raises(MissingDependencyError, match=r"speechmos.*rtae\[peers\]"):
            loss(LossConfig(dnsmos_weight=0.1))
