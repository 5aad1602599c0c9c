"""The denoising network: one definition for training on whole signals and for streaming hop by hop.

A long analysis window and a short synthesis window (Mauler and Martin, "A low delay, variable resolution, perfect
reconstruction spectral analysis-synthesis system", EUSIPCO 2007) around a convolutional autoencoder over frequency with
recurrence over time at its bottleneck. No operator looks ahead; the algorithmic latency is the synthesis window.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtae.errors import ParameterError
from rtae.train.config import NetConfig
from rtae.train.distributed import BatchNorm
from rtae.train.fourier import MatrixFourier, constant
from rtae.train.gru import Gru

ENERGY_FLOOR = 1e-10  # -100 dBFS: below it, features fade to zero instead of magnifying numerical noise
UNLIMITED_DB = 200.0
CROSS_FADE = 0.75  # the very last samples of a segment are left to the next one, which knows more about them
SILENCE, OVERLOAD = 1e-9, 1e3  # samples outside are taken as zero: denormals and rounding noise, Inf and NaN


def windows(fft: int, hop: int, synthesis: int, cross_fade: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the analysis window (fft,) and the synthesis window (synthesis,).

    Their product over the last ``synthesis`` samples rises and falls as sine squared and cosine squared, so overlapping
    segments add up to one: in the first ``cross_fade`` of the ``synthesis - hop`` samples that two segments share.
    """
    overlap = synthesis - hop
    if not 0 < overlap <= hop or synthesis > fft:
        raise ParameterError(f"hop {hop}, synthesis {synthesis}, fft {fft}: need hop < synthesis <= 2 hop and <= fft")
    rise = np.sin(0.5 * np.pi * (np.arange(fft - overlap) + 0.5) / (fft - overlap))
    place = (np.arange(overlap) + 0.5) / overlap
    analysis = np.concatenate([rise, np.cos(0.5 * np.pi * place)])
    fade = np.cos(0.5 * np.pi * np.minimum(place / cross_fade, 1.0)) ** 2
    product = np.concatenate([1.0 - fade, np.ones(hop - overlap), fade])
    return analysis, product / analysis[-synthesis:]


