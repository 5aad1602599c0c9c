"""Choosing block size and worker headroom: the lowest latency that is stable."""

from __future__ import annotations

import math

from rtae.errors import ParameterError

LOW_BLOCK_S = 0.002
SAFE_BLOCK_S = 0.005
"""Shortest block chosen on its own: 2 ms is what sound servers and a Python callback keep up with."""

SAFE_HEADROOM_S = 0.010
"""Worker headroom of ``latency="safe"``."""

Target = str | float
"""``"low"``, ``"safe"``, or the total latency to aim for in milliseconds."""


def check_target(latency: Target) -> None:
    """Refuse what is not a latency target.

    Raises
    ------
    ParameterError
        If it is neither "low", "safe" nor a positive number of milliseconds.
    """
    if isinstance(latency, str):
        good = latency in ("low", "safe")
    else:
        good = math.isfinite(latency) and latency > 0
    if not good:
        raise ParameterError(f"latency is {latency!r}; give 'low', 'safe' or milliseconds above 0")


def choose_block(hop: int, sample_rate: int, latency: Target) -> int:
    """Return the block size of lowest total latency for a hop of `hop` samples at the stream's rate.

    A block costs itself three times (input device, headroom, output device), and the re-blocking that it makes
    necessary, ``hop - gcd(block, hop)`` samples. Only divisors and multiples of the hop and powers of two, the sizes
    sound servers run at, are considered.
    """
    shortest = (LOW_BLOCK_S if latency != "safe" else SAFE_BLOCK_S) * sample_rate
    sizes = {size for size in range(1, hop + 1) if hop % size == 0} | {2**power for power in range(4, 13)}
    sizes |= {hop * times for times in range(1, 5)}
    return min(
        (size for size in sizes if size >= shortest),
        key=lambda size: (3 * size + hop - math.gcd(size, hop), size),
    )


def headroom_blocks(block: int, sample_rate: int, latency: Target, fixed_samples: int, burst: int) -> int:
    """Return the worker's headroom in blocks.

    Parameters
    ----------
    block, sample_rate : int
        Samples a block, hertz.
    latency : "low", "safe" or float
        Low is one burst; safe at least a block more and 10 ms; a number is the total in milliseconds, which is kept
        or stayed below.
    fixed_samples : int
        Latency of everything but the headroom.
    burst : int
        Blocks the sound system hands over at once; fewer would be late every time.

    Raises
    ------
    ParameterError
        If a total in milliseconds cannot be met with the least headroom.
    """
    if latency == "low":
        return burst
    if latency == "safe":
        return max(burst + 1, math.ceil(SAFE_HEADROOM_S * sample_rate / block))
    count = math.floor((float(latency) / 1e3 * sample_rate - fixed_samples) / block)
    if count < burst:
        least = math.ceil(1e4 * (fixed_samples + burst * block) / sample_rate) / 10
        raise ParameterError(
            f"a total latency of {float(latency):g} ms is out of reach here: the least with this model, device and "
            f"block is {least:g} ms; choose that, a smaller block, or 'low'"
        )
    return count
