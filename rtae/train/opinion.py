"""DNSMOS P.835 as a differentiable term of a loss: the predicted overall opinion (OVRL).

The network and its published calibration are those of :func:`rtae.evaluate.dnsmos.score`, read from the same file.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rtae import dnsmos
from rtae.train.precision import product_dtype

LEVEL = 10 ** (-25 / 20)
"""Root mean square at which a mixture is judged: opinions depend on the level, which is not what is to be learnt."""
BEST = 5.0
HOP = 160
POOLED = (3, 4, 5)
"""Convolutions after which the network halves time and frequency."""
FAINT = 3e-4
"""Power below which a logarithm's slope no longer grows.

A spectrum's gaps would outweigh all the rest of it: a step of a hundredth along the exact gradient of a recording gains
less, or nothing, and gradients were 20 times as large.
"""
EMPTY_CHANNEL = (0, 0, 0, 0, 0, 1)
"""Pads a second input channel: with one, torch does not see that channels come last, and takes 3.4 times as long."""


@functools.cache
def _weights(device: torch.device) -> dict[str, Tensor]:
    """Return the network's weights by short names, those of its convolutions as these are computed."""
    import onnx

    graph = onnx.load(dnsmos.model_path()).graph
    arrays = {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    weights: dict[str, Tensor] = {}
    dtype = product_dtype(device.type)
    for part in ("real", "imag"):
        weights[part] = arrays[f"time2freq/stft-{part}/kernel:0"][:, :, 0].t().contiguous()
    for index in range(7):
        name = "conv2d" if index == 0 else f"conv2d_{index}"
        kernel = arrays[f"{name}/kernel:0"].to(dtype)
        if index == 0:
            kernel = F.pad(kernel, EMPTY_CHANNEL)
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        weights[f"kernel_{index}"], weights[f"offset_{index}"] = kernel, arrays[f"{name}/bias:0"].to(dtype)
    for index, name in enumerate(("dense", "dense_1", "dense_3")):
        for short, long in (("matrix", "MatMul"), ("bias", "BiasAdd")):
            weights[f"{short}_{index}"] = arrays[f"mos_estimator_logpow/{name}/{long}/ReadVariableOp/resource:0"]
    return {name: weight.to(device) for name, weight in weights.items()}


def _overall(audio: Tensor) -> Tensor:
    """Return the calibrated OVRL of ``audio`` (samples,) at 16 kHz, a scalar."""
    w = _weights(audio.device)
    frames = audio.unfold(0, 2 * HOP, HOP)
    power = (frames @ w["real"]).square() + (frames @ w["imag"]).square()
    soft = (power + FAINT).log10()
    exact = soft + (power.clamp_min(1e-12).log10() - soft).detach()
    x = F.pad(exact.to(w["kernel_0"].dtype)[None, None], EMPTY_CHANNEL)
    x = x.contiguous(memory_format=torch.channels_last)
    for index in range(7):
        x = F.conv2d(x, w[f"kernel_{index}"], w[f"offset_{index}"], padding=1).relu_()
        if index in POOLED:
            x = F.max_pool2d(x, 2)
    x = x.amax((2, 3)).to(torch.float32)
    for index in range(3):
        x = x @ w[f"matrix_{index}"] + w[f"bias_{index}"]
        if index < 2:
            x = x.relu()
    square, slope, offset = dnsmos.CALIBRATION[2]
    raw = x[0, 2]
    return (square * raw + slope) * raw + offset


class _Opinions(torch.autograd.Function):
    """One recording after the other, forth and back, so that one recording's activations at a time are in memory."""

    @staticmethod
    def forward(ctx: Any, audio: Tensor) -> Tensor:
        scores, gradients = [], []
        for row in audio:
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                row = row.detach().requires_grad_(ctx.needs_input_grad[0])
                score = _overall(row)
            scores.append(score.detach())
            if ctx.needs_input_grad[0]:
                gradients.append(torch.autograd.grad(score, row)[0])
        if gradients:
            ctx.save_for_backward(torch.stack(gradients))
        return torch.stack(scores)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Tensor:
        (gradients,) = ctx.saved_tensors
        return gradients * outer[0].unsqueeze(1)


def overall_opinion(audio: Tensor) -> Tensor:
    """Return (recordings,): OVRL from 1 to 5.

    Differs from :func:`rtae.evaluate.dnsmos.score` in that a recording is judged as a whole, whatever its length, and
    that the convolutions are computed in bfloat16 where the processor has it.

    Parameters
    ----------
    audio : Tensor, (recordings, samples)
        At 16 kHz, at least .2 s.

    Raises
    ------
    MissingDependencyError
        If speechmos is not installed.
    """
    opinions: Tensor = _Opinions.apply(audio.to(torch.float32).clamp(-1.0, 1.0))
    return opinions