def band_matrices(bins: int, bands: int, linear: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the reduction (bins, bands), columns of sum one, and the interpolation (bands, bins), columns of sum one.

    The first ``linear`` bands are single bins; the others have centres in geometric progression up to the last bin.
    """
    if not 0 < linear < bands <= bins:
        raise ParameterError(f"need 0 < linear_bands < bands <= {bins}, found {linear} and {bands}")
    ratio = ((bins - 1) / (linear - 1)) ** (1 / (bands - linear))
    centres = np.arange(bands, dtype=float)
    for index in range(linear, bands):  # at least one bin apart, then geometric
        centres[index] = max(centres[index - 1] + 1, (linear - 1) * ratio ** (index - linear + 1))
    centres = np.minimum(centres, bins - 1)
    centres[-1] = bins - 1
    triangles = np.stack([np.interp(np.arange(bins), centres, row) for row in np.eye(bands)])
    return (triangles / triangles.sum(axis=1, keepdims=True)).T, triangles


class FrequencyConv(nn.Module):
    """Convolution over frequency, normalised and rectified; ``(frames, channels, 1, bands)`` in and out."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, upsample: int = 1) -> None:
        super().__init__()
        self.upsample = upsample
        self.conv = nn.Conv2d(
            inputs, outputs * upsample, (1, kernel), (1, stride), (0, (kernel - stride + 1) // 2), bias=False
        )
        self.norm = BatchNorm(outputs * upsample)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; with ``upsample``, every position gives that many neighbours."""
        x = torch.relu(self.norm(self.conv(x)))
        return spread(x, self.upsample) if self.upsample > 1 else x


def spread(x: Tensor, factor: int) -> Tensor:
    """Turn ``(n, factor * c, 1, f)`` into ``(n, c, 1, f * factor)``: sub-pixel interpolation along frequency."""
    n, channels, _, positions = x.shape
    x = x.reshape(n, factor, channels // factor, positions).permute(0, 2, 3, 1)
    return x.reshape(n, channels // factor, 1, positions * factor)


def swapped(x: Tensor, outer: int, inner: int) -> Tensor:
    """Reorder the rows of ``x`` (outer * inner, ...), the ``inner`` of each ``outer`` in turn, the other way round."""
    if outer == 1 or inner == 1:
        return x
    return x.reshape(outer, inner, *x.shape[1:]).transpose(0, 1).reshape(x.shape)


class Bottleneck(nn.Module):
    """A recurrence over time in every band, weights shared, then one over the full band, each added to its input."""

    def __init__(self, bands: int, channels: int, full_band: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.bands, self.channels, self.full_band = bands, channels, full_band
        self.band_norm = nn.LayerNorm(channels)
        self.band_gru = Gru(channels, channels)
        self.band_out = nn.Linear(channels, channels, bias=False)
        self.full_norm = nn.LayerNorm(channels)
        self.full_in = nn.Linear(bands * channels, full_band, bias=False)
        self.full_gru = Gru(full_band, full_band)
        self.full_out = nn.Linear(full_band, bands * channels)

    @property
    def state_sizes(self) -> tuple[int, int]:
        """Lengths of the two recurrences' states."""
        return self.bands * self.channels, self.full_band

    def forward(self, x: Tensor, band_state: Tensor, full_state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Advance over ``x`` (time, batch * bands, channels).

        Returns the output, both states (batch, size), and the full-band recurrence's output (time * batch, full_band).
        """
        y, band_state = self.band_gru(self.band_norm(x), band_state)
        x = x + self.band_out(y)
        time, batch = x.shape[0], full_state.shape[0]
        flat = self.full_norm(x).reshape(time, batch, self.bands * self.channels)
        flat = F.dropout(self.full_in(flat), self.dropout, self.training)
        y, full_state = self.full_gru(flat, full_state)
        full = y.reshape(time * batch, self.full_band)
        x = x + self.full_out(full).reshape(x.shape)
        return x, band_state, full_state, full


class Denoiser(nn.Module):
    """Denoiser with wave in and wave out; its state is one packed vector.

    The state of one stream is, in this order: the last ``fft - hop`` input samples, the ``synthesis - hop`` samples
    still to be completed by overlap-add, then the recurrences' states.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        if c.bands % 8:
            raise ParameterError(f"net.bands must be a multiple of 8, found {c.bands}")
        if c.fft % 2:
            raise ParameterError(f"net.fft must be even, found {c.fft}")
        analysis, synthesis = windows(c.fft, c.hop, c.synthesis, CROSS_FADE)
        down, up = band_matrices(c.fft // 2 + 1, c.bands, c.linear_bands)
        self.spectrum_scale = float(1 / np.sqrt(np.square(analysis).sum()))
        self.analysis = constant(analysis)
        self.synthesis = constant(synthesis)
        self.down = constant(down)
        # the bands as the gains come: every fourth, and so on from the next
        self.up = constant(up.reshape(-1, 4, up.shape[1]).swapaxes(0, 1).reshape(up.shape))
        # of the features, which are the energy and both parts of the spectrum in bands, each compressed by the energy
        self.lowest = constant(np.array([ENERGY_FLOOR, -np.inf, -np.inf]).reshape(3, 1, 1))
        self.exponents = constant(np.array([0.15 - 1.0, -0.35, -0.35]).reshape(3, 1, 1))
        self.feature_norm = BatchNorm(3)
        self.stem = FrequencyConv(3, c.channels, 8, stride=4)
        self.encoder = FrequencyConv(c.channels, c.channels, 3)
        self.squeeze = FrequencyConv(c.channels, c.bottleneck_channels, 4, stride=2)
        positions = c.bands // 8
        self.blocks = nn.ModuleList(
            Bottleneck(positions, c.bottleneck_channels, c.full_band, c.dropout) for _ in range(c.blocks)
        )
        self.expand = FrequencyConv(c.bottleneck_channels, c.channels, 3, upsample=2)
        self.decoder = FrequencyConv(c.channels, c.channels, 3)
        self.gains = nn.Conv2d(c.channels, 8, (1, 3), padding=(0, 1))
        self.speech = nn.Linear(c.full_band, 1)
        nn.init.normal_(self.gains.weight, std=1e-3)
        with torch.no_grad():  # start by passing the signal
            assert self.gains.bias is not None
            self.gains.bias.copy_(torch.tensor([1.0] * 4 + [0.0] * 4))

    @property
    def state_sizes(self) -> list[int]:
        """Lengths of the parts of the packed state."""
        c = self.config
        sizes = [c.fft - c.hop, c.synthesis - c.hop]
        for block in self.blocks:
            assert isinstance(block, Bottleneck)
            sizes += block.state_sizes
        return sizes

    @property
    def delay(self) -> int:
        """Shift between input and output in samples."""
        return self.config.synthesis - self.config.hop

    def forward(self, audio: Tensor, state: Tensor, attenuation_limit_db: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Process whole hops.

        Parameters
        ----------
        audio : Tensor, (batch, hops * hop)
        state : Tensor, (batch, state_size)
        attenuation_limit_db : Tensor, (batch, 1)
            Greatest attenuation: the output is the input mixed in at this level, in the spectrum, hence in phase.

        Returns
        -------
        audio : Tensor, (batch, hops * hop)
            Delayed by :attr:`delay`.
        state : Tensor, (batch, state_size)
        speech : Tensor, (batch, hops)
            Logit of the probability of speech in each hop.
        """
        c = self.config
        batch, time = audio.shape[0], audio.shape[1] // c.hop
        parts = list(state.split(self.state_sizes, dim=1))
        level = audio.abs()
        audio = torch.where(level.clamp(SILENCE, OVERLOAD) == level, audio, 0.0)
        history = torch.cat([parts[0], audio], dim=1)
        # one row a frame; a single hop is one frame of each stream and takes the same steps with fewer operators
        frames = history.unfold(1, c.fft, c.hop) if time > 1 else history
        frames = (frames * (self.analysis * self.spectrum_scale)).reshape(batch * time, c.fft)
        spectrum = self._analysed(frames)
        # a mask that is trained with the floor learns to undo it
        most = UNLIMITED_DB if self.training or not c.floor else min(UNLIMITED_DB, -20.0 * math.log10(c.floor))
        dry = (10.0**-0.05) ** attenuation_limit_db.clamp(0.0, most)
        mask, states, speech = self._mask(spectrum, dry, parts[2:])
        segments = self._synthesised(spectrum, mask)
        rising, middle, tail = segments.split([self.delay, c.hop - self.delay, self.delay], dim=1)
        before = parts[1]
        if time > 1:
            tails = torch.cat([before.unsqueeze(1), tail.reshape(batch, time, self.delay)], dim=1)
            before, tail = tails[:, :-1].reshape(batch * time, self.delay), tails[:, -1]
        output = torch.cat([rising + before, middle], dim=1).reshape(audio.shape)
        state = torch.cat([history[:, -(c.fft - c.hop) :], tail, *states], dim=1)
        return output, state, speech.reshape(batch, time)

    def _analysed(self, frames: Tensor) -> Tensor:
        """Return the spectra (frames, 1, 2, bins), real and imaginary parts, of windowed ``frames`` (frames, fft)."""
        if torch.compiler.is_exporting():
            return self.frozen_fourier.analysed(frames)
        return torch.view_as_real(torch.fft.rfft(frames)).transpose(1, 2).unsqueeze(1)

    def _synthesised(self, spectrum: Tensor, mask: Tensor) -> Tensor:
        """Return the windowed ends (frames, synthesis) of the frames that have ``spectrum`` times ``mask``."""
        c = self.config
        if torch.compiler.is_exporting():
            return self.frozen_fourier.synthesised((mask * spectrum).sum(dim=2))
        product = torch.view_as_complex(spectrum[:, 0].transpose(1, 2)) * torch.complex(mask[:, 0, 0], mask[:, 0, 1])
        return torch.fft.irfft(product, n=c.fft)[:, -c.synthesis :] * (self.synthesis / self.spectrum_scale)

    def _mask(self, spectrum: Tensor, dry: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return the mask, the new states and the logit of speech for ``spectrum`` (frames, 1, 2, bins).

        The frames of each stream come in turn. The mask is (frames, 1, 2, bins), real and imaginary parts, but
        (frames, 2, 2, bins) in an export: by what these multiply both parts for the real and for the imaginary part of
        the product. The logit is (frames, 1).
        """
        c = self.config
        batch = dry.shape[0]
        time = spectrum.shape[0] // batch
        exporting = torch.compiler.is_exporting()
        down, up = (self.frozen_down, self.frozen_up) if exporting else (self.down, self.up)
        bands = torch.cat([spectrum.square().sum(dim=2, keepdim=True), spectrum], dim=2) @ down
        # time first from here on, so that the recurrences read rows that lie together
        bands = swapped(bands, batch, time).reshape(time * batch, 3, 1, c.bands)
        bands = torch.maximum(bands, self.lowest)
        features = bands * bands[:, :1] ** self.exponents
        features = features.contiguous(memory_format=torch.channels_last)
        stem = self.stem(self.feature_norm(features))
        encoded = stem + self.encoder(stem)
        x = self.squeeze(encoded)
        positions = x.shape[-1]
        x = x.permute(2, 0, 3, 1).reshape(time, batch * positions, c.bottleneck_channels)
        new_states: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            x, band_state, full_state, full = block(x, *states[2 * index : 2 * index + 2])
            new_states += [band_state, full_state]
        x = x.reshape(time * batch, 1, positions, c.bottleneck_channels).permute(0, 3, 1, 2)
        x = self.expand(x) + encoded
        x = x + self.decoder(x)
        if exporting:
            gains = F.conv2d(x, self.frozen_gains, self.frozen_gains_bias, padding=(0, 1))
        else:
            gains = self.gains(x)
        mask = gains.float().reshape(time * batch, -1, 2, c.bands)
        passing = torch.eye(2, device=mask.device)[: mask.shape[1], :, None]
        kept = dry[:, :, None, None]
        mask = mask + (kept if time == 1 else kept.repeat(time, 1, 1, 1)) * (passing - mask)
        # the interpolation's columns sum to one, so limiting the bands limits every bin
        return (swapped(mask, time, batch) @ up).float(), new_states, swapped(self.speech(full), time, batch)

    def freeze(self) -> None:
        """Prepare an export: transforms as matrix products, and what stands beside them in their order of bins."""
        c = self.config
        fourier = self.frozen_fourier = MatrixFourier(c.fft, self.synthesis.numpy() / self.spectrum_scale)
        beyond = fourier.bins - c.fft // 2 - 1
        self.frozen_down = nn.Buffer(F.pad(self.down, (0, 0, 0, beyond)), persistent=False)
        self.frozen_up = nn.Buffer(F.pad(self.up, (0, beyond)) * fourier.share, persistent=False)

        def matrix(parameter: Tensor) -> nn.Buffer:
            real, imaginary = parameter.detach().chunk(2)
            return nn.Buffer(torch.cat([real, -imaginary, imaginary, real]), persistent=False)

        assert self.gains.bias is not None
        self.frozen_gains, self.frozen_gains_bias = matrix(self.gains.weight), matrix(self.gains.bias)

    def initial_state(self, batch: int) -> Tensor:
        """Return the fresh state of ``batch`` streams: zeros."""
        return self.analysis.new_zeros(batch, sum(self.state_sizes))


def parameter_count(net: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in net.parameters())
