"""The adversary of a generator of speech: discriminators of spectrograms at several resolutions.

Both sides are terms of one sum: the generator's terms see the discriminator's weights as constants, the
discriminator's see the generated signal as one, so a single optimizer trains the two.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm

SLOPE = 0.2

Verdicts = list[tuple[Tensor, list[Tensor]]]
"""For every resolution the score of every place, and what the layers before it gave."""


class SpectrumDiscriminator(nn.Module):
    """Convolutions over the complex spectrogram (Defossez et al., "High fidelity neural audio compression", 2022)."""

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.window = nn.Buffer(torch.hann_window(window) / (0.375 * window) ** 0.5, persistent=False)
        layers = [nn.Conv2d(2, channels, (3, 9), padding=(1, 4))]
        for dilation in (1, 2, 4):
            layers.append(nn.Conv2d(channels, channels, (3, 9), (1, 2), (dilation, 4), (dilation, 1)))
        layers.append(nn.Conv2d(channels, channels, 3, padding=1))
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.score = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores (batch, 1, frames, places) and the layers' outputs for ``audio`` (batch, samples)."""
        size = self.window.numel()
        spectrum = torch.fft.rfft(audio.unfold(1, size, size // 4) * self.window)
        x = torch.view_as_real(spectrum).permute(0, 3, 1, 2)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return self.score(x), features


class Discriminator(nn.Module):
    """One :class:`SpectrumDiscriminator` for every window."""

    def __init__(self, windows: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(SpectrumDiscriminator(window, channels) for window in windows)

    def forward(self, audio: Tensor) -> Verdicts:
        """Judge ``audio`` (batch, samples), scaled to unit power beforehand."""
        return [part(audio) for part in self.parts]


def adversarial_terms(
    discriminator: Discriminator,
    generated: Tensor,
    real: Tensor,
    adversarial_weight: float = 1.0,
    feature_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Return ``adversarial`` and ``features`` for the generator, ``discriminator`` for the discriminator.

    Hinge losses and feature matching relative to the size of the real features, each a mean over the resolutions and
    over the examples, every example for itself.

    Parameters
    ----------
    discriminator : Discriminator
    generated, real : Tensor, (batch, samples)
        Aligned, scaled alike.
    adversarial_weight, feature_weight : float
        Weights of the generator's terms.
    """
    count = len(discriminator.parts)
    constants = {name: value.detach() for name, value in discriminator.named_parameters()}
    judged: Verdicts = functional_call(discriminator, constants, (generated,))
    on_real, on_generated = discriminator(real), discriminator(generated.detach())
    adversarial, features, own = [], [], []
    for (score, layers), (real_score, real_layers), (false_score, _) in zip(judged, on_real, on_generated, strict=True):
        adversarial.append(F.relu(1 - score).mean())
        own.append(F.relu(1 - real_score).mean() + F.relu(1 + false_score).mean())
        for layer, wanted in zip(layers, real_layers, strict=True):
            wanted = wanted.detach()
            distance, size = ((x.abs().mean(dim=(1, 2, 3))) for x in (layer - wanted, wanted))
            features.append((distance / size.clamp_min(1e-3)).mean() / len(layers))
    return {
        "adversarial": adversarial_weight * torch.stack(adversarial).sum() / count,
        "features": feature_weight * torch.stack(features).sum() / count,
        "discriminator": torch.stack(own).sum() / count,
    }
