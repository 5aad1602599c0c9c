"""From a checkpoint to a model file that has proved itself before it is written."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from rtae.errors import RtaeError
from rtae.model import Model
from rtae.spec import METADATA_KEY, ModelSpec
from rtae.train.gru import Gru
from rtae.train.nets import Denoiser, parameter_count

OPSET = 20
UNLIMITED_DB = 200.0
TOLERANCE = 1e-5
"""Largest difference between torch and onnxruntime, relative to full scale."""


class _Step(nn.Module):
    """One hop of a denoiser, with the speech probability in place of its logit."""

    def __init__(self, net: Denoiser) -> None:
        super().__init__()
        self.net = net

    def forward(self, audio: Tensor, state: Tensor, attenuation_limit_db: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        audio, state, speech = self.net(audio, state, attenuation_limit_db)
        return audio, state, torch.sigmoid(speech)


def denoiser_to_onnx(net: Denoiser) -> onnx.ModelProto:
    """Return one streaming step of ``net`` as an ONNX graph after the contract in ``models/README.md``."""
    net = net.eval().float()
    rows = 2  # one would be taken for a constant
    arguments = (
        torch.zeros(rows, net.config.hop),
        net.initial_state(rows),
        torch.full((rows, 1), UNLIMITED_DB),
    )
    return step_to_onnx(
        _Step(net), arguments, ["audio", "state", "attenuation_limit_db"], ["audio_out", "state_out", "speech"]
    )


def step_to_onnx(
    module: nn.Module, arguments: tuple[Tensor, ...], inputs: list[str], outputs: list[str]
) -> onnx.ModelProto:
    """Return ``module`` as an ONNX graph whose inputs and outputs all have a dynamic first axis.

    ``arguments`` are examples of the inputs; they need two rows, as one would be taken for a constant.
    """
    for part in module.modules():
        if isinstance(part, Gru | Denoiser):
            part.freeze()
    batch = torch.export.Dim("batch", min=1, max=1 << 16)
    with torch.no_grad(), quiet():
        program = torch.onnx.export(
            module.eval(),
            arguments,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    for node in graph.graph.node:  # traces of the source tree are nobody's business
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    del graph.graph.value_info[:]
    return graph


def round_to_half(module: nn.Module) -> None:
    """Round the matrices of ``module``, weights and codebooks, to what half precision holds."""
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.ndim > 1 and value.is_floating_point():
                value.copy_(value.half())


def store_halved(graph: onnx.ModelProto) -> None:
    """Store float32 tensors of ``graph`` that half precision holds exactly in half the bytes.

    onnxruntime widens them once, when it loads the file: the computation stays in float32.
    """
    casts = []
    for tensor in graph.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        value = onnx.numpy_helper.to_array(tensor)
        half = value.astype(np.float16)
        if np.array_equal(half.astype(np.float32), value):
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' progress, advice and warnings from the user's terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def denoiser_spec(net: Denoiser, name: str, training: Mapping[str, Any], metrics: Mapping[str, Any]) -> ModelSpec:
    """Return the specification of ``net``."""
    c = net.config
    return ModelSpec(
        kind="denoiser",
        name=name,
        sample_rate=c.sample_rate,
        hop=c.hop,
        delay=net.delay,
        state_size=sum(net.state_sizes),
        bandwidth_hz=c.sample_rate / 2,
        training={"parameters": parameter_count(net), "net": dataclasses.asdict(c), **training},
        metrics=metrics,
        commit=revision(),
    )


def export_denoiser(
    net: Denoiser, path: Path, name: str, training: Mapping[str, Any], metrics: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Export, verify, then write ``net`` to ``path``; return what the verification found.

    Raises
    ------
    RtaeError
        If the graph fails its verification or the file cannot be written; nothing is written then.
    """
    graph = denoiser_to_onnx(net)
    spec = denoiser_spec(net, name, training, metrics or {})
    return write_verified(graph, spec, path, lambda part: verify_denoiser(net, part))


