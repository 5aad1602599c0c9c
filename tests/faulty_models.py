"""Model files with one fault each, after the contract of ``models/README.md``, for what is to find them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from rtae.spec import METADATA_KEY, ModelSpec
from tests.models import FLOAT, _denoiser, spec, write


def redeclared(source: Path, path: Path, **changes: object) -> Path:
    """Copy a model file whose spec then says something else."""
    model = onnx.load(source)
    text = next(item.value for item in model.metadata_props if item.key == METADATA_KEY)
    changed = dataclasses.replace(ModelSpec.from_json(text), **changes)  # type: ignore[arg-type]
    helper.set_model_props(model, {METADATA_KEY: changed.to_json()})
    path.write_bytes(model.SerializeToString())
    return path


def _node(kind: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


_KEEP_STATE = _node("Identity", "state", "state_out")


def unreset(path: Path, *, hop: int = 128) -> Path:
    """Noise from a generator that begins anew with every session and goes on when the state is reset."""
    nodes = [
        _node("RandomUniformLike", "audio", "noise", low=-0.01, high=0.01, seed=3.0),
        _node("Add", "audio noise", "audio_out"),
        _KEEP_STATE,
    ]
    return _denoiser(path, spec(name="unreset", hop=hop), nodes, {})


def random(path: Path, *, hop: int = 128) -> Path:
    """Noise that is another in every session."""
    nodes = [
        _node("RandomUniformLike", "audio", "noise", low=-0.01, high=0.01),
        _node("Add", "audio noise", "audio_out"),
        _KEEP_STATE,
    ]
    return _denoiser(path, spec(name="random", hop=hop), nodes, {})


def leaky(path: Path, *, hop: int = 128) -> Path:
    """A level that is the mean over all rows of the batch divides the audio."""
    nodes = [
        _node("ReduceMean", "level first", "common", keepdims=1),
        _node("Mul", "state keep", "old"),
        _node("Add", "old common", "state_out"),
        _node("Add", "state_out one", "divisor"),
        _node("Div", "audio divisor", "audio_out"),
    ]
    constants = {"first": np.array([0]), "keep": np.float32(0.8)}
    return _denoiser(path, spec(name="leaky", hop=hop), nodes, constants)


def sticky(path: Path, *, hop: int = 128) -> Path:
    """A recurrent level that stays NaN once it is."""
    nodes = [
        _node("Mul", "state keep", "old"),
        _node("Add", "old level", "state_out"),
        _node("Mul", "state_out little", "bias"),
        _node("Add", "audio bias", "audio_out"),
    ]
    constants = {"keep": np.float32(0.5), "little": np.float32(1e-3)}
    return _denoiser(path, spec(name="sticky", hop=hop), nodes, constants)


def denormal(path: Path, *, hop: int = 128, width: int = 512) -> Path:
    """A decaying memory, multiplied by a matrix: once it is denormal, every product is."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0].astype(np.float32)
    nodes = [
        _node("MatMul", "audio spread", "driven"),
        _node("Mul", "state keep", "old"),
        _node("Add", "old driven", "state_out"),
        _node("MatMul", "state_out rotation", "turned"),
        _node("MatMul", "turned rotation", "again"),
        _node("Mul", "again small", "scaled"),
        _node("MatMul", "scaled gather", "bias"),
        _node("Add", "audio bias", "audio_out"),
    ]
    constants = {
        "spread": np.full((hop, width), 1e-3, np.float32),
        "gather": np.full((width, hop), 1e-4, np.float32),
        "keep": np.float32(0.8),
        "small": np.float32(1e-3),
        "rotation": rotation,
    }
    return _denoiser(path, spec(name="denormal", hop=hop, state_size=width), nodes, constants)


def blockwise(path: Path) -> Path:
    """A wave of any length [B, T] from which the mean of each block is taken: it depends on where the blocks end."""
    nodes = [
        _node("ReduceMean", "input last", "mean", keepdims=1),
        _node("Sub", "input mean", "output"),
    ]
    constants = {"last": np.array([1])}
    return _any_length(path, nodes, constants)


def seamless(path: Path) -> Path:
    """A wave of any length [B, T] at half its level."""
    return _any_length(path, [_node("Mul", "input half", "output")], {"half": np.float32(0.5)})


def _any_length(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> Path:
    return write(path, None, nodes, [("input", FLOAT, "T")], [("output", FLOAT, "T")], constants)  # type: ignore[list-item]
