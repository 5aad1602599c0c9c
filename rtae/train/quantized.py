"""Eight-bit models, and what they cost in quality and bring in time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from rtae.model import Model
from rtae.spec import METADATA_KEY
from rtae.train.export import quiet, stream

UNLIMITED_DB = 100.0


def export_int8(source: Path, path: Path) -> dict[str, float]:
    """Write ``source`` with its matrix products' weights in eight bits.

    Returns the signal-to-difference ratio between both models' outputs on noise-like test signals, and the ratios of
    time and size, eight bits over float. Recurrences and convolutions stay float: onnxruntime has no faster kernels for
    them.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = Path(folder) / path.name
        with quiet():
            quantize_dynamic(
                source,
                part,
                op_types_to_quantize=["MatMul"],
                nodes_to_exclude=_exact_products(source),
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
        model = onnx.load(part)
        onnx.helper.set_model_props(model, {METADATA_KEY: Model(source).spec.to_json()})
        part.write_bytes(model.SerializeToString())
        hop = Model(source).spec.hop
        rng = np.random.default_rng(3)
        gains = np.repeat(10 ** rng.uniform(-3, -0.7, (1, 200)), hop, axis=1)
        audio = (gains * rng.standard_normal((1, 200 * hop))).astype(np.float32)
        (exact, exact_s), (coarse, coarse_s) = (_timed(file, audio) for file in (source, part))
        found = {
            "int8 difference dB": float(10 * np.log10(np.square(exact).sum() / np.square(exact - coarse).sum())),
            "int8 time ratio": coarse_s / exact_s,
            "int8 size ratio": part.stat().st_size / source.stat().st_size,
        }
        part.replace(path)
    return found


def _exact_products(source: Path) -> list[str]:
    """Return the products of the transforms and with the band matrices: they span too many decades for eight bits."""
    graph = onnx.load(source).graph
    products = (node for node in graph.node if node.op_type == "MatMul")
    names = [node.name for node in products if any(name.startswith("net.frozen_") for name in node.input)]
    assert len(names) == 5
    return names


def _timed(path: Path, audio: np.ndarray) -> tuple[np.ndarray, float]:
    began = time.perf_counter()
    output = stream(path, audio, UNLIMITED_DB)
    return output, time.perf_counter() - began
