"""Dense layers with weights of seven bits, for files that run on one core: a fourth of the memory to read a frame.

A single frame meets every weight once, so reading them is what takes its time. At seven bits, the products of two pairs
of weights and eight-bit inputs fit into 16 bits, where processors without instructions for such sums would otherwise
saturate (Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
CVPR 2018, for the layers). Inputs have as many bits as the mantissa of a float, in rows of eight that meet the weights
together: with fewer, an input on the border of two levels falls to either by a float's last bit, and every processor
would hear something else. Every input has a step of its own, which its weights take up (Xiao et al., "SmoothQuant",
ICML 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rtae.train.gru import Gru

LARGEST_WEIGHT = 63
LARGEST_LEVEL = 127
ZERO = 128
ROWS = 3
FINER = 2 * LARGEST_LEVEL
"""Levels of a row in one of the row before."""
HEADROOM = 2.0
"""Largest input that is not cut, in terms of the largest typical one."""
SMALLEST_STEP = 0.01
"""Smallest step of an input, of the largest of its layer."""


class IntegerLinear(nn.Module):
    """A dense layer whose inputs and weights are whole numbers.

    Parameters
    ----------
    weight : Tensor, (outputs, inputs)
    bias : Tensor, (outputs,), or None
    step : Tensor, (inputs,)
        Distance of two levels of the first row; there are 127 to either side of zero, and inputs beyond are cut.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, step: Tensor) -> None:
        super().__init__()
        weight = weight.detach() * step
        scale = weight.abs().amax(dim=1).clamp_min(1e-12) / LARGEST_WEIGHT
        self.integers = nn.Parameter((weight.t() / scale).round().to(torch.int8), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
        # not persistent: an export rounds the matrices of a state to half precision
        scales = torch.stack([scale / FINER**row for row in range(ROWS)]).unsqueeze(1)
        self.scales = nn.Buffer(scales, persistent=False)
        self.stretch = nn.Buffer(1 / step)
        self.one = nn.Buffer(torch.ones(()))
        self.zero = nn.Buffer(torch.tensor(ZERO, dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., outputs) for ``x`` (..., inputs)."""
        rest = (x * self.stretch).reshape(1, -1, x.shape[-1])
        rows = [rest]
        for _ in range(ROWS - 1):
            rest = (rest - rest.round()) * FINER
            rows.append(rest)
        given = torch.cat(rows)  # rounded next
        sums = self._exported(given) if torch.compiler.is_exporting() else self._sums(given)
        y = (sums * self.scales).sum(dim=0)
        y = y if self.bias is None else y + self.bias
        return y.reshape(*x.shape[:-1], y.shape[-1])

    def _sums(self, rows: Tensor) -> Tensor:
        levels = rows.round().clamp(-ZERO, LARGEST_LEVEL)
        return levels @ self.integers.to(levels.dtype)  # exact in float32 while below 2 ** 24

    def _exported(self, rows: Tensor) -> Tensor:
        shape = [*rows.shape[:-1], self.integers.shape[1]]
        levels = torch.onnx.ops.symbolic(
            "QuantizeLinear", (rows, self.one, self.zero), dtype=torch.uint8, shape=rows.shape
        )
        return torch.onnx.ops.symbolic(
            "MatMulInteger", (levels, self.integers, self.zero), dtype=torch.int32, shape=shape
        ).float()


class IntegerGru(nn.Module):
    """A :class:`rtae.train.gru.Gru` with dense layers in whole numbers; its state and its gates are not rounded."""

    def __init__(self, gru: Gru, step: Tensor) -> None:
        super().__init__()
        weight_in, weight, bias_in, bias = gru.gru.all_weights[0]
        self.hidden = gru.hidden
        self.inputs = IntegerLinear(weight_in, bias_in, step)
        self.recurrent = IntegerLinear(weight, bias, torch.full((gru.hidden,), 1 / LARGEST_LEVEL))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs (time, rows, hidden) and the last state, as :class:`rtae.train.gru.Gru` does."""
        split = 2 * self.hidden
        h = state.reshape(x.shape[1], self.hidden)
        outputs = []
        for inputs in self.inputs(x):
            recurrent = self.recurrent(h)
            reset, update = torch.sigmoid(inputs[:, :split] + recurrent[:, :split]).chunk(2, dim=1)
            candidate = torch.tanh(inputs[:, split:] + reset * recurrent[:, split:])
            h = candidate + update * (h - candidate)
            outputs.append(h)
        return torch.stack(outputs), h.reshape(state.shape)


def round_layers(module: nn.Module, names: list[str], run: Callable[[], Any]) -> None:
    """Replace the dense layers and recurrences ``names`` of ``module`` by rounded ones.

    ``run`` sends typical signals through ``module``; the inputs' levels span what comes up there.
    """
    inputs: dict[str, tuple[Tensor, Tensor]] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def before(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            rows = given[0].flatten(0, -2)
            most, power = rows.abs().amax(dim=0), rows.square().sum(dim=0)
            so_far = inputs.get(name, (most, torch.zeros_like(power)))
            inputs[name] = torch.maximum(most, so_far[0]), power + so_far[1]

        return before

    watched = [module.get_submodule(name).register_forward_pre_hook(watch(name)) for name in names]
    with torch.no_grad():
        run()
    for hook in watched:
        hook.remove()
    for name in names:
        layer = module.get_submodule(name)
        rounded: nn.Module
        if isinstance(layer, Gru):
            rounded = IntegerGru(layer, _steps(layer.gru.all_weights[0][0], *inputs[name]))
        else:
            assert isinstance(layer, nn.Linear)
            rounded = IntegerLinear(layer.weight, layer.bias, _steps(layer.weight, *inputs[name]))
        module.set_submodule(name, rounded)


def _steps(weight: Tensor, most: Tensor, power: Tensor) -> Tensor:
    """Return a step for each input (inputs,), from its largest value and its power: one for all, or each its own.

    Own steps round inputs of unlike size alike, but one that is rarely large makes the weights of the others coarse; so
    whichever changes the outputs less.
    """

    def error(step: Tensor) -> float:
        layer = IntegerLinear(weight, None, step)
        change = layer.integers.t() * layer.scales[0].t() / step - weight.detach()
        return float((change.square() * power).sum())

    largest = (HEADROOM / LARGEST_LEVEL) * most.clamp_min(1e-6)
    own = largest.clamp_min(SMALLEST_STEP * float(largest.max()))
    return min(own, largest.max().expand_as(own), key=error)
