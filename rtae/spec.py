"""What a model file says of itself: :class:`ModelSpec`, kept as JSON in the ONNX metadata.

The format is specified in ``models/README.md``. One spec is the only source of hop, rate, delay and state size.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rtae.errors import ModelFormatError

FORMAT_VERSION = 2
"""Newest model-file format this version reads and writes; a file gets the lowest that can hold it."""

METADATA_KEY = "rtae"
"""Key of the JSON spec in an ONNX file's ``metadata_props``."""

KINDS = ("denoiser", "encoder", "decoder", "vae-encoder", "vae-decoder", "classifier")
"""Kinds of streaming processor a model file can hold."""


@dataclass(frozen=True)
class ModelSpec:
    """Specification of one streaming model.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    name : str
        Name of the model, as in ``rtae.load(name)``.
    sample_rate : int
        Rate of the audio going in or out, in hertz.
    hop : int
        Samples the model advances by per step.
    delay : int
        Shift between input and output signal, in samples at ``sample_rate``. Of an encoder: the part of
        the codec's delay that arises in it.
    state_size : int
        Length of the packed state vector of one stream.
    bandwidth_hz : float
        Highest frequency the model was trained to handle.
    codebooks : int
        Stages of a codec's quantizer (0 without one).
    codebook_bits : int
        Bits of one code (0 without a quantizer).
    latent_size : int
        Numbers of one hop's latent vector, as it goes in or comes out (0 if it does neither).
    classes : tuple of str
        What a classifier tells apart, in the order of its scores (empty for other kinds).
    training, metrics : mapping
        Free-form facts for the model card: data and licences, recipe; figures as measured.
    commit : str
        Revision of the trainer that wrote the file.
    format_version : int
        Version of the file format; by default the lowest that can hold the rest: 2 with latents or classes, else 1.
    """

    kind: str
    name: str
    sample_rate: int
    hop: int
    delay: int
    state_size: int
    bandwidth_hz: float = 0.0
    codebooks: int = 0
    codebook_bits: int = 0
    latent_size: int = 0
    classes: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    commit: str = ""
    format_version: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelFormatError(f"model kind is {self.kind!r}; this version knows {', '.join(KINDS)}")
        bounds = {
            "sample_rate": (1_000, 768_000),
            "hop": (1, 1_000_000),
            "delay": (0, 10_000_000),
            "state_size": (0, 100_000_000),
            "codebooks": (0, 64),
            "codebook_bits": (0, 16),
            "latent_size": (0, 65_536),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ModelFormatError(f"model spec: {name} is {value!r}, expected an integer from {low} to {high}")
        if self.kind in ("encoder", "decoder") and not (self.codebooks and self.codebook_bits):
            raise ModelFormatError(f"model spec: kind {self.kind!r} must declare codebooks and codebook_bits")
        if self.kind.startswith("vae") and not self.latent_size:
            raise ModelFormatError(f"model spec: kind {self.kind!r} must declare latent_size")
        if not isinstance(self.classes, list | tuple) or not all(isinstance(one, str) for one in self.classes):
            raise ModelFormatError(f"model spec: classes is {self.classes!r}, expected a list of names")
        object.__setattr__(self, "classes", tuple(self.classes))
        if (self.kind == "classifier") != (len(self.classes) >= 2):
            raise ModelFormatError(
                f"model spec: kind {self.kind!r} declares {len(self.classes)} classes; a classifier has 2 or more"
            )
        lowest = 2 if self.latent_size or self.classes else 1
        if not self.format_version:
            object.__setattr__(self, "format_version", lowest)
        elif self.format_version < lowest:
            raise ModelFormatError(
                f"model spec: format {self.format_version} has no latents and no classes, yet latent_size is "
                f"{self.latent_size} and classes are {len(self.classes)}; export the model again"
            )

    @property
    def algorithmic_latency(self) -> int:
        """Longest time a sample waits by design, ``delay + hop``, in samples."""
        return self.delay + self.hop

    @property
    def algorithmic_latency_ms(self) -> float:
        """:attr:`algorithmic_latency` in milliseconds."""
        return 1e3 * self.algorithmic_latency / self.sample_rate

    @property
    def hop_ms(self) -> float:
        """Length of one hop in milliseconds."""
        return 1e3 * self.hop / self.sample_rate

    def to_json(self) -> str:
        """Return the spec as the JSON text stored in the model file."""
        return json.dumps({"algorithmic_latency": self.algorithmic_latency, **dataclasses.asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Parse the JSON text of a model file.

        Raises
        ------
        ModelFormatError
            If the text is no JSON object, of a newer format, lacks a field, or holds one out of range.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ModelFormatError(f"model spec is not valid JSON ({error}); export the model again") from None
        if not isinstance(data, dict):
            raise ModelFormatError("model spec is not a JSON object; export the model again")
        version = data.get("format_version")
        if not isinstance(version, int) or version < 1:
            raise ModelFormatError(f"model spec has format_version {version!r}; export the model again")
        if version > FORMAT_VERSION:
            raise ModelFormatError(
                f"model has format {version}, this rtae reads up to {FORMAT_VERSION}; "
                "upgrade with 'pip install -U rtae'"
            )
        declared = data.get("algorithmic_latency")
        names = {item.name for item in dataclasses.fields(cls)}
        try:
            spec = cls(**{key: value for key, value in data.items() if key in names})
        except TypeError as error:
            raise ModelFormatError(f"model spec is incomplete ({error}); export the model again") from None
        if declared is not None and declared != spec.algorithmic_latency:
            raise ModelFormatError(
                f"model spec contradicts itself: algorithmic_latency {declared}, delay + hop {spec.algorithmic_latency}"
            )
        return spec
