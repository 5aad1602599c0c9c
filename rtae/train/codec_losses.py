"""What a decoded signal must have in common with the original: mel bands and spectra at several resolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtae.train.config import CodecConfig, LossConfig
from rtae.train.losses import spectral_loss
from rtae.train.nets import band_matrices

QUIETEST = 1e-3
"""Magnitudes below it, relative to the level of the original, count as equal."""
LOWEST_RMS = 1e-5


def level(audio: Tensor) -> Tensor:
    """Return (batch, 1): the factor that brings ``audio`` (batch, samples) to unit power."""
    return audio.square().mean(dim=1, keepdim=True).clamp_min(LOWEST_RMS**2).rsqrt()


class CodecLoss(nn.Module):
    """Distances of logarithmic mel bands, of compressed spectra and of waveforms; weighted, and their sum.

    Parameters
    ----------
    config : CodecConfig
        Windows and weight of the mel term.
    spectral : LossConfig
        Windows and weights of the spectral and waveform terms.
    """

    def __init__(self, config: CodecConfig, spectral: LossConfig) -> None:
        super().__init__()
        self.config, self.spectral = config, spectral
        for size in {*config.mel_windows, *spectral.windows}:
            window = torch.hann_window(size) / (0.375 * size) ** 0.5
            self.register_buffer(f"window_{size}", window, persistent=False)
        for size in config.mel_windows:
            bands = min(80, size // 8)
            matrix = band_matrices(size // 2 + 1, bands, bands // 4)[0]
            self.register_buffer(f"bands_{size}", torch.tensor(matrix, dtype=torch.float32), persistent=False)
        for size in spectral.windows:
            weight = 1 / (1 + torch.fft.rfftfreq(size, 1 / config.sample_rate) / 4000)
            self.register_buffer(f"weight_{size}", weight / weight.mean(), persistent=False)

    def forward(self, estimate: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """Return the terms for ``estimate`` and ``clean`` (batch, samples), aligned and scaled by :func:`level`."""
        terms = {"mel": self.config.mel_weight * self.mel_distance(estimate, clean)}
        for size in self.spectral.windows:
            window, weight = self.get_buffer(f"window_{size}"), self.get_buffer(f"weight_{size}")
            distance = spectral_loss(estimate, clean, window, weight, self.spectral)
            terms[f"spectrum_{size}"] = distance / len(self.spectral.windows)
        terms["wave"] = self.spectral.wave_weight * (estimate - clean).abs().mean()
        return terms

    def mel_distance(self, estimate: Tensor, clean: Tensor) -> Tensor:
        """Return the mean difference of logarithmic mel magnitudes (natural logarithm), over all windows."""
        distances = []
        for size in self.config.mel_windows:
            window, bands = self.get_buffer(f"window_{size}"), self.get_buffer(f"bands_{size}")
            logs = []
            for signal in (estimate, clean):
                power = torch.view_as_real(torch.fft.rfft(signal.unfold(1, size, size // 2) * window)).square().sum(-1)
                logs.append(torch.log(power.clamp_min(QUIETEST**2).sqrt() @ bands))
            distances.append((logs[0] - logs[1]).abs().mean())
        return torch.stack(distances).mean()
