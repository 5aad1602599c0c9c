"""From a head's checkpoint to a streaming classifier file that has proved itself before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from rtae.errors import RtaeError
from rtae.model import Model
from rtae.spec import ModelSpec
from rtae.train.export import revision, step_to_onnx, write_verified
from rtae.train.head_session import load_head
from rtae.train.heads import HOP, SAMPLE_RATE, Head, LogMel
from rtae.train.nets import parameter_count

TOLERANCE = 1e-4
"""Largest difference between the logits of torch and of onnxruntime."""


class Classifier(nn.Module):
    """Log-mel features and a head over them: audio in, evidence out; the state is one packed vector."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.features, self.head = LogMel(), head

    @property
    def state_size(self) -> int:
        """Length of the packed state."""
        return self.features.state_size + sum(self.head.state_sizes)

    def forward(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (hops, batch, classes) of ``audio`` (batch, hops * HOP), and the new state."""
        past, state = state.split([self.features.state_size, sum(self.head.state_sizes)], dim=1)
        features, past = self.features(audio, past)
        logits, state = self.head(features, state)
        return logits, torch.cat([past, state], dim=1)


class _Step(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        logits, state = self.classifier(audio, state)
        return logits.squeeze(0), state


class _FrameStep(nn.Module):
    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        logits, state = self.head(features.unsqueeze(0), state)
        return logits.squeeze(0), state


def export_head(
    head: Head, path: Path, name: str, classes: tuple[str, ...], training: Mapping[str, Any], metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """Export, verify, then write a head over log-mel features to ``path``; return what the verification found.

    Raises
    ------
    RtaeError
        If the graph fails its verification or the file cannot be written; nothing is written then.
    """
    classifier = Classifier(head).eval()
    rows = 2  # one would be taken for a constant
    arguments = (torch.zeros(rows, HOP), torch.zeros(rows, classifier.state_size))
    graph = step_to_onnx(_Step(classifier), arguments, ["audio", "state"], ["scores", "state_out"])
    spec = ModelSpec(
        kind="classifier",
        name=name,
        sample_rate=SAMPLE_RATE,
        hop=HOP,
        delay=0,
        state_size=classifier.state_size,
        bandwidth_hz=SAMPLE_RATE / 2,
        classes=classes,
        training={"parameters": parameter_count(head), **training},
        metrics=metrics,
        commit=revision(),
    )
    return write_verified(graph, spec, path, lambda part: verify_head(classifier, part))


def export_head_checkpoint(checkpoint: Path, path: Path, name: str, data: str = "") -> dict[str, Any]:
    """Export the head of a checkpoint, see :func:`export_head`; ``data`` says what it was trained on."""
    head, facts = load_head(checkpoint)
    training = {"head": facts["head"], "data": data}
    return export_head(head, path, name, tuple(facts["classes"]), training, {"accuracy": facts["accuracy"]})


def head_graph(head: Head, features: int) -> onnx.ModelProto:
    """Return the head alone as a graph: a frame of ``features`` numbers and the state in, scores and state out."""
    arguments = (torch.zeros(2, features), head.initial_state(2))
    return step_to_onnx(_FrameStep(head), arguments, ["features", "state"], ["scores", "state_out"])


def verify_head(classifier: Classifier, path: Path) -> dict[str, float]:
    """Hold the file at ``path`` against the network it came from; return the largest differences.

    Raises
    ------
    RtaeError
        Naming the first property that does not hold.
    """
    rng = np.random.default_rng(7)
    envelope = np.repeat(10 ** rng.uniform(-4, -0.5, (3, 50)), HOP, axis=1)
    audio = (envelope * rng.standard_normal((3, 50 * HOP))).astype(np.float32)
    found: dict[str, float] = {}

    def check(name: str, ours: np.ndarray, wanted: np.ndarray, tolerance: float = TOLERANCE) -> None:
        assert ours.shape == wanted.shape and ours.size > 0
        found[name] = float(np.abs(ours - wanted).max())
        if not found[name] <= tolerance:
            raise RtaeError(f"export failed its verification: {name} differs by {found[name]:.2e}")

    with torch.no_grad():
        whole = classifier(torch.from_numpy(audio), torch.zeros(3, classifier.state_size))[0].numpy()
    streamed = evidence(path, audio)
    check("streaming against offline", streamed, whole)
    check("batch rows", evidence(path, audio[1:2]), streamed[:, 1:2])
    check("reset", evidence(path, audio), streamed, 0.0)
    poisoned = audio[:1].copy()
    poisoned[0, :HOP] = np.nan
    poisoned[0, HOP] = np.inf
    silenced = np.where(np.isfinite(poisoned), poisoned, 0).astype(np.float32)
    check("NaN in the input", evidence(path, poisoned), evidence(path, silenced))
    return found


def evidence(path: Path, audio: np.ndarray) -> np.ndarray:
    """Return the scores (hops, streams, classes) of ``audio`` (streams, whole hops), from a fresh session."""
    model = Model(path, streams=len(audio))
    return np.stack([model.classify_step(audio[:, at : at + HOP]).copy() for at in range(0, audio.shape[1], HOP)])