def write_verified(
    graph: onnx.ModelProto, spec: ModelSpec, path: Path, verify: Callable[[Path], Mapping[str, Any]]
) -> dict[str, Any]:
    """Write ``graph`` with its specification beside ``path``, let ``verify`` look at it, then give it its name.

    Returns what the verification found, with the number of nodes and bytes.

    Raises
    ------
    RtaeError
        If the verification raises it, or the file cannot be written; nothing is written then.
    """
    onnx.helper.set_model_props(graph, {METADATA_KEY: spec.to_json()})
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            part = Path(folder) / path.name
            part.write_bytes(graph.SerializeToString())
            found = verify(part)
            part.replace(path)
    except OSError as error:
        raise RtaeError(f"cannot write {path}: {error.strerror}") from None
    return {"nodes": len(graph.graph.node), "bytes": path.stat().st_size, **found}


def verify_denoiser(net: Denoiser, path: Path) -> dict[str, float]:
    """Hold the file at ``path`` against the network it came from.

    Returns the largest differences found.

    Raises
    ------
    RtaeError
        Naming the first property that does not hold.
    """
    spec = Model(path).spec
    hop, delay = net.config.hop, spec.delay  # the declared one, held against the signal below
    rng = np.random.default_rng(7)
    envelope = np.repeat(10 ** rng.uniform(-4, -0.5, (3, 60)), hop, axis=1)
    audio = (envelope * rng.standard_normal((3, 60 * hop))).astype(np.float32)

    def torch_output(signal: np.ndarray, limit_db: float) -> np.ndarray:
        with torch.no_grad():
            limit = torch.full((len(signal), 1), limit_db)
            return net(torch.from_numpy(signal), net.initial_state(len(signal)), limit)[0].numpy()

    found: dict[str, float] = {}

    def check(name: str, ours: np.ndarray, wanted: np.ndarray, tolerance: float = TOLERANCE) -> None:
        assert ours.size == wanted.size > 0
        found[name] = float(np.abs(ours - wanted).max())
        if not found[name] <= tolerance:
            raise RtaeError(
                f"export failed its verification: {name} differs by {found[name]:.2e}, allowed {tolerance:.0e}"
            )

    streamed = stream(path, audio, UNLIMITED_DB)
    check("streaming against offline", streamed, torch_output(audio, UNLIMITED_DB))
    check("limited to 12 dB", stream(path, audio, 12.0), torch_output(audio, 12.0))
    check("declared delay", stream(path, audio, 0.0)[:, delay:], audio[:, : audio.shape[1] - delay])
    check("batch rows", stream(path, audio[1:2], UNLIMITED_DB), streamed[1:2])
    check("reset", stream(path, audio, UNLIMITED_DB), streamed, 0.0)
    silence = np.zeros((1, 20 * hop), dtype=np.float32)
    check("silence", stream(path, silence, UNLIMITED_DB), silence)
    check("denormals", stream(path, silence + np.float32(1e-39), UNLIMITED_DB), silence)
    poisoned = audio[:1].copy()
    poisoned[0, : 2 * hop] = np.nan
    poisoned[0, 2 * hop] = np.inf
    if not np.isfinite(stream(path, poisoned, UNLIMITED_DB)).all():
        raise RtaeError("export failed its verification: NaN in the input stays in the state")
    return found


def stream(path: Path, audio: np.ndarray, attenuation_limit_db: float) -> np.ndarray:
    """Return ``audio`` (streams, whole hops) sent hop by hop through a fresh session of the model at ``path``."""
    model = Model(path, streams=len(audio))
    hop = model.spec.hop
    hops = [model.step(audio[:, at : at + hop], attenuation_limit_db)[0].copy() for at in range(0, audio.shape[1], hop)]
    return np.concatenate(hops, axis=1)


def revision() -> str:
    """Return the short revision of the source tree, empty outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
