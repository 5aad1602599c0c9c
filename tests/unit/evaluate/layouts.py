"""Small ONNX files in the layouts of published denoisers, whose output is known by arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    constants: Mapping[str, np.ndarray] | None = None,
) -> Path:
    def infos(values: Mapping[str, Shape]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in values.items()]

    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "layout", infos(inputs), infos(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def spectral(path: Path, *, frame: Shape = (1, 257, 1, 2), cache: Shape = (2, 1, 257)) -> Path:
    """A frame divided by 1 + a cache that follows the magnitudes of real and imaginary parts."""
    nodes = [
        helper.make_node("Squeeze", ["mix", "time"], ["bins"]),  # (1, 257, 2)
        helper.make_node("Abs", ["bins"], ["magnitude"]),
        helper.make_node("Transpose", ["magnitude"], ["new"], perm=[2, 0, 1]),
        helper.make_node("Mul", ["cache", "keep"], ["kept"]),
        helper.make_node("Add", ["kept", "new"], ["cache_out"]),
        helper.make_node("Add", ["cache_out", "one"], ["divisor"]),
        helper.make_node("Transpose", ["divisor"], ["per_bin"], perm=[1, 2, 0]),
        helper.make_node("Unsqueeze", ["per_bin", "time"], ["per_frame"]),
        helper.make_node("Div", ["mix", "per_frame"], ["enh"]),
    ]
    constants = {"time": np.array([2]), "keep": np.float32(0.5), "one": np.float32(1.0)}
    return write(path, nodes, {"mix": frame, "cache": cache}, {"enh": frame, "cache_out": cache}, constants)


def spectral_identity(path: Path, *, frame: Shape = (1, 257, 1, 2), cache: Shape = (1, 3)) -> Path:
    nodes = [helper.make_node("Identity", ["mix"], ["enh"]), helper.make_node("Identity", ["cache"], ["cache_out"])]
    return write(path, nodes, {"mix": frame, "cache": cache}, {"enh": frame, "cache_out": cache})


def dtln(folder: Path, *, width: int = 257) -> tuple[Path, Path]:
    """A mask that falls with every frame, 1 / (1 + frames so far), and blocks divided by their overlap of 4."""
    state = (1, 2, 128, 2)
    first = [
        helper.make_node("ReduceMax", ["state"], ["count"], keepdims=0),
        helper.make_node("Add", ["count", "one"], ["divisor"]),
        helper.make_node("Div", ["ones", "divisor"], ["mask"]),
        helper.make_node("Add", ["state", "one"], ["state_out"]),
    ]
    constants = {"one": np.float32(1.0), "ones": np.ones((1, 1, width), np.float32)}
    second = [helper.make_node("Mul", ["block", "quarter"], ["out"]), helper.make_node("Identity", ["state"], ["s"])]
    magnitude, block = (1, 1, width), (1, 1, 512)
    return (
        write(
            folder / "model_1.onnx",
            first,
            {"magnitude": magnitude, "state": state},
            {"mask": magnitude, "state_out": state},
            constants,
        ),
        write(
            folder / "model_2.onnx",
            second,
            {"block": block, "state": state},
            {"out": block, "s": state},
            {"quarter": np.float32(0.25)},
        ),
    )


def silero_like(path: Path) -> Path:
    """The loudest sample as a score, a state that stays, the rate as a number."""
    state = [2, "B", 128]
    infos = helper.make_tensor_value_info
    nodes = [
        helper.make_node("ReduceMax", ["input", "last"], ["output"], keepdims=1),
        helper.make_node("Identity", ["state"], ["stateN"]),
        helper.make_node("Identity", ["sr"], ["unused"]),
    ]
    graph = helper.make_graph(
        nodes,
        "silero",
        [
            infos("input", TensorProto.FLOAT, ["B", "T"]),
            infos("state", TensorProto.FLOAT, state),
            infos("sr", TensorProto.INT64, []),
        ],
        [infos("output", TensorProto.FLOAT, ["B", 1]), infos("stateN", TensorProto.FLOAT, state)],
        [helper.make_tensor("last", TensorProto.INT64, [1], [1])],
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    )
    return path
