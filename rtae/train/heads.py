"""Small classifiers that name what is heard: features in, evidence for each class out, frame by frame.

Three kinds share one contract, so that they can be exchanged and streamed: ``forward(x, state)`` advances over ``x`` of
shape (time, batch, features) and returns logits of shape (time, batch, classes) and the new state, of shape
(batch, state_size), which starts as zeros. The class of a stretch of sound is that of the mean of its frames' logits.
Nothing looks ahead.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtae.errors import ParameterError
from rtae.mel import mel_filters
from rtae.train.codec_nets import FrameBlock
from rtae.train.gru import Gru

SAMPLE_RATE, HOP, FRAME, BANDS = 16_000, 320, 512, 40
"""Of the log-mel features: hertz, samples, samples, mel bands. A frame ends with its hop."""

FLOOR = 1e-7
"""Power added to each mel band: what is below -70 dB of full-scale noise is silence."""

FAINTEST, LOUDEST = 1e-9, 1e3
"""Magnitudes of the samples that are looked at."""

CONFIGS = Path(__file__).parent / "configs" / "heads"


@dataclass(frozen=True)
class HeadConfig:
    """Size of a head and how it is trained.

    Attributes
    ----------
    kind : str
        ``convolution``, ``recurrent`` or ``attention``.
    width, blocks : int
        Width of the layers, and number of blocks.
    kernel : int
        Frames a block of convolutions sees.
    context : int
        Frames attention looks back at, the newest included.
    dropout : float
        Share of a block's output set to zero in training.
    steps, batch : int
        Length of the training, and examples a step.
    learning_rate, weight_decay : float
        Peak of the schedule (one cycle) and AdamW's decay.
    label_smoothing : float
        Share of the target spread over all classes.
    """

    kind: str = "convolution"
    width: int = 48
    blocks: int = 2
    kernel: int = 9
    context: int = 32
    dropout: float = 0.2
    steps: int = 300
    batch: int = 32
    learning_rate: float = 4e-3
    weight_decay: float = 5e-2
    label_smoothing: float = 0.1


def head_configs() -> dict[str, HeadConfig]:
    """Return the configurations in the package, by name."""
    return {path.stem: load_head_config(path) for path in sorted(CONFIGS.glob("*.toml"))}


def load_head_config(path: Path) -> HeadConfig:
    """Read a TOML file with the fields of :class:`HeadConfig`.

    Raises
    ------
    ParameterError
        If it cannot be read, or holds a key or value that is not one of them.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"cannot read config {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ParameterError(f"config {path} is not valid TOML: {error}") from None
    known = {item.name: type(item.default) for item in dataclasses.fields(HeadConfig)}
    for key, value in values.items():
        if key not in known:
            raise ParameterError(f"config {path}: unknown key {key!r}; known: {', '.join(known)}")
        if not isinstance(value, known[key]):
            raise ParameterError(f"config {path}: {key} is {value!r}, expected {known[key].__name__}")
    return HeadConfig(**values)


