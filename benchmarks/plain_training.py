"""Training as one would write it first: torch's recurrence, automatic differentiation of the loss as in the papers.

What the trainer does quicker is held against it, by the tests and by ``train_speed.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from rtae.train import losses
from rtae.train.config import LossConfig
from rtae.train.gru import Gru


def plain_spectral_loss(estimate: Tensor, clean: Tensor, window: Tensor, weight: Tensor, config: LossConfig) -> Tensor:
    """Compute :func:`rtae.train.losses.spectral_loss` term by term."""
    size = window.numel()
    x, s = (torch.fft.rfft(signal.unfold(1, size, size // 2) * window) for signal in (estimate, clean))
    magnitude = [(spectrum.abs().square() + losses.FLOOR) ** (config.compression / 2) for spectrum in (x, s)]
    phase = [spectrum / (spectrum.abs().square() + losses.FLOOR).sqrt() for spectrum in (x, s)]
    compressed = [m * p for m, p in zip(magnitude, phase, strict=True)]
    missing = magnitude[1] - magnitude[0]
    value = (
        config.complex_weight * (compressed[1] - compressed[0]).abs().square()
        + config.magnitude_weight * missing.square()
        + config.removed_speech_weight * missing.relu().square()
    )
    return (value * weight).mean()


def _plain_recurrence(self: Gru, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    y, last = self.gru(x, state.reshape(1, x.shape[1], self.hidden))
    return y, last.reshape(state.shape)


@contextmanager
def plain_training() -> Iterator[None]:
    """Train plainly inside of this context; bf16 is the configuration's, the allocator the process's matter."""
    quick = Gru.forward, losses.spectral_loss
    Gru.forward, losses.spectral_loss = _plain_recurrence, plain_spectral_loss
    try:
        yield
    finally:
        Gru.forward, losses.spectral_loss = quick
