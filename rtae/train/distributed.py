"""Data parallelism over processes, GPUs and machines: what ``torchrun`` starts, seen as one trainer."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

# Its default arguments hold the group that there is at its import. Imported later, by an optimizer for one, it would
# keep the group and its threads alive after all have left, and a thread that ends while Python does aborts the process.
import torch.distributed.nn
from torch import Tensor, nn

PATIENCE = datetime.timedelta(hours=6)
"""Longest that a process waits for the others: one decodes the recordings, or validates, while they do."""


@dataclass(frozen=True)
class World:
    """One of the processes that train together: number ``rank`` out of ``size``, and its device."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints and logs."""
        return self.rank == 0


def join_world() -> World:
    """Join the processes that ``torchrun`` started, or be the only one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    return World(dist.get_rank() if size > 1 else 0, size, device)


def leave_world() -> None:
    """Leave what :func:`join_world` joined."""
    if dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def first_on_each_machine() -> Iterator[None]:
    """Let one process of every machine through first, so that the others find what it put on the disk."""
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    if dist.is_initialized() and not first:
        dist.barrier()
    try:
        yield
    finally:
        if dist.is_initialized() and first:
            dist.barrier()


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes, all in one message."""
    if not dist.is_initialized():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, part in zip(gradients, flat.split([item.numel() for item in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def own_part(whole: Tensor) -> Tensor:
    """Return this process's share of a tensor whose first axis is the whole batch."""
    if not dist.is_initialized():
        return whole
    return whole.chunk(dist.get_world_size())[dist.get_rank()]


def summed(value: Tensor) -> Tensor:
    """Return the sum over the processes; ``value`` is overwritten."""
    if dist.is_initialized():
        dist.all_reduce(value)
    return value


_Value = TypeVar("_Value")


def agree(value: _Value) -> _Value:
    """Return the leading process's answer in every process."""
    if not dist.is_initialized():
        return value
    answer = [value]
    dist.broadcast_object_list(answer)
    return answer[0]


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is summed likewise."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes together, so that two see what one with both would.

    (torch's own synchronised version needs a GPU.)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (batch, channels, height, width)."""
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        count = x.numel() / x.shape[1] * dist.get_world_size()
        sums = torch.stack([x.float().sum((0, 2, 3)), x.float().square().sum((0, 2, 3))])
        mean, square = _Sum.apply(sums) / count
        variance = square - mean.square()
        with torch.no_grad():
            momentum = self.momentum or 0.0
            assert self.running_mean is not None and self.running_var is not None
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        offset = self.bias - mean * scale
        return x * scale[:, None, None].to(x.dtype) + offset[:, None, None].to(x.dtype)
