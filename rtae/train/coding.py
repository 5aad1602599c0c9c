"""The coding task: speech in, the same speech out of few bits; from noisy speech, denoised as well."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rtae.errors import ParameterError
from rtae.train.codec_losses import CodecLoss, level
from rtae.train.codec_nets import Codec, initial_state
from rtae.train.config import CodecConfig, TrainConfig
from rtae.train.discriminator import Discriminator, adversarial_terms
from rtae.train.distributed import own_part
from rtae.train.loop import Batch
from rtae.train.mix import Mixer
from rtae.train.pictures import spectrogram_figure
from rtae.train.precision import half_precision
from rtae.train.quantize import ResidualQuantizer, entropy_bits

SHOWN = 2
START_BATCHES = 16


class CodingNet(nn.Module):
    """The codec and its adversary, which is there in every training so that one stage can go on from another."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.codec = Codec(config)
        self.discriminator = Discriminator(config.discriminator_windows, config.discriminator_channels)
        trained: dict[str, list[nn.Module]] = {
            "all": [self.codec],
            "encoder": [self.codec.encoder],
            "decoder": [self.codec.decoder],
        }
        if config.part not in trained:
            raise ParameterError(f"codec.part is {config.part!r}; known: {', '.join(trained)}")
        self.codec.requires_grad_(False)
        for part in trained[config.part]:
            part.requires_grad_(True)
        self.codec.bottleneck.learns = config.part == "all"
        self.adversarial = config.adversarial_weight > 0 or config.feature_weight > 0
        self.discriminator.requires_grad_(self.adversarial)


class CodingTask:
    """Trains :class:`rtae.train.codec_nets.Codec` on what two mixers draw (see :class:`rtae.train.loop.Task`).

    The input is the mixers' noisy signal, the target their clean one; a configuration whose examples are all clean
    trains a codec, one with noise a codec that denoises.
    """

    def __init__(self, config: TrainConfig, mixer: Mixer, validation: Mixer) -> None:
        assert config.codec is not None
        self.config, self.codec = config, config.codec
        self.mixer, self.validation = mixer, validation
        torch.manual_seed(config.optim.seed)
        self.net = CodingNet(self.codec)
        self.loss = CodecLoss(self.codec, config.loss)

    @property
    def adversarial(self) -> bool:
        """Whether this is an adversarial stage."""
        return self.net.adversarial

    def batch(self, step: int, first: int, count: int) -> Batch:
        """Return noisy and clean examples, (count, samples) each."""
        return _tensors(*self.mixer.batch(step, self.config.optim.batch, first, count))

    def validation_batch(self, index: int) -> Batch:
        """Return noisy and clean validation examples."""
        return _tensors(*self.validation.batch(index, self.config.optim.batch))

    def terms(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms of ``net``; without those of the adversary, whose scale drifts, in validation."""
        assert isinstance(net, CodingNet)
        c, delay = self.codec, net.codec.decoder.delay
        if isinstance(net.codec.bottleneck, ResidualQuantizer) and net.codec.bottleneck.starts:
            self._start_codebooks(net.codec, net.codec.bottleneck)
        noisy, clean = (self._whole(part) for part in batch)
        estimate, cost = self._run(net, noisy)
        self.loss.to(noisy.device)
        clean = clean[:, : clean.shape[1] - delay]
        scale = level(clean, noisy)
        estimate, clean = estimate[:, delay:].float() * scale, clean * scale
        terms = self.loss(estimate, clean)
        if c.bottleneck == "codes":
            terms["commitment"] = c.commitment_weight * cost
        else:
            terms["divergence"] = c.divergence_weight * cost
        if net.training and net.adversarial:
            weights = c.adversarial_weight, c.feature_weight
            terms |= adversarial_terms(net.discriminator, estimate, clean, *weights)
        return {"total": torch.stack(list(terms.values())).sum(), **terms}

    @torch.no_grad()
    def _start_codebooks(self, codec: Codec, quantizer: ResidualQuantizer) -> None:
        """Start the codebooks from the latents of examples to come: one batch has too few for so many codes."""
        device = codec.encoder.enter.weight.device
        latents = []
        for step in range(int(quantizer.draws), int(quantizer.draws) + START_BATCHES):
            audio = self._whole(own_part(self.batch(step, 0, self.config.optim.batch)[0])).to(device)
            with half_precision(device, self.config.optim.bf16):
                latents.append(codec.encoder(audio, initial_state(codec.encoder, len(audio)))[0])
        quantizer.start(torch.cat(latents).float())

    def _whole(self, audio: Tensor) -> Tensor:
        return audio[:, : audio.shape[1] // self.codec.hop * self.codec.hop]

    def _run(self, net: CodingNet, audio: Tensor) -> tuple[Tensor, Tensor]:
        with half_precision(audio.device, self.config.optim.bf16):
            estimate, cost = net.codec(audio)
        return estimate, cost

    @torch.no_grad()
    def show(self, net: nn.Module, log: Any, step: int) -> None:
        """Log validation examples before and after, and how well the bottleneck is used."""
        assert isinstance(net, CodingNet)
        noisy, clean = self.validation_batch(0)
        noisy = self._whole(noisy).to(net.codec.encoder.enter.weight.device)
        self._show_bottleneck(net.codec, noisy, log, step)
        estimate, _ = self._run(net, noisy[:SHOWN])
        rate = self.mixer.sample_rate
        for row in range(min(SHOWN, len(noisy))):
            signals = {"input": noisy[row], "decoded": estimate[row], "clean": clean[row]}
            arrays = {name: signal.float().cpu().numpy() for name, signal in signals.items()}
            for name, array in arrays.items():
                log.add_audio(f"{row}/{name}", np.clip(array, -1, 1)[None], step, rate)
            log.add_figure(f"spectrogram/{row}", spectrogram_figure(arrays, rate), step)

    def _show_bottleneck(self, codec: Codec, audio: Tensor, log: Any, step: int) -> None:
        latent = codec.encoder(audio, initial_state(codec.encoder, len(audio)))[0].reshape(-1, self.codec.latent)
        bottleneck = codec.bottleneck
        if isinstance(bottleneck, ResidualQuantizer):
            entropies, used = entropy_bits(bottleneck.codes(latent).cpu(), bottleneck.bits)
            for stage, (entropy, share) in enumerate(zip(entropies, used, strict=True)):
                log.add_scalar(f"codes/entropy_bits_{stage}", entropy.item(), step)
                log.add_scalar(f"codes/used_{stage}", share.item(), step)
        else:
            divergence = bottleneck.divergence(*bottleneck.distribution(latent)).mean(dim=0)
            for index, value in enumerate(divergence):
                log.add_scalar(f"divergence/{index}", value.item(), step)


def _tensors(*arrays: np.ndarray) -> Batch:
    return tuple(torch.from_numpy(array) for array in arrays)
