"""Channels: from the device's to the processor's and back, with dead microphone channels left out."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rtae.live.backend import Audio

DEAD_DB = 60.0
"""A channel this far below the loudest one carries no microphone."""

FAINT = 1e-9
"""Mean square (-90 dBFS) below which the loudest channel says nothing about the others."""

JUDGE_S = 0.5
"""Audio looked at before the channels are judged again, in seconds."""


class ChannelMix:
    """Maps the input device's channels to the processor's.

    As many as there are go straight through, one goes to all, several to one are averaged. Of several, those that are
    dead count neither in the average nor as a channel of their own: the mean of the living takes their place.

    Parameters
    ----------
    inputs, outputs : int
        Channels of the device and of the processor.
    blocks_per_s : float
        Blocks a second.
    """

    def __init__(self, inputs: int, outputs: int, blocks_per_s: float) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._every = max(1, math.ceil(JUDGE_S * blocks_per_s))
        self._power = np.zeros(inputs)
        self._seen = 0
        self._newest: Audio = np.zeros((0, inputs), np.float32)
        self._weights = self._weigh(np.ones(inputs, np.bool_))
        self._plain = inputs == outputs

    def apply(self, indata: Audio, out: Audio) -> None:
        """Map one block; for the audio callback."""
        if self._inputs == 1 or self._plain:
            out[:] = indata
        else:
            np.matmul(indata, self._weights, out=out)
        if self._inputs > 1:
            if len(self._newest) != len(indata):
                self._newest = np.zeros_like(indata)
            self._newest[:] = indata

    def judge(self) -> None:
        """Look at the newest block, and now and then decide who is dead; for the worker."""
        if self._inputs == 1:
            return
        block = self._newest
        self._power += np.einsum("nc,nc->c", block, block) / max(len(block), 1)
        self._seen += 1
        if self._seen < self._every:
            return
        power = self._power / self._seen
        loudest = power.max()
        if FAINT < loudest < math.inf:
            alive = power > loudest * 10.0 ** (-DEAD_DB / 10.0)
            self._weights = self._weigh(alive)
            self._plain = bool(self._inputs == self._outputs and alive.all())
        self._power[:] = 0.0
        self._seen = 0

    def _weigh(self, alive: npt.NDArray[np.bool_]) -> Audio:
        mean = (alive / alive.sum())[:, None]
        weights = np.repeat(mean, self._outputs, axis=1)
        if self._inputs == self._outputs:
            weights[:, alive] = np.eye(self._inputs)[:, alive]
        return weights.astype(np.float32)


def spread(source: Audio, target: Audio) -> None:
    """Copy the processor's channels to the output device's: as they are, one to all, or the mean to all."""
    if source.shape[1] in (1, target.shape[1]):
        target[:] = source
    else:
        np.mean(source, axis=1, keepdims=True, out=target[:, :1])
        target[:, 1:] = target[:, :1]
