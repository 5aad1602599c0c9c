"""Builders of small model files after the contract of ``models/README.md``, whose output is known by arithmetic.

Each writes one ONNX file and returns its path. ``identity`` and ``delay`` are exact; ``gain`` obeys the attenuation
limit; ``compressor`` carries a state that depends on the hop grid, so that a hop too many, too few or in the wrong
place shows; ``encoder`` and ``decoder`` are a 16-bit PCM codec of one stage a sample; ``latent_encoder``,
``vae_encoder`` and ``vae_decoder`` have the samples of a hop for latents; ``classifier`` tells loud from quiet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rtae.spec import METADATA_KEY, ModelSpec

OPSET = 20
FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64

Build = Callable[..., Path]
"""Type of the fixture ``build``."""

Value = tuple[str, int, int]
"""Name, element type and width of a graph input or output; rows are the dynamic axis B."""


def spec(kind: str = "denoiser", **changes: object) -> ModelSpec:
    """A valid spec, with some fields replaced."""
    fields: dict[str, object] = {
        "name": "built",
        "sample_rate": 48_000,
        "hop": 128,
        "delay": 0,
        "state_size": 1,
        "bandwidth_hz": 24_000.0,
    }
    return ModelSpec(kind, **{**fields, **changes})  # type: ignore[arg-type]


def write(
    path: Path,
    metadata: str | None,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    constants: Mapping[str, np.ndarray] | None = None,
    rows: str | int = "B",
) -> Path:
    """Write a graph with the given spec text (None for a foreign file)."""

    def infos(values: Sequence[Value]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, [rows, width]) for name, kind, width in values]

    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "built", infos(inputs), infos(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    if metadata is not None:
        helper.set_model_props(model, {METADATA_KEY: metadata})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def denoiser_values(model: ModelSpec) -> tuple[list[Value], list[Value]]:
    """Inputs and outputs of a denoiser's graph."""
    audio, state = model.hop, model.state_size
    return (
        [("audio", FLOAT, audio), ("state", FLOAT, state), ("attenuation_limit_db", FLOAT, 1)],
        [("audio_out", FLOAT, audio), ("state_out", FLOAT, state), ("speech", FLOAT, 1)],
    )


def _denoiser(
    path: Path, model: ModelSpec, nodes: Sequence[onnx.NodeProto], constants: Mapping[str, np.ndarray]
) -> Path:
    # Speech probability: the mean magnitude of the hop coming in, at most 1.
    speech = [
        helper.make_node("Abs", ["audio"], ["magnitude"]),
        helper.make_node("ReduceMean", ["magnitude", "last"], ["level"], keepdims=1),
        helper.make_node("Min", ["level", "one"], ["speech"]),
    ]
    shared = {"last": np.array([1]), "one": np.float32(1.0)}
    return write(path, model.to_json(), [*speech, *nodes], *denoiser_values(model), {**shared, **constants})


def identity(path: Path, *, hop: int = 128, sample_rate: int = 48_000) -> Path:
    """Audio out is audio in, at once."""
    nodes = [
        helper.make_node("Identity", ["audio"], ["audio_out"]),
        helper.make_node("Identity", ["state"], ["state_out"]),
    ]
    return _denoiser(path, spec(name="identity", hop=hop, sample_rate=sample_rate), nodes, {})


def gain(path: Path, *, factor: float = 0.1, hop: int = 128, sample_rate: int = 48_000) -> Path:
    """Audio times ``factor``, but never less than the attenuation limit allows."""
    nodes = [
        helper.make_node("Mul", ["attenuation_limit_db", "per_db"], ["exponent"]),
        helper.make_node("Pow", ["ten", "exponent"], ["floor"]),
        helper.make_node("Max", ["floor", "factor"], ["applied"]),
        helper.make_node("Mul", ["audio", "applied"], ["audio_out"]),
        helper.make_node("Identity", ["state"], ["state_out"]),
    ]
    constants = {"per_db": np.float32(-0.05), "ten": np.float32(10.0), "factor": np.float32(factor)}
    return _denoiser(path, spec(name="gain", hop=hop, sample_rate=sample_rate), nodes, constants)


def delay(path: Path, *, samples: int = 192, hop: int = 128, sample_rate: int = 48_000) -> Path:
    """Audio ``samples`` later; the state is what was held back."""
    nodes = [
        helper.make_node("Concat", ["state", "audio"], ["line"], axis=1),
        helper.make_node("Split", ["line", "parts"], ["audio_out", "state_out"], axis=1),
    ]
    model = spec(name="delay", hop=hop, sample_rate=sample_rate, delay=samples, state_size=samples)
    return _denoiser(path, model, nodes, {"parts": np.array([hop, samples])})


def compressor(path: Path, *, hop: int = 128, sample_rate: int = 48_000) -> Path:
    """Audio over 1 + a level that follows the hops: non-linear, recurrent, without delay."""
    nodes = [
        helper.make_node("Mul", ["state", "keep"], ["old"]),
        helper.make_node("Add", ["old", "level"], ["state_out"]),
        helper.make_node("Add", ["state_out", "one"], ["divisor"]),
        helper.make_node("Div", ["audio", "divisor"], ["audio_out"]),
    ]
    return _denoiser(path, spec(name="compressor", hop=hop, sample_rate=sample_rate), nodes, {"keep": np.float32(0.8)})


