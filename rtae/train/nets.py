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
from rtae.train.gru import Gru

ENERGY_FLOOR = 1e-10  # -100 dBFS: below it, features fade to zero instead of magnifying numerical noise
UNLIMITED_DB = 200.0
SILENCE, OVERLOAD = 1e-9, 1e3  # samples outside are taken as zero: denormals and rounding noise, Inf and NaN


def windows(fft: int, hop: int, synthesis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the analysis window (fft,) and the synthesis window (synthesis,).

    Their product over the last ``synthesis`` samples rises and falls over ``synthesis - hop`` samples as sine squared
    and cosine squared, so overlapping segments add up to one.
    """
    overlap = synthesis - hop
    if not 0 < overlap <= hop or synthesis > fft:
        raise ParameterError(f"hop {hop}, synthesis {synthesis}, fft {fft}: need hop < synthesis <= 2 hop and <= fft")
    rise = np.sin(0.5 * np.pi * (np.arange(fft - overlap) + 0.5) / (fft - overlap))
    fall = np.cos(0.5 * np.pi * (np.arange(overlap) + 0.5) / overlap)
    analysis = np.concatenate([rise, fall])
    product = np.concatenate([fall[::-1] ** 2, np.ones(hop - overlap), fall**2])
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


def _constant(value: np.ndarray) -> nn.Buffer:
    return nn.Buffer(torch.tensor(value, dtype=torch.float32), persistent=False)


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
        analysis, synthesis = windows(c.fft, c.hop, c.synthesis)
        down, up = band_matrices(c.fft // 2 + 1, c.bands, c.linear_bands)
        self.spectrum_scale = float(1 / np.sqrt(np.square(analysis).sum()))
        self.analysis = _constant(analysis)
        self.synthesis = _constant(synthesis)
        self.down = _constant(down)
        # the bands as the gains come: every fourth, and so on from the next
        self.up = _constant(up.reshape(-1, 4, up.shape[1]).swapaxes(0, 1).reshape(up.shape))
        self.quarter_turn = _constant(np.array([[0.0, 1.0], [-1.0, 0.0]]))
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
        audio = torch.where((level > SILENCE) & (level < OVERLOAD), audio, 0.0)
        history = torch.cat([parts[0], audio], dim=1)
        # one row a frame; a single hop is one frame of each stream and takes the same steps with fewer operators
        frames = history.unfold(1, c.fft, c.hop) if time > 1 else history
        frames = (frames * (self.analysis * self.spectrum_scale)).reshape(batch * time, c.fft)
        spectrum = torch.fft.rfft(frames)
        # a mask that is trained with the floor learns to undo it
        most = UNLIMITED_DB if self.training or not c.floor else min(UNLIMITED_DB, -20.0 * math.log10(c.floor))
        dry = (10.0**-0.05) ** attenuation_limit_db.clamp(0.0, most)
        mask, states, speech = self._mask(spectrum, dry, parts[2:])
        segments = torch.fft.irfft(self._masked(spectrum, mask), n=c.fft)[:, -c.synthesis :]
        segments = segments * (self.synthesis / self.spectrum_scale)
        rising, middle, tail = segments.split([self.delay, c.hop - self.delay, self.delay], dim=1)
        before = parts[1]
        if time > 1:
            tails = torch.cat([before.unsqueeze(1), tail.reshape(batch, time, self.delay)], dim=1)
            before, tail = tails[:, :-1].reshape(batch * time, self.delay), tails[:, -1]
        output = torch.cat([rising + before, middle], dim=1).reshape(audio.shape)
        state = torch.cat([history[:, -(c.fft - c.hop) :], tail, *states], dim=1)
        return output, state, speech.reshape(batch, time)

    def _mask(self, spectrum: Tensor, dry: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return the mask, the new states and the logit of speech for ``spectrum`` (frames, bins).

        The frames of each stream come in turn. The mask is (frames, 2, bins), real and imaginary parts; the logit
        (frames, 1).
        """
        c = self.config
        batch = dry.shape[0]
        time = spectrum.shape[0] // batch
        parts = torch.view_as_real(spectrum).transpose(1, 2)
        bands = torch.cat([parts.square().sum(dim=1, keepdim=True), parts], dim=1) @ self.down
        # time first from here on, so that the recurrences read rows that lie together
        energy, parts = swapped(bands, batch, time).split([1, 2], dim=1)
        energy = energy.clamp_min(ENERGY_FLOOR)
        features = torch.cat([energy**0.15, parts * energy**-0.35], dim=1).unsqueeze(2)
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
        mask = self.gains(x).float().reshape(time * batch, 2, c.bands)
        passing = mask.new_tensor([1.0, 0.0])[:, None]
        kept = dry.unsqueeze(2)
        mask = mask + (kept if time == 1 else kept.repeat(time, 1, 1)) * (passing - mask)
        # the interpolation's columns sum to one, so limiting the bands limits every bin
        return (swapped(mask, time, batch) @ self.up).float(), new_states, swapped(self.speech(full), time, batch)

    def _masked(self, spectrum: Tensor, mask: Tensor) -> Tensor:
        """Return the product of ``spectrum`` (frames, bins) and ``mask`` (frames, 2, bins)."""
        if not torch.compiler.is_exporting():
            return spectrum * torch.complex(mask[:, 0], mask[:, 1])
        real, imaginary = mask.transpose(1, 2).split(1, dim=2)  # in as few operators as it takes
        parts = torch.view_as_real(spectrum)
        return torch.view_as_complex(parts * real + (parts @ self.quarter_turn) * imaginary)

    def initial_state(self, batch: int) -> Tensor:
        """Return the fresh state of ``batch`` streams: zeros."""
        return self.analysis.new_zeros(batch, sum(self.state_sizes))


def parameter_count(net: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in net.parameters())
