"""The codec's network: encoder, bottleneck and decoder, for whole signals and for streaming hop by hop.

Encoder and decoder are stacks of dense layers over the spectrum of one frame, with short causal convolutions and a
recurrence over time. The decoder gives real and imaginary parts and a logarithmic gain for each bin: a complex spectrum
learns waveforms sooner than magnitude and phase do, and the gain covers the dynamic range. Nothing looks ahead.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtae.errors import ParameterError
from rtae.train.config import CodecConfig
from rtae.train.fourier import constant
from rtae.train.gru import Gru
from rtae.train.nets import ENERGY_FLOOR, OVERLOAD, SILENCE, windows
from rtae.train.quantize import GaussianBottleneck, ResidualQuantizer

LOUDEST = 6.0
"""Highest logarithmic gain of a bin; unit variance is 0."""
QUIETEST_POWER = 1e-8
NOISE_FROM_HZ = 4000.0
"""Above it the bins' signs are random, frame by frame: few bits code no waveform there, and what a network repeats from
frame to frame for want of one is heard as tones. (Perceptual noise substitution, as in AAC: Schulz, "Improving audio
codecs by noise substitution", 1996.)"""
NOISE_FRAMES = 128
STRIDE = 8
"""Most parts that the transform of a single frame is taken in."""


def _exact(x: Tensor, matrix: Tensor) -> Tensor:
    """Multiply in float32 also where the network around runs in bfloat16: a transform needs its precision."""
    device = x.device.type
    if not torch.is_autocast_enabled(device):
        return x @ matrix
    with torch.autocast(device, enabled=False):
        return x.float() @ matrix


class FrameBlock(nn.Module):
    """A causal depthwise convolution over time, then two dense layers, added to the input; (time, batch, width)."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.width, self.kernel = width, kernel
        self.taps = nn.Parameter(torch.randn(kernel, 1, width) / kernel**0.5)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 3 * width)
        self.narrow = nn.Linear(3 * width, width)
        with torch.no_grad():
            self.narrow.weight.mul_(0.3)

    @property
    def state_size(self) -> int:
        """Length of the state: the frames the convolution looks back at."""
        return (self.kernel - 1) * self.width

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance over ``x``; the state is (batch, state_size)."""
        time, batch, width = x.shape
        history = torch.cat([state.reshape(batch, self.kernel - 1, width).transpose(0, 1), x.float()])
        if time == 1:
            y = (history * self.taps).sum(dim=0, keepdim=True)
        else:
            y = history[:time] * self.taps[0]
            for tap in range(1, self.kernel):
                y = torch.addcmul(y, history[tap : tap + time], self.taps[tap])
        y = self.narrow(F.gelu(self.widen(self.norm(y)), approximate="tanh"))
        return x + y, history[time:].transpose(0, 1).reshape(batch, -1)


class Trunk(nn.Module):
    """Frame blocks with a recurrence after the first of them; (time, batch, width) in and out."""

    def __init__(self, width: int, blocks: int, kernel: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FrameBlock(width, kernel) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.gru = Gru(width, width)
        self.out_norm = nn.LayerNorm(width)
        self.state_sizes = [width] + blocks * [(kernel - 1) * width]

    def forward(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Advance over ``x``; one state each for the recurrence and for every block."""
        new: list[Tensor] = [states[0]]
        for index, block in enumerate(self.blocks):
            x, state = block(x, states[index + 1])
            new.append(state)
            if index == 0:
                y, new[0] = self.gru(self.norm(x), states[0])
                x = x + y
        return self.out_norm(x), new


class Spectrum(nn.Module):
    """The windowed Fourier transform of real frames (time, batch, size): real and imaginary parts of all bins.

    Of many frames it is one product with a matrix. Of a single one, as in streaming, reading that matrix takes most of
    the time; the transform is then taken in two steps (Cooley and Tukey, "An algorithm for the machine calculation of
    complex Fourier series", 1965): :data:`STRIDE` transforms of every ``STRIDE``-th sample, which share a small matrix,
    then for every bin the sum of theirs, turned.
    """

    def __init__(self, window: np.ndarray) -> None:
        super().__init__()
        size = len(window)
        self.bins = size // 2 + 1
        spectrum = np.fft.rfft(np.eye(size) * window)
        self.whole = constant(np.concatenate([spectrum.real, spectrum.imag], axis=1))
        self.stride = next(stride for stride in range(STRIDE, 0, -1) if size % stride == 0)
        part = size // self.stride
        self.window = constant(window)
        small = np.fft.fft(np.eye(part))
        self.small = constant(np.concatenate([small.real, small.imag], axis=1))
        repeats = self.bins // part + 1
        turns = np.exp(-2j * np.pi * np.outer(np.arange(repeats * part), np.arange(self.stride)) / size)
        turns = turns.reshape(repeats, part, self.stride).transpose(0, 2, 1)  # (repeats, stride, part)
        # (real and imaginary out times repeats, stride times real and imaginary in, part)
        real, imaginary = (np.stack(pair, axis=2) for pair in ((turns.real, -turns.imag), (turns.imag, turns.real)))
        self.turns = constant(np.concatenate([real, imaginary]).reshape(2 * repeats, 2 * self.stride, part))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary parts (time, batch, bins) of ``frames``."""
        time, batch, size = frames.shape
        if time > 1:
            real, imaginary = _exact(frames, self.whole).chunk(2, dim=2)
            return real, imaginary
        parts = (frames * self.window).reshape(batch, size // self.stride, self.stride).transpose(1, 2)
        parts = _exact(parts, self.small).reshape(batch, 1, 2 * self.stride, size // self.stride)
        both = (parts * self.turns).sum(dim=2).reshape(1, batch, 2, -1)[..., : self.bins]
        return both[:, :, 0], both[:, :, 1]


class Encoder(nn.Module):
    """From samples to one latent vector a hop; the state is the samples before, then the trunk's."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        c = self.config = config
        window = windows(c.analysis, c.hop, c.synthesis)[0]
        self.spectrum = Spectrum(window / np.sqrt(np.square(window).sum()))
        self.enter = nn.Linear(3 * (c.analysis // 2 + 1) + c.analysis + 1, c.width)
        self.trunk = Trunk(c.width, c.encoder_blocks, c.kernel)
        self.leave = nn.Linear(c.width, c.latent)
        self.state_sizes = [c.analysis - c.hop, *self.trunk.state_sizes]

    def forward(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Turn ``audio`` (batch, hops * hop) into latents (hops, batch, latent); the state is (batch, state_size)."""
        c = self.config
        past, *states = state.split(self.state_sizes, dim=1)
        level = audio.abs()
        audio = torch.where((level > SILENCE) & (level < OVERLOAD), audio, torch.zeros_like(audio))
        history = torch.cat([past, audio], dim=1)
        frames = history.unfold(1, c.analysis, c.hop) if audio.shape[1] > c.hop else history.unsqueeze(1)
        x, states = self.trunk(self.enter(self._features(frames.transpose(0, 1))), states)
        return self.leave(x).float(), torch.cat([history[:, -past.shape[1] :], *states], dim=1)

    def _features(self, frames: Tensor) -> Tensor:
        """Return, for ``frames`` (time, batch, analysis), their compressed spectra, their shapes and their levels."""
        real, imaginary = self.spectrum(frames)
        energy = (real.square() + imaginary.square()).clamp_min(ENERGY_FLOOR)
        gain = energy**-0.35
        power = frames.square().mean(dim=2, keepdim=True).clamp_min(QUIETEST_POWER)
        levels = [0.2 * torch.log(value) + 1.5 for value in (energy, power)]
        return torch.cat([levels[0], real * gain, imaginary * gain, frames * power.rsqrt(), levels[1]], dim=2)


class Decoder(nn.Module):
    """From latent vectors to samples.

    The state is the overlap still to be completed, the number of the frame, then the trunk's.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        c = self.config = config
        analysis, synthesis = windows(c.synthesis, c.hop, c.synthesis)
        scale = np.sqrt(np.square(analysis).sum())
        bins = c.synthesis // 2 + 1
        inverse = np.fft.irfft(np.concatenate([np.eye(bins), 1j * np.eye(bins)]), c.synthesis)
        self.transform = constant(inverse * scale * synthesis)
        signs = np.sign(np.random.default_rng(1).uniform(-1, 1, (NOISE_FRAMES, bins)))
        signs[:, np.arange(bins) * c.sample_rate / c.synthesis < NOISE_FROM_HZ] = 1
        self.signs = constant(np.concatenate([signs, signs], axis=1))
        self.enter = nn.Linear(c.latent, c.width)
        self.trunk = Trunk(c.width, c.decoder_blocks, c.kernel)
        self.leave = nn.Linear(c.width, 3 * bins)
        with torch.no_grad():  # start quiet
            self.leave.bias[:bins] = -3.0
        self.state_sizes = [c.synthesis - c.hop, 1, *self.trunk.state_sizes]

    @property
    def delay(self) -> int:
        """Shift between the encoder's input and the output in samples."""
        return self.config.synthesis - self.config.hop

    def forward(self, latent: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Turn ``latent`` (hops, batch, latent) into audio (batch, hops * hop); the state is (batch, state_size)."""
        tail, count, *states = state.split(self.state_sizes, dim=1)
        x, states = self.trunk(self.enter(latent), states)
        gain, real, imaginary = self.leave(x).float().chunk(3, dim=2)
        gain = torch.exp(gain.clamp_max(LOUDEST))
        counts = torch.remainder(count.t() + torch.arange(len(latent), device=count.device).unsqueeze(1), NOISE_FRAMES)
        spectrum = torch.cat([gain * real, gain * imaginary], dim=2) * self.signs[counts.long()]
        audio, tail = self.overlap_add(spectrum, tail)
        count = torch.remainder(count + len(latent), NOISE_FRAMES)
        return audio, torch.cat([tail, count, *states], dim=1)

    def analyse(self, audio: Tensor) -> Tensor:
        """Return the spectra (frames, batch, 2 * bins) from which :meth:`overlap_add` makes ``audio`` again."""
        c = self.config
        window = torch.from_numpy(windows(c.synthesis, c.hop, c.synthesis)[0]).float()
        spectra = torch.fft.rfft(audio.unfold(1, c.synthesis, c.hop) * (window / window.square().sum().sqrt()))
        return torch.cat([spectra.real, spectra.imag], dim=2).transpose(0, 1)

    def overlap_add(self, spectrum: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Turn spectra (hops, batch, 2 * bins), real parts first, into audio and the new tail."""
        hop = self.config.hop
        segments = _exact(spectrum, self.transform).transpose(0, 1)
        tails = segments[..., hop:]
        tails, last = torch.cat([tail.unsqueeze(1), tails[:, :-1]], dim=1), tails[:, -1]
        output = torch.cat([segments[..., : self.delay] + tails, segments[..., self.delay : hop]], dim=2)
        return output.reshape(output.shape[0], -1), last


class Codec(nn.Module):
    """Encoder, bottleneck and decoder."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        c = self.config = config
        if c.encoder_blocks < 1 or c.decoder_blocks < 1 or c.kernel < 2:
            raise ParameterError("codec: need at least one encoder and one decoder block, and a kernel of 2 or more")
        self.encoder = Encoder(c)
        self.bottleneck: ResidualQuantizer | GaussianBottleneck
        if c.bottleneck == "codes":
            self.bottleneck = ResidualQuantizer(c.latent, c.stages, c.bits, c.code_decay, c.continuous_steps)
        elif c.bottleneck == "gaussian":
            self.bottleneck = GaussianBottleneck(c.latent, c.warmup_steps)
        else:
            raise ParameterError(f"codec.bottleneck is {c.bottleneck!r}; known: codes, gaussian")
        self.decoder = Decoder(c)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Send ``audio`` (batch, hops * hop) through.

        Returns it, later by the decoder's delay, and the bottleneck's cost: commitment or divergence.
        """
        batch = audio.shape[0]
        latent, _ = self.encoder(audio, initial_state(self.encoder, batch))
        with torch.autocast(audio.device.type, enabled=False):
            latent, cost = self.bottleneck(latent)
        return self.decoder(latent, initial_state(self.decoder, batch))[0], cost


def initial_state(part: Encoder | Decoder, batch: int) -> Tensor:
    """Return the fresh state of ``batch`` streams: zeros."""
    return part.enter.weight.new_zeros(batch, sum(part.state_sizes))
