"""The two model files of a codec, found by one name and held against each other: :class:`CodecModels`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from rtae.errors import ModelFormatError, ParameterError
from rtae.model import Model
from rtae.shipped import find
from rtae.spec import ModelSpec

ENCODER, DECODER = "-encoder", "-decoder"
"""What follows a codec's name in the names of its two models."""


@dataclass(frozen=True)
class CodecModels:
    """Encoder and decoder of one codec, loaded.

    Attributes
    ----------
    name : str
        Name of the codec: that of the decoder without its ending.
    identity : str
        SHA-256 of the decoder's file in hexadecimal digits. Codes mean something to this decoder alone, while several
        encoders may write for it.
    encoder, decoder : Model
        The models, each with the state of ``channels`` streams.
    """

    name: str
    identity: str
    encoder: Model
    decoder: Model

    @property
    def spec(self) -> ModelSpec:
        """What the decoder's file says of itself; rate, hop, codebooks and bits are also the encoder's."""
        return self.decoder.spec

    @property
    def delay(self) -> int:
        """Samples between input and output signal of both together, at the codec's rate."""
        return self.encoder.spec.delay + self.decoder.spec.delay

    @property
    def stage_kbps(self) -> float:
        """Kilobits a second that one stage adds to a channel."""
        return self.spec.codebook_bits * self.spec.sample_rate / self.spec.hop / 1e3


def load_models(name_or_path: str | os.PathLike[str], streams: int) -> CodecModels:
    """Load both models of a codec.

    Parameters
    ----------
    name_or_path : str or path-like
        Name of a shipped codec such as ``codec``; or path of one of the files, or of both without ``-encoder.onnx``.
        Another encoder for the same decoder has a name such as ``codec-encoder-denoise``.
    streams : int
        Independent streams, one a channel.

    Raises
    ------
    ModelNotFoundError
        If one of the files is missing.
    ModelFormatError
        If one of them cannot be used, is of the wrong kind, or they do not belong together.
    """
    encoder_path, decoder_path = find_models(name_or_path)
    encoder, decoder = Model(encoder_path, streams=streams), Model(decoder_path, streams=streams)
    for model, kind, path in ((encoder, "encoder", encoder_path), (decoder, "decoder", decoder_path)):
        if model.spec.kind != kind:
            raise ModelFormatError(f"{path} is of kind {model.spec.kind!r}, not an {kind}; name a codec")
    for field in ("sample_rate", "hop", "codebooks", "codebook_bits"):
        values = getattr(encoder.spec, field), getattr(decoder.spec, field)
        if values[0] != values[1]:
            raise ModelFormatError(
                f"{encoder_path} and {decoder_path} are not of one codec: {field} is {values[0]} and {values[1]}"
            )
    identity = hashlib.sha256(decoder_path.read_bytes()).hexdigest()
    return CodecModels(decoder.spec.name.removesuffix(DECODER), identity, encoder, decoder)


def find_models(name_or_path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Return the files of encoder and decoder.

    Raises
    ------
    ModelNotFoundError
        If one is missing; the message lists what there is.
    """
    text = os.fspath(name_or_path)
    folder, name = os.path.split(text.removesuffix(".onnx").removesuffix(DECODER))
    codec, marker, _ = name.rpartition(ENCODER)
    # A path keeps its ending, by which it is told from a name.
    ending = ".onnx" if text.endswith(".onnx") or folder else ""
    names = (name, codec + DECODER) if marker else (name + ENCODER, name + DECODER)
    encoder, decoder = (find(os.path.join(folder, f"{part}{ending}")) for part in names)
    return encoder, decoder


def stages_of(kbps: float, models: CodecModels) -> int:
    """Return the most stages that do not exceed a bit rate a channel.

    Raises
    ------
    ParameterError
        If the rate is not one the codec has.
    """
    step, most = models.stage_kbps, models.spec.codebooks
    try:
        wanted = float(kbps) / step
    except (TypeError, ValueError):
        wanted = 0.0
    # Rates are written with a few decimals.
    if not 1 - 1e-6 <= wanted <= most + 1e-6:
        raise ParameterError(
            f"kbps is {kbps!r}; {models.name!r} has {step:g} to {most * step:g} in steps of {step:g}, a channel"
        )
    return int(wanted + 1e-6)