def encoder(path: Path, *, hop: int = 32, sample_rate: int = 48_000) -> Path:
    """Codes 0..65535: every sample of the hop, rounded to 16 bits; one codebook a sample (hop at most 64)."""
    nodes = [
        helper.make_node("Mul", ["audio", "scale"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "low", "high"], ["clipped"]),
        helper.make_node("Add", ["clipped", "offset"], ["shifted"]),
        helper.make_node("Cast", ["shifted"], ["codes"], to=INT),
        helper.make_node("Identity", ["state"], ["state_out"]),
    ]
    constants = {
        "scale": np.float32(32767.0),
        "low": np.float32(-32767.0),
        "high": np.float32(32767.0),
        "offset": np.float32(32768.0),
    }
    model = spec("encoder", name="pcm-encoder", hop=hop, sample_rate=sample_rate, codebooks=hop, codebook_bits=16)
    inputs = [("audio", FLOAT, hop), ("state", FLOAT, 1)]
    return write(path, model.to_json(), nodes, inputs, [("codes", INT, hop), ("state_out", FLOAT, 1)], constants)


def decoder(path: Path, *, hop: int = 32, sample_rate: int = 48_000) -> Path:
    """The inverse of :func:`encoder`; a code of -1 (stage not sent) is a sample of silence."""
    nodes = [
        helper.make_node("Less", ["codes", "zero"], ["missing"]),
        helper.make_node("Cast", ["codes"], ["value"], to=FLOAT),
        helper.make_node("Sub", ["value", "offset"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["sample"]),
        helper.make_node("Where", ["missing", "silence", "sample"], ["audio_out"]),
        helper.make_node("Identity", ["state"], ["state_out"]),
    ]
    constants = {
        "zero": np.int64(0),
        "offset": np.float32(32768.0),
        "scale": np.float32(32767.0),
        "silence": np.float32(0.0),
    }
    model = spec("decoder", name="pcm-decoder", hop=hop, sample_rate=sample_rate, codebooks=hop, codebook_bits=16)
    inputs = [("codes", INT, hop), ("state", FLOAT, 1)]
    return write(path, model.to_json(), nodes, inputs, [("audio_out", FLOAT, hop), ("state_out", FLOAT, 1)], constants)


def latent_encoder(path: Path, *, hop: int = 32, sample_rate: int = 48_000) -> Path:
    """Codes of one stage, 1 for a positive first sample and else 0, and latents: the hop added to the one before."""
    nodes = [
        helper.make_node("Add", ["audio", "state"], ["latents"]),
        helper.make_node("Identity", ["audio"], ["state_out"]),
        helper.make_node("Gather", ["audio", "first"], ["sample"], axis=1),
        helper.make_node("Greater", ["sample", "zero"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["codes"], to=INT),
    ]
    sizes = {"hop": hop, "sample_rate": sample_rate, "state_size": hop, "latent_size": hop}
    model = spec("encoder", name="latent-encoder", codebooks=1, codebook_bits=1, **sizes)
    inputs = [("audio", FLOAT, hop), ("state", FLOAT, hop)]
    outputs = [("codes", INT, 1), ("latents", FLOAT, hop), ("state_out", FLOAT, hop)]
    return write(path, model.to_json(), nodes, inputs, outputs, {"first": np.array([0]), "zero": np.float32(0.0)})


def vae_encoder(path: Path, *, hop: int = 32, sample_rate: int = 48_000) -> Path:
    """Latents are the samples of the hop, their logarithmic variance the same negated."""
    nodes = [
        helper.make_node("Identity", ["audio"], ["latents"]),
        helper.make_node("Neg", ["audio"], ["log_variance"]),
        helper.make_node("Identity", ["state"], ["state_out"]),
    ]
    model = spec("vae-encoder", name="vae-encoder", hop=hop, sample_rate=sample_rate, latent_size=hop)
    inputs = [("audio", FLOAT, hop), ("state", FLOAT, 1)]
    outputs = [("latents", FLOAT, hop), ("log_variance", FLOAT, hop), ("state_out", FLOAT, 1)]
    return write(path, model.to_json(), nodes, inputs, outputs)


def vae_decoder(path: Path, *, hop: int = 32, sample_rate: int = 48_000) -> Path:
    """Audio is the latents, one hop later."""
    nodes = [
        helper.make_node("Identity", ["state"], ["audio_out"]),
        helper.make_node("Identity", ["latents"], ["state_out"]),
    ]
    sizes = {"hop": hop, "sample_rate": sample_rate, "delay": hop, "state_size": hop, "latent_size": hop}
    model = spec("vae-decoder", name="vae-decoder", **sizes)
    inputs = [("latents", FLOAT, hop), ("state", FLOAT, hop)]
    return write(path, model.to_json(), nodes, inputs, [("audio_out", FLOAT, hop), ("state_out", FLOAT, hop)])


def classifier(path: Path, *, hop: int = 320, sample_rate: int = 16_000) -> Path:
    """Evidence 1 for "quiet" and a hundred times the hop's power for "loud"."""
    nodes = [
        helper.make_node("Mul", ["audio", "audio"], ["square"]),
        helper.make_node("ReduceMean", ["square", "last"], ["power"], keepdims=1),
        helper.make_node("Mul", ["power", "hundred"], ["loud"]),
        helper.make_node("Sub", ["power", "power"], ["nothing"]),
        helper.make_node("Add", ["nothing", "one"], ["quiet"]),
        helper.make_node("Concat", ["quiet", "loud"], ["scores"], axis=1),
        helper.make_node("Identity", ["state"], ["state_out"]),
    ]
    model = spec("classifier", name="loudness", hop=hop, sample_rate=sample_rate, classes=("quiet", "loud"))
    inputs = [("audio", FLOAT, hop), ("state", FLOAT, 1)]
    outputs = [("scores", FLOAT, 2), ("state_out", FLOAT, 1)]
    constants = {"last": np.array([1]), "hundred": np.float32(100), "one": np.float32(1)}
    return write(path, model.to_json(), nodes, inputs, outputs, constants)