class LogMel(nn.Module):
    """Logarithmic mel bands of a stream at 16 kHz; the state is what the next frame still needs of the past."""

    features = BANDS
    state_size = FRAME - HOP

    def __init__(self) -> None:
        super().__init__()
        self.window = nn.Buffer(torch.hann_window(FRAME) / (0.375 * FRAME) ** 0.5, persistent=False)
        filters = mel_filters(BANDS, SAMPLE_RATE, FRAME)
        self.filters = nn.Buffer(torch.from_numpy(filters / filters.sum(axis=0)), persistent=False)

    def forward(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return (time, batch, bands) of ``audio`` (batch, hops * HOP), and the new state."""
        # What is no audio (NaN fails the comparison, too) is silence, and so is what is so faint that its squares are
        # denormal.
        magnitude = audio.abs()
        audio = torch.where((magnitude > FAINTEST) & (magnitude < LOUDEST), audio, torch.zeros_like(audio))
        history = torch.cat([state, audio], dim=1)
        frames = history.unfold(1, FRAME, HOP) if audio.shape[1] > HOP else history.unsqueeze(1)
        power = torch.view_as_real(torch.fft.rfft(frames * self.window)).square().sum(dim=3)
        bands = torch.log(power @ self.filters + FLOOR) * 0.25
        return bands.transpose(0, 1), history[:, -self.state_size :]


class AttentionBlock(nn.Module):
    """Self-attention over the newest frames, four heads with learned weights for distance; then two dense layers."""

    heads = 4

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.width, self.context = width, context
        self.norm, self.dense_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.distance = nn.Parameter(torch.zeros(self.heads, context))
        self.out = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    @property
    def state_size(self) -> int:
        """Length of the state: keys and values of the frames before, and whether there was one."""
        return (self.context - 1) * (2 * self.width + 1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance over ``x`` (time, batch, width); the state is (batch, state_size)."""
        time, batch, width = x.shape
        row = 2 * width + 1
        normed = self.norm(x).transpose(0, 1)
        fresh = torch.cat([self.key_value(normed), torch.ones_like(normed[..., :1])], dim=2)
        past = torch.cat([state.reshape(batch, self.context - 1, row), fresh], dim=1)
        depth = width // self.heads
        query = self.query(normed).reshape(batch, time, self.heads, depth).transpose(1, 2)
        key = past[..., :width].reshape(batch, -1, self.heads, depth).permute(0, 2, 3, 1)
        value = past[..., width : 2 * width].reshape(batch, -1, self.heads, depth).transpose(1, 2)
        # Frames that were not there weigh nothing: at the start the state is zeros, and so is their mark.
        absent = (1.0 - past[..., 2 * width]).unsqueeze(1).unsqueeze(1) * -1e4
        scores = query @ key * depth**-0.5 + absent
        if time == 1:
            scores = scores + self.distance.unsqueeze(1)
        else:
            frames = torch.arange(time + self.context - 1, device=x.device)
            place = frames - frames[:time].unsqueeze(1)
            near = (place >= 0) & (place < self.context)
            scores = scores + torch.where(near, self.distance[:, place.clamp(0, self.context - 1)], -1e4)
        mixed = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).reshape(batch, time, width)
        x = x + self.out(mixed).transpose(0, 1)
        x = x + self.narrow(F.silu(self.widen(self.dense_norm(x))))
        return x, past[:, -(self.context - 1) :].reshape(batch, -1)


class RecurrentBlock(nn.Module):
    """A gated recurrent unit, added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.state_size = width
        self.norm, self.gru = nn.LayerNorm(width), Gru(width, width)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance over ``x`` (time, batch, width); the state is (batch, width)."""
        y, state = self.gru(self.norm(x), state)
        return x + y, state


class Head(nn.Module):
    """A classifier of one of the three kinds.

    Parameters
    ----------
    config : HeadConfig
        Kind and size.
    features, classes : int
        Width of input and output.

    Raises
    ------
    ParameterError
        If there is no such kind, or its width cannot be.
    """

    def __init__(self, config: HeadConfig, features: int, classes: int) -> None:
        super().__init__()
        width = config.width
        kinds: dict[str, Any] = {
            "convolution": lambda: FrameBlock(width, config.kernel),
            "recurrent": lambda: RecurrentBlock(width),
            "attention": lambda: AttentionBlock(width, config.context),
        }
        if config.kind not in kinds:
            raise ParameterError(f"head kind is {config.kind!r}; known: {', '.join(kinds)}")
        if width % AttentionBlock.heads:
            raise ParameterError(f"width is {width}; it must be a multiple of {AttentionBlock.heads}")
        self.mean, self.scale = nn.Buffer(torch.zeros(features)), nn.Buffer(torch.ones(features))
        self.stem = nn.Linear(features, width)
        self.blocks = nn.ModuleList(kinds[config.kind]() for _ in range(config.blocks))
        self.dropout = config.dropout
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, classes)

    @property
    def state_sizes(self) -> list[int]:
        """Lengths of the parts of the packed state."""
        return [int(block.state_size) for block in self.blocks]  # type: ignore[arg-type]

    def normalise(self, features: np.ndarray) -> None:
        """Take mean and spread of the inputs from examples of shape (..., features)."""
        rows = torch.from_numpy(features.reshape(-1, features.shape[-1])).float()
        self.mean.copy_(rows.mean(dim=0))
        self.scale.copy_(1.0 / rows.std(dim=0).clamp_min(1e-3))

    def initial_state(self, batch: int) -> Tensor:
        """Return the fresh state of ``batch`` streams: zeros."""
        return self.mean.new_zeros(batch, sum(self.state_sizes))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance over ``x`` (time, batch, features)."""
        parts = state.split(self.state_sizes, dim=1)
        x = F.silu(self.stem((x - self.mean) * self.scale))
        states = []
        for block, part in zip(self.blocks, parts, strict=True):
            x, part = block(x, part)
            x = F.dropout(x, self.dropout, self.training)
            states.append(part)
        return self.out(self.norm(x)), torch.cat(states, dim=1)
