"""How a streaming ONNX file is driven: :class:`Layout`, recognised from its signature or described in a TOML file."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtae.errors import ModelFormatError, ParameterError
from rtae.spec import METADATA_KEY, ModelSpec

FRAMES = ("wave", "spectrum", "magnitude", "block", "score", "codes")
"""What a frame is: samples; a complex spectrum as (..., bins, 1, 2); a magnitude that gets a mask; a block of samples
to be overlap-added; samples whose output is no signal; codes of a codec."""


@dataclass(frozen=True)
class Layout:
    """Names, rates and sizes of one streaming model.

    Attributes
    ----------
    name : str
        What was recognised.
    input, output : str
        Tensors of the frame going in and out.
    states : sequence of (str, str)
        Input and output of every state, zero at the start.
    constants : mapping of str to number
        Further inputs and their fixed values.
    sample_rate, hop : int
        Hertz; samples a step.
    delay : int or None
        Declared samples between input and output signal, the frame's own overlap included; None if undeclared.
    frame : str
        One of :data:`FRAMES`.
    window : int
        Samples a frame looks at; the hop if they do not overlap.
    codes : int
        Values that a code can have, from 0, where codes go in.
    """

    name: str
    input: str
    output: str
    states: Sequence[tuple[str, str]]
    sample_rate: int
    hop: int
    delay: int | None = None
    frame: str = "wave"
    window: int = 0
    constants: Mapping[str, float] = field(default_factory=dict)
    codes: int = 1024

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise ParameterError(f"layout: frame is {self.frame!r}; choose from {', '.join(FRAMES)}")
        if min(self.sample_rate, self.hop, self.codes) < 1 or (self.window and self.window < self.hop):
            raise ParameterError(
                f"layout: sample_rate {self.sample_rate}, hop {self.hop}, window {self.window}, codes {self.codes}; "
                "all must be positive and the window at least the hop"
            )
        if self.frame in ("spectrum", "magnitude", "block") and self.span % self.hop:
            raise ParameterError(f"layout: window {self.window} is no multiple of hop {self.hop}")

    @property
    def span(self) -> int:
        """Samples a frame looks at."""
        return self.window or self.hop

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are set as a JSON-ready mapping; :func:`make_layout` reads it."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


def read_layout(path: str | os.PathLike[str]) -> Layout:
    """Read a layout from a TOML file: the fields of :class:`Layout`; ``states`` as ``[["in", "out"], ...]``.

    Raises
    ------
    ParameterError
        If the file is missing, no TOML, or a field is missing, unknown or out of range.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"cannot read layout {path}: {error.strerror}") from None
    except ValueError as error:
        raise ParameterError(f"layout {path} is not valid TOML: {error}") from None
    return make_layout({"name": Path(path).stem, "states": [], **data})


def make_layout(data: Mapping[str, Any]) -> Layout:
    """Make a layout from plain values.

    Raises
    ------
    ParameterError
        As :func:`read_layout` says.
    """
    types: dict[str, Any] = {
        "name": str, "input": str, "output": str, "sample_rate": int, "hop": int, "delay": int, "frame": str,
        "window": int, "codes": int, "states": (list, tuple), "constants": dict,
    }  # fmt: skip
    for key, value in data.items():
        if key not in types:
            raise ParameterError(f"layout: unknown field {key!r}; known are {', '.join(types)}")
        if not isinstance(value, types[key]) or isinstance(value, bool):
            raise ParameterError(f"layout: {key} is {value!r}, which is of the wrong type")
    pairs = [pair for pair in data.get("states", []) if isinstance(pair, (list, tuple)) and len(pair) == 2]
    if len(pairs) != len(data.get("states", [])):
        raise ParameterError('layout: states must be pairs of names, [["state_in", "state_out"]]')
    missing = [key for key in ("input", "output", "sample_rate", "hop") if key not in data]
    if missing:
        raise ParameterError(f"layout: {', '.join(missing)} missing")
    return Layout(**{**data, "states": tuple((str(first), str(second)) for first, second in pairs)})


