"""The denoising task: noisy speech in, the speech in it out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rtae.train.config import TrainConfig
from rtae.train.discriminator import Discriminator, adversarial_terms
from rtae.train.loop import Batch
from rtae.train.losses import DenoisingLoss, active_hops, mixture_level
from rtae.train.mix import Mixer
from rtae.train.nets import Denoiser
from rtae.train.pictures import spectrogram_figure
from rtae.train.precision import half_precision

UNLIMITED_DB = 200.0
SHOWN = 2


class AdversarialDenoiser(Denoiser):
    """A denoiser with its adversary; the denoiser's own weights keep their names, so either goes on from the other."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config.net)
        self.discriminator = Discriminator(config.loss.discriminator_windows, config.loss.discriminator_channels)


class DenoisingTask:
    """Trains :class:`rtae.train.nets.Denoiser` on what two mixers draw (see :class:`rtae.train.loop.Task`)."""

    def __init__(self, config: TrainConfig, mixer: Mixer, validation: Mixer) -> None:
        self.config, self.mixer, self.validation = config, mixer, validation
        torch.manual_seed(config.optim.seed)
        self.adversarial = config.loss.adversarial_weight > 0 or config.loss.feature_weight > 0
        self.net = AdversarialDenoiser(config) if self.adversarial else Denoiser(config.net)
        self.loss = DenoisingLoss(config.loss, config.net.sample_rate)

    def batch(self, step: int, first: int, count: int) -> Batch:
        """Return noisy and clean examples, (count, samples) each."""
        return _tensors(*self.mixer.batch(step, self.config.optim.batch, first, count))

    def validation_batch(self, index: int) -> Batch:
        """Return noisy and clean validation examples."""
        return _tensors(*self.validation.batch(index, self.config.optim.batch))

    def terms(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms of ``net``; without those of the adversary, whose scale drifts, in validation."""
        assert isinstance(net, Denoiser)
        hop, delay = net.config.hop, net.delay
        whole = batch[0].shape[1] // hop * hop
        noisy, clean = (part[:, :whole] for part in batch)
        estimate, speech = self._run(net, noisy)
        device = noisy.device.type
        self.loss.to(noisy.device)
        with torch.autocast(device, enabled=False):
            active = active_hops(clean, hop)
            noisy, clean = noisy[:, : whole - delay], clean[:, : whole - delay]
            estimate = estimate[:, delay:].float()
            terms = self.loss(estimate, clean, noisy, speech.float(), active)
            if net.training and isinstance(net, AdversarialDenoiser):
                level, c = mixture_level(noisy), self.config.loss
                weights = c.adversarial_weight, c.feature_weight
                found = adversarial_terms(net.discriminator, estimate * level, clean * level, *weights)
                terms |= found | {"total": terms["total"] + torch.stack(list(found.values())).sum()}
            return terms

    def _run(self, net: Denoiser, noisy: Tensor) -> tuple[Tensor, Tensor]:
        limit = noisy.new_full((noisy.shape[0], 1), UNLIMITED_DB)
        with half_precision(noisy.device, self.config.optim.bf16):
            estimate, _, speech = net(noisy, net.initial_state(noisy.shape[0]), limit)
        return estimate, speech

    @torch.no_grad()
    def show(self, net: nn.Module, log: Any, step: int) -> None:
        """Log validation examples before and after, as sounds and spectrograms."""
        assert isinstance(net, Denoiser)
        noisy, clean = self.validation_batch(0)
        noisy, clean = noisy[:SHOWN].to(net.analysis.device), clean[:SHOWN]
        estimate, _ = self._run(net, noisy[:, : noisy.shape[1] // net.config.hop * net.config.hop])
        rate = self.mixer.sample_rate
        for row in range(len(noisy)):
            signals = {"noisy": noisy[row], "estimate": estimate[row], "clean": clean[row]}
            arrays = {name: signal.float().cpu().numpy() for name, signal in signals.items()}
            for name, array in arrays.items():
                log.add_audio(f"{row}/{name}", np.clip(array, -1, 1)[None], step, rate)
            log.add_figure(f"spectrogram/{row}", spectrogram_figure(arrays, rate), step)


def _tensors(*arrays: np.ndarray) -> Batch:
    return tuple(torch.from_numpy(array) for array in arrays)
