"""A gated recurrent unit whose training step is cheap on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def _each(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``weight`` (outputs, inputs) times every step of ``x`` (time, rows, inputs): (time, outputs, rows)."""
    time, rows, inputs = x.shape
    if rows < inputs:  # one product over all steps reads a large matrix once
        return (x.reshape(time * rows, inputs) @ weight.t()).view(time, rows, -1).transpose(1, 2)
    return torch.bmm(weight.expand(time, -1, -1), x.transpose(1, 2))


def _all(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the sum over time of the products of ``a`` (time, m, rows) and ``b`` (time, rows, n): (m, n)."""
    time, rows, n = b.shape
    if rows < n:  # rather than a matrix for each step, and then their sum
        return (a.transpose(0, 1).reshape(-1, time * rows) @ b.reshape(time * rows, n)).to(dtype)
    return torch.bmm(a, b).sum(0, dtype=dtype)


class _Recurrence(torch.autograd.Function):
    """A gated recurrent unit over whole sequences with its gradient written out.

    Arrays are ``(time, features, rows)``, so that a gate is one contiguous piece. The loops hold what depends on the
    previous step; the products over all steps at once are taken in ``dtype``.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        state: Tensor,
        weight_in: Tensor,
        weight: Tensor,
        bias_in: Tensor,
        bias: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        time, rows, _ = x.shape
        hidden = weight.shape[1]
        split = 2 * hidden
        x = x.to(dtype)
        inputs = _each(x, weight_in.to(dtype))
        offset = bias_in + torch.cat([bias[:split], torch.zeros_like(bias[split:])])
        candidate_bias = bias[split:].unsqueeze(1).expand(hidden, rows)
        activations = state.new_empty(time, 3 * hidden, rows)  # reset, update, candidate
        recurrent = state.new_empty(time, hidden, rows)
        states = state.new_empty(time + 1, hidden, rows)
        states[0] = state.t()
        for step in range(time):
            a, m, h = activations[step], recurrent[step], states[step]
            torch.add(inputs[step], offset.unsqueeze(1), out=a)
            gate, n = a[:split], a[split:]
            gate.addmm_(weight[:split], h).sigmoid_()
            torch.addmm(candidate_bias, weight[split:], h, out=m)
            n.addcmul_(gate[:hidden], m).tanh_()
            torch.lerp(n, h, gate[hidden:], out=states[step + 1])
        ctx.save_for_backward(x, activations, recurrent, states, weight_in, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, activations, recurrent, states, weight_in, weight = ctx.saved_tensors
        dtype = x.dtype
        time, hidden, _ = recurrent.shape
        split = 2 * hidden
        reset_update, candidate = weight[:split].t().contiguous(), weight[split:].t().contiguous()
        d_inputs = torch.empty_like(activations, dtype=dtype)
        d_candidate = torch.empty_like(recurrent, dtype=dtype)  # of the recurrent product inside the candidate
        carry = torch.zeros_like(states[0])
        one = carry.new_ones(())
        work, dm = torch.empty_like(carry), torch.empty_like(carry)
        d, slope = torch.empty_like(activations[0]), torch.empty_like(activations[0, :split])
        for step in range(time - 1, -1, -1):
            a, m, h = activations[step], recurrent[step], states[step]
            r, z, n = a[:hidden], a[hidden:split], a[split:]
            carry += gradient[step]
            torch.addcmul(one, n, n, value=-1, out=work)
            work.addcmul_(work, z, value=-1)
            torch.mul(carry, work, out=d[split:])  # through tanh
            torch.mul(d[split:], r, out=dm)
            torch.mul(d[split:], m, out=d[:hidden])
            torch.sub(h, n, out=work)
            torch.mul(carry, work, out=d[hidden:split])
            torch.addcmul(a[:split], a[:split], a[:split], value=-1, out=slope)
            d[:split] *= slope  # through the sigmoids
            carry *= z
            carry.addmm_(reset_update, d[:split]).addmm_(candidate, dm)
            d_inputs[step] = d
            d_candidate[step] = dm
        previous = states[:-1].to(dtype).transpose(1, 2)
        gates, of_candidate = (_all(d, previous, weight.dtype) for d in (d_inputs[:, :split], d_candidate))
        d_weight_in = _all(d_inputs, x, weight.dtype)
        d_bias_in = d_inputs.sum((0, 2), dtype=weight.dtype)
        d_bias = torch.cat([d_bias_in[:split], d_candidate.sum((0, 2), dtype=weight.dtype)])
        d_weight = torch.cat([gates, of_candidate])
        d_x = _each(d_inputs.transpose(1, 2), weight_in.t().to(dtype)).transpose(1, 2)
        return d_x.to(carry.dtype), carry.t(), d_weight_in, d_weight, d_bias_in, d_bias, None


class Gru(nn.Module):
    """Gated recurrent unit (Cho et al., EMNLP 2014, in the form of cuDNN and ONNX) over ``(time, rows, inputs)``.

    Computes what :class:`torch.nn.GRU` computes, with its parameters; in training on a CPU the loop over time holds
    what depends on the previous step alone.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gru = nn.GRU(inputs, hidden)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs (time, rows, hidden) and the last state.

        ``state`` holds rows * hidden numbers, in any shape; the last state has the same one.
        """
        shape, rows = state.shape, x.shape[1]
        if torch.compiler.is_exporting():
            y, last = self._exported(x, state.reshape(1, rows, self.hidden))
            return y, last.reshape(shape)
        state = state.reshape(rows, self.hidden)
        if x.is_cuda or not torch.is_grad_enabled():
            y, last = self.gru(x, state.unsqueeze(0))
            return y, last.reshape(shape)
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        with torch.autocast(device, enabled=False):
            states = _Recurrence.apply(x.to(state.dtype), state, *self.gru._flat_weights, dtype)
        return states.transpose(1, 2), states[-1].t().reshape(shape)

    def freeze(self) -> None:
        """Keep the weights in the order of the ONNX operator (update, reset, candidate) as well, for an export."""

        def reordered(parameter: Tensor) -> Tensor:
            reset, update, candidate = parameter.detach().split(self.hidden)
            return torch.cat([update, reset, candidate]).unsqueeze(0)

        weight_in, weight, bias_in, bias = (reordered(parameter) for parameter in self.gru.all_weights[0])
        self.onnx_weight_in = nn.Buffer(weight_in, persistent=False)
        self.onnx_weight = nn.Buffer(weight, persistent=False)
        self.onnx_bias = nn.Buffer(torch.cat([bias_in, bias], dim=1), persistent=False)

    def _exported(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Emit the ONNX operator GRU; :meth:`freeze` must have run."""
        time, rows, _ = x.shape
        y, last = torch.onnx.ops.symbolic_multi_out(
            "GRU",
            (x, self.onnx_weight_in, self.onnx_weight, self.onnx_bias, None, state),
            {"hidden_size": self.hidden, "linear_before_reset": 1},
            dtypes=(x.dtype, x.dtype),
            shapes=([time, 1, rows, self.hidden], [1, rows, self.hidden]),
        )
        return (y.squeeze(1) if time > 1 else last), last
