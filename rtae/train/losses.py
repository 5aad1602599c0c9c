"""Losses for denoising: compressed spectra at several resolutions, waveform, removed speech, speech probability."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtae.train.config import LossConfig
from rtae.train.metric_losses import metric_terms, require_measures

FLOOR = 1e-7
ACTIVE_DB = 40.0


def active_hops(clean: Tensor, hop: int) -> Tensor:
    """Return (batch, hops): 1.0 where a hop of ``clean`` (batch, samples) is within 40 dB of the loudest, else 0.0."""
    power = clean.unfold(1, hop, hop).square().mean(dim=2)
    threshold = (power.amax(dim=1, keepdim=True) * 10 ** (-ACTIVE_DB / 10)).clamp_min(1e-9)
    return (power > threshold).float()


def mixture_level(noisy: Tensor) -> Tensor:
    """Return (batch, 1): the factor that brings ``noisy`` (batch, samples) to unit power."""
    return noisy.square().mean(dim=1, keepdim=True).add(1e-10).rsqrt()


class _SpectralLoss(torch.autograd.Function):
    """Compressed-spectrum errors of one resolution, with the gradient written out.

    One example at a time, so that everything stays in the cache: a third of the time of automatic differentiation, and
    no large buffers. ``estimate`` and ``clean`` are (batch, samples); the loss is a mean over frames and frequencies.
    """

    @staticmethod
    def forward(
        ctx: Any, estimate: Tensor, clean: Tensor, window: Tensor, weight: Tensor, phase: Tensor, config: LossConfig
    ) -> Tensor:
        c = config.compression
        complex_weight = config.complex_weight * phase
        hop = window.numel() // 2
        count = estimate.shape[1] // hop - 1
        gradient = torch.zeros_like(estimate)
        total = estimate.new_zeros(())
        scale = weight / (count * weight.numel() * estimate.shape[0])
        inverse = torch.full_like(
            weight, window.numel() / 2
        )  # the adjoint of the real transform counts inner bins twice
        inverse[0] = inverse[-1] = window.numel()
        for row in range(estimate.shape[0]):
            x = torch.fft.rfft(estimate[row].unfold(0, 2 * hop, hop) * window)
            s = torch.fft.rfft(clean[row].unfold(0, 2 * hop, hop) * window)
            power = torch.view_as_real(x).square().sum(-1).add_(FLOOR)
            clean_power = torch.view_as_real(s).square().sum(-1).add_(FLOOR)
            gain = power ** ((c - 1) / 2)
            clean_gain = clean_power ** ((c - 1) / 2)
            magnitude = gain * power.sqrt()
            missing = clean_gain * clean_power.sqrt() - magnitude
            removed = missing.clamp_min(0.0)
            difference = x * gain - s * clean_gain
            parts = torch.view_as_real(difference)
            total += (
                (
                    complex_weight * parts.square().sum(-1)
                    + config.magnitude_weight * missing.square()
                    + config.removed_speech_weight * removed.square()
                )
                * scale
            ).sum()
            radial = (parts * torch.view_as_real(x)).sum(-1).mul_(gain).mul_((c - 1) * complex_weight)
            missing.mul_(config.magnitude_weight).add_(removed, alpha=config.removed_speech_weight)
            radial.sub_(missing.mul_(magnitude).mul_(c)).div_(power)
            slope = difference.mul_(gain).mul_(complex_weight).add_(x.mul_(radial)).mul_(scale * inverse)
            frames = torch.fft.irfft(slope, 2 * hop).mul_(window).mul_(2.0)
            gradient[row, : count * hop].view(count, hop).add_(frames[:, :hop])
            gradient[row, hop : (count + 1) * hop].view(count, hop).add_(frames[:, hop:])
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0], None, None, None, None, None


def spectral_loss(
    estimate: Tensor, clean: Tensor, window: Tensor, weight: Tensor, config: LossConfig, phase: Tensor | None = None
) -> Tensor:
    """Return the compressed-spectrum error of ``estimate`` and ``clean`` (batch, samples) at one resolution.

    ``window`` (even size,) is applied every half of its length, ``weight`` (size / 2 + 1,) to the frequencies;
    ``phase``, of the same shape, to the complex term alone (by default 1).
    """
    phase = torch.ones_like(weight) if phase is None else phase
    loss: Tensor = _SpectralLoss.apply(estimate, clean, window, weight, phase, config)
    return loss


class DenoisingLoss(nn.Module):
    """Weighted sum of the terms named in :class:`rtae.train.config.LossConfig`.

    The spectral terms are the compressed complex and magnitude errors of Braun and Tashev ("A consolidated view of loss
    functions for supervised deep learning-based speech enhancement", 2021), taken on the output of the streaming
    synthesis, so that they see its inconsistency. Frequencies weigh as on an auditory scale.

    Raises
    ------
    MissingDependencyError
        If the configuration asks for DNSMOS and speechmos is not installed.
    """

    def __init__(self, config: LossConfig, sample_rate: int) -> None:
        super().__init__()
        self.config, self.sample_rate = config, sample_rate
        require_measures(config)  # here, not after the first example
        for size in config.windows:
            self.register_buffer(f"window_{size}", torch.hann_window(size) / (0.375 * size) ** 0.5, persistent=False)
            weight = 1 / (1 + (torch.fft.rfftfreq(size, 1 / sample_rate) / 4000) ** 2)  # 8 to 24 kHz: a fifth
            self.register_buffer(f"weight_{size}", weight / weight.mean(), persistent=False)

    def forward(
        self, estimate: Tensor, clean: Tensor, noisy: Tensor, speech: Tensor, active: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss ``total`` and its terms, weighted.

        Parameters
        ----------
        estimate, clean, noisy : Tensor, (batch, samples)
            Aligned. All are scaled by the level of ``noisy`` first, so loud examples do not outweigh quiet ones.
        speech, active : Tensor, (batch, hops)
            Logit of the speech probability; 1.0 where there is speech.
        """
        c = self.config
        level = mixture_level(noisy)
        estimate, clean = estimate * level, clean * level
        terms = metric_terms(estimate, clean, self.sample_rate, c, noisy * level)
        for size in c.windows:
            window, weight = self.get_buffer(f"window_{size}"), self.get_buffer(f"weight_{size}")
            terms[f"spectrum_{size}"] = spectral_loss(estimate, clean, window, weight, c) / len(c.windows)
        terms["wave"] = c.wave_weight * (estimate - clean).abs().mean()
        if c.mse_weight > 0:
            terms["mse"] = c.mse_weight * (estimate - clean).square().mean()
        terms["speech"] = c.speech_weight * F.binary_cross_entropy_with_logits(speech, active)
        return {"total": torch.stack(list(terms.values())).sum(), **terms}
