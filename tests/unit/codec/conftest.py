"""Codecs whose output is known by arithmetic, as pairs of model files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests import models
from tests.models import FLOAT, INT

MakePair = Callable[..., Path]


def delayed_decoder(path: Path, *, hop: int, sample_rate: int, samples: int) -> Path:
    """The decoder of ``tests.models``, its audio ``samples`` later."""
    nodes = [
        helper.make_node("Less", ["codes", "zero"], ["missing"]),
        helper.make_node("Cast", ["codes"], ["value"], to=FLOAT),
        helper.make_node("Sub", ["value", "offset"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["sample"]),
        helper.make_node("Where", ["missing", "silence", "sample"], ["fresh"]),
        helper.make_node("Concat", ["state", "fresh"], ["line"], axis=1),
        helper.make_node("Split", ["line", "parts"], ["audio_out", "state_out"], axis=1),
    ]
    constants = {
        "zero": np.int64(0),
        "offset": np.float32(32768.0),
        "scale": np.float32(32767.0),
        "silence": np.float32(0.0),
        "parts": np.array([hop, samples]),
    }
    model = models.spec(
        "decoder", name="pcm-decoder", hop=hop, sample_rate=sample_rate, delay=samples, state_size=samples,
        codebooks=hop, codebook_bits=16,
    )  # fmt: skip
    inputs = [("codes", INT, hop), ("state", FLOAT, samples)]
    outputs = [("audio_out", FLOAT, hop), ("state_out", FLOAT, samples)]
    return models.write(path, model.to_json(), nodes, inputs, outputs, constants)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> MakePair:
    """``pair(sample_rate=8_000, hop=40, delay=0)`` writes both models of a 16-bit PCM codec; returns its path."""
    folder = tmp_path_factory.mktemp("codecs")

    def make(sample_rate: int = 8_000, hop: int = 40, delay: int = 0) -> Path:
        path = folder / f"pcm-{sample_rate}-{hop}-{delay}"
        if not (decoder := path.with_name(f"{path.name}-decoder.onnx")).exists():
            models.encoder(path.with_name(f"{path.name}-encoder.onnx"), hop=hop, sample_rate=sample_rate)
            if delay:
                delayed_decoder(decoder, hop=hop, sample_rate=sample_rate, samples=delay)
            else:
                models.decoder(decoder, hop=hop, sample_rate=sample_rate)
        return path

    return make
