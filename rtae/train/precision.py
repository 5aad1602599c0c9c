"""Which number format convolutions and matrix products are computed in."""

from __future__ import annotations

import functools

import torch


@functools.cache
def product_dtype(device: str) -> torch.dtype:
    """Return bfloat16 where a ``device`` (``cpu``, ``cuda``) computes in it, else float32.

    A CPU without AVX-512 has no kernels for it in torch: what stands in for them takes ten times as long as float32.
    """
    if device != "cpu":
        return torch.bfloat16
    native = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return torch.bfloat16 if native is not None and native() else torch.float32


def half_precision(device: torch.device, wanted: bool) -> torch.autocast:
    """Return the context of a network that runs in bfloat16 if that is ``wanted`` and ``device`` computes in it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and product_dtype(device.type) != torch.float32)
