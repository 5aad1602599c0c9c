"""What the bench times: ends of a codec, bare networks of other people, and one way to step any model of rtae."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtae.bench.driver import Array, Driver, open_session
from rtae.bench.hops import noise
from rtae.bench.layout import recognise
from rtae.model import Model

_FRAMES = 64


def stepper(model: Model) -> Callable[[Array], Array]:
    """Return what advances a model of any kind by one frame (B, ...) and gives the first of its outputs."""
    steps: dict[str, Callable[[Array], Array]] = {
        "denoiser": lambda audio: model.step(audio)[0],
        "encoder": model.encode_step,
        "decoder": model.decode_step,
        "vae-encoder": model.latents_step,
        "vae-decoder": model.decode_latents_step,
        "classifier": model.classify_step,
    }
    return steps[model.spec.kind]


def feed(path: Path, rows: int, count: int) -> Array:
    """Return frames (count, rows, ...) made of noise, in the form that a streaming model takes."""
    session = open_session(path)
    layout = recognise(session)
    return Driver(session, layout, rows=rows).frames(noise(rows, count * layout.hop))


class CodecEnd:
    """The encoder or the decoder of a codec, by the run time's own means.

    Raises
    ------
    ModelFormatError
        If it is no model of rtae.
    """

    def __init__(self, path: Path) -> None:
        model = Model(path)
        self._step = stepper(model)
        # A decoder takes no audio: it gets codes of audio in turn.
        self._frames = itertools.cycle(feed(path, 1, _FRAMES)) if model.spec.kind.endswith("decoder") else None
        self.name = path.stem
        self.sample_rate, self.hop = model.spec.sample_rate, model.spec.hop

    def step(self, audio: NDArray[np.float32]) -> Any:
        """Take a hop, or the next of the codes in its stead."""
        return self._step(audio[np.newaxis] if self._frames is None else next(self._frames))


class Network:
    """The bare network of a foreign ONNX file: one frame, again and again, without its transforms."""

    def __init__(self, path: Path) -> None:
        session = open_session(path)
        layout = recognise(session)
        self._driver = Driver(session, layout)
        self._frame = self._driver.frames(noise(1, 4 * layout.span))[-1]
        self.name = f"{path.stem} (network only)"
        self.sample_rate, self.hop = layout.sample_rate, layout.hop

    def step(self, audio: NDArray[np.float32]) -> Any:
        """Run a frame; the audio is not looked at."""
        return self._driver.step(self._frame)
