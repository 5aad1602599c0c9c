"""What can be evaluated: systems that take a hop and give a hop, and the clock that streams them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rtae.denoise import Denoiser
from rtae.errors import ModelFormatError
from rtae.evaluate.resampling import resample
from rtae.model import Model
from rtae.shipped import find

FloatArray = npt.NDArray[np.float32]

WARM_UP_HOPS = 20


class System(Protocol):
    """A streaming denoiser of one channel.

    Attributes
    ----------
    name : str
        Name in the tables.
    sample_rate : int
        Rate it works at, in hertz.
    hop : int
        Samples per call.
    delay : int
        Delay it declares between input and output signal, in samples at its rate; ``delay + hop`` is its algorithmic
        latency.
    """

    name: str
    sample_rate: int
    hop: int
    delay: int

    def reset(self) -> None:
        """Go back to the fresh state."""

    def step(self, audio: FloatArray) -> FloatArray:
        """Take the next hop, float32 of shape (hop,), and give one of that shape; it is read before the next call."""


class ModelSystem:
    """A model file of rtae in a :class:`rtae.Denoiser` at the model's own rate, one hop a block.

    Parameters
    ----------
    name_or_path : str or path-like
        Shipped model or model file.
    name : str, optional
        Name in the tables; that of the file by default.

    Attributes
    ----------
    trained_on : tuple of str
        Measures that were terms of its loss, as the model file says.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If there is no such model or it cannot be used.
    ParameterError
        If it is no denoiser.
    """

    def __init__(self, name_or_path: str | os.PathLike[str], name: str | None = None) -> None:
        path = find(name_or_path)
        spec = Model(path).spec
        self._denoiser = Denoiser(path, sample_rate=spec.sample_rate, block_size=spec.hop)
        self._out = np.empty(spec.hop, np.float32)
        self.name = path.stem if name is None else name
        measures = spec.training.get("trained_on_measures")
        self.trained_on = tuple(map(str, measures)) if isinstance(measures, list) else ()
        self.sample_rate, self.hop, self.delay = spec.sample_rate, spec.hop, self._denoiser.delay

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._denoiser.reset()

    def step(self, audio: FloatArray) -> FloatArray:
        """Denoise the next hop."""
        return self._denoiser.process(audio, out=self._out)


@dataclass(frozen=True)
class Streamed:
    """One recording that went through a system.

    Attributes
    ----------
    given, output : ndarray of float32
        What went in, after the recording with zeros, and what came out, at the system's rate, not aligned.
    aligned : ndarray, shape (samples,)
        The output at the recording's rate, moved forward by the declared delay.
    hop_seconds : ndarray of float64, shape (hops,)
        Time each hop took.
    """

    given: FloatArray
    output: FloatArray
    aligned: npt.NDArray[np.floating]
    hop_seconds: npt.NDArray[np.float64]


def stream(system: System, audio: FloatArray, sample_rate: int) -> Streamed:
    """Send one recording through a system, hop by hop, from the fresh state.

    A recording of another rate is resampled before and after, without delay and outside the clock.

    Parameters
    ----------
    system : System
        Reset before it starts.
    audio : ndarray of float32, shape (samples,)
        The recording.
    sample_rate : int
        Its rate in hertz.

    Returns
    -------
    Streamed
        Output and times.

    Raises
    ------
    ModelFormatError
        If the output is not finite.
    """
    recording = resample(audio, sample_rate, system.sample_rate).astype(np.float32)
    hops = -(-(len(recording) + system.delay) // system.hop)
    given = np.zeros(hops * system.hop, np.float32)
    given[: len(recording)] = recording
    output = np.empty_like(given)
    seconds = np.empty(hops)
    system.reset()
    clock = time.perf_counter
    for index in range(hops):
        part = slice(index * system.hop, (index + 1) * system.hop)
        begin = clock()
        result = system.step(given[part])
        seconds[index] = clock() - begin
        output[part] = result
    if not np.isfinite(output).all():
        raise ModelFormatError(f"{system.name} makes NaN or Inf out of a finite recording; it cannot be scored")
    aligned = resample(output[system.delay :][: len(recording)], system.sample_rate, sample_rate)
    return Streamed(given, output, aligned[: len(audio)], seconds)


def warm_up(system: System) -> None:
    """Run a few hops of noise, so that the first recording's times are like the others'."""
    noise = np.random.default_rng(0).normal(0, 0.01, (WARM_UP_HOPS, system.hop)).astype(np.float32)
    for hop in noise:
        system.step(hop)
    system.reset()