def recognise(session: Any) -> Layout:
    """Find the layout of an open onnxruntime session.

    Raises
    ------
    ModelFormatError
        If the signature is none that is known; the message says how to describe it.
    """
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is not None:
        return _own(ModelSpec.from_json(text))
    inputs = [(item.name, list(item.shape)) for item in session.get_inputs()]
    outputs = [(item.name, list(item.shape)) for item in session.get_outputs()]
    for known in (_spectral, _dtln, _silero, _stateless_wave):
        layout = known(inputs, outputs)
        if layout is not None:
            return layout
    raise ModelFormatError(
        f"unknown layout: inputs {dict(inputs)}, outputs {dict(outputs)}; describe it by --layout FILE.toml or by "
        "--input, --output, --state, --rate and --hop"
    )


_Signature = list[tuple[str, list[Any]]]


def _own(spec: ModelSpec) -> Layout:
    source, result, frame = {
        "denoiser": ("audio", "audio_out", "wave"),
        "encoder": ("audio", "codes", "score"),
        "decoder": ("codes", "audio_out", "codes"),
        "vae-encoder": ("audio", "latents", "score"),
        "vae-decoder": ("latents", "audio_out", "codes"),
        "classifier": ("audio", "scores", "score"),
    }[spec.kind]
    constants = {"attenuation_limit_db": 100.0} if spec.kind == "denoiser" else {}
    delay = spec.delay if spec.kind == "denoiser" else None
    states, codes = (("state", "state_out"),), 2**spec.codebook_bits
    return Layout(
        f"rtae {spec.kind}", source, result, states, spec.sample_rate, spec.hop, delay, frame, 0, constants, codes
    )


def _pairs(inputs: _Signature, outputs: _Signature) -> tuple[tuple[str, str], ...]:
    return tuple((given[0], made[0]) for given, made in zip(inputs[1:], outputs[1:], strict=True))


def _spectral(inputs: _Signature, outputs: _Signature) -> Layout | None:
    """GTCRN and UL-UNAS: a frame (1, 257, 1, 2) and caches, each at the same place in and out."""
    shapes = [[shape for _, shape in side] for side in (inputs, outputs)]
    if not inputs or shapes[0] != shapes[1] or shapes[0][0] != [1, 257, 1, 2]:
        return None
    states = _pairs(inputs, outputs)
    return Layout("gtcrn", inputs[0][0], outputs[0][0], states, 16_000, 256, 256, "spectrum", 512)


def _dtln(inputs: _Signature, outputs: _Signature) -> Layout | None:
    """DTLN: one of its two networks, on a magnitude (1, 1, 257) or a block (1, 1, 512), with one state."""
    if len(inputs) != 2 or len(outputs) != 2 or inputs[1][1] != outputs[1][1] or inputs[0][1] != outputs[0][1]:
        return None
    kinds = {257: "magnitude", 512: "block"}
    shape = inputs[0][1]
    if len(shape) != 3 or shape[:2] != [1, 1] or shape[2] not in kinds:
        return None
    frame = kinds[shape[2]]
    return Layout(f"dtln, {frame}", inputs[0][0], outputs[0][0], _pairs(inputs, outputs), 16_000, 128, 384, frame, 512)


def _silero(inputs: _Signature, outputs: _Signature) -> Layout | None:
    """Silero VAD 5: 64 + 512 samples, one state, the rate as a number; a probability comes out."""
    if {name for name, _ in inputs} != {"input", "state", "sr"} or [name for name, _ in outputs] != [
        "output",
        "stateN",
    ]:
        return None
    constants = {"sr": 16_000.0}
    return Layout("silero", "input", "output", (("state", "stateN"),), 16_000, 512, None, "score", 576, constants)


def _stateless_wave(inputs: _Signature, outputs: _Signature) -> Layout | None:
    """One wave of any length in, one out, no state: nothing but the rate is unknown, and that matters little."""
    if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0][1]) != 2 or isinstance(inputs[0][1][1], int):
        return None
    return Layout("wave of any length", inputs[0][0], outputs[0][0], (), 16_000, 160, 0)
