"""What a decoded signal must have in common with the original: mel bands and spectra at several resolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtae.train.codec_nets import NOISE_FROM_HZ
from rtae.train.config import CodecConfig, LossConfig
from rtae.train.losses import spectral_loss
from rtae.train.metric_losses import metric_terms, require_measures
from rtae.train.nets import band_matrices

QUIETEST = 1e-3
"""Magnitudes far below it, relative to the level of the original, count as equal; no edge, where rounding would choose
between a gradient and none."""
LOWEST_RMS = 1e-5
NOISE_SHARE = 0.1


def level(clean: Tensor, noisy: Tensor) -> Tensor:
    """Return (batch, 1): the factor that brings ``clean`` (batch, samples) to unit power.

    Where there is little or no speech in ``noisy`` the factor is that of a tenth of its amplitude: what is left of the
    noise then counts as much as it is heard, not without bound.
    """
    power, most = (audio.square().mean(dim=1, keepdim=True) for audio in (clean, noisy))
    return torch.maximum(power, NOISE_SHARE**2 * most).clamp_min(LOWEST_RMS**2).rsqrt()


class CodecLoss(nn.Module):
    """Distances of logarithmic mel bands, of compressed spectra and of waveforms; weighted, and their sum.

    Where the decoder's signs are random (:data:`rtae.train.codec_nets.NOISE_FROM_HZ`) only magnitudes are compared: to
    a complex distance the best answer there is silence.

    Parameters
    ----------
    config : CodecConfig
        Windows and weight of the mel term.
    spectral : LossConfig
        Windows and weights of the spectral and waveform terms, weights of measures.

    Raises
    ------
    MissingDependencyError
        If the configuration asks for DNSMOS and speechmos is not installed.
    """

    def __init__(self, config: CodecConfig, spectral: LossConfig) -> None:
        super().__init__()
        require_measures(spectral)
        self.config, self.spectral = config, spectral
        for size in {*config.mel_windows, *spectral.windows}:
            window = torch.hann_window(size) / (0.375 * size) ** 0.5
            self.register_buffer(f"window_{size}", window, persistent=False)
        for size in config.mel_windows:
            bands = min(80, size // 8)
            # not 0 Hz: a real number that crosses zero, where the slope of its logarithm drowns that of all others
            matrix = band_matrices(size // 2 + 1, bands, bands // 4)[0][:, 1:]
            self.register_buffer(f"bands_{size}", torch.tensor(matrix, dtype=torch.float32), persistent=False)
        for size in spectral.windows:
            frequency = torch.fft.rfftfreq(size, 1 / config.sample_rate)
            weight = 1 / (1 + frequency / 4000)
            self.register_buffer(f"weight_{size}", weight / weight.mean(), persistent=False)
            self.register_buffer(f"phase_{size}", (frequency < NOISE_FROM_HZ).float(), persistent=False)

    def forward(self, estimate: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """Return the terms for ``estimate`` and ``clean`` (batch, samples), aligned and scaled by :func:`level`."""
        terms = {"mel": self.config.mel_weight * self.mel_distance(estimate, clean)}
        for size in self.spectral.windows:
            window, weight = self.get_buffer(f"window_{size}"), self.get_buffer(f"weight_{size}")
            phase = self.get_buffer(f"phase_{size}")
            distance = spectral_loss(estimate, clean, window, weight, self.spectral, phase)
            terms[f"spectrum_{size}"] = distance / len(self.spectral.windows)
        terms["wave"] = self.spectral.wave_weight * (estimate - clean).abs().mean()
        return terms | metric_terms(estimate, clean, self.config.sample_rate, self.spectral)

    def mel_distance(self, estimate: Tensor, clean: Tensor) -> Tensor:
        """Return the mean difference of logarithmic mel magnitudes (natural logarithm), over all windows."""
        distances = []
        for size in self.config.mel_windows:
            window, bands = self.get_buffer(f"window_{size}"), self.get_buffer(f"bands_{size}")
            logs = []
            for signal in (estimate, clean):
                power = torch.view_as_real(torch.fft.rfft(signal.unfold(1, size, size // 2) * window)).square().sum(-1)
                logs.append(torch.log((power + QUIETEST**2).sqrt() @ bands))
            distances.append((logs[0] - logs[1]).abs().mean())
        return torch.stack(distances).mean()
