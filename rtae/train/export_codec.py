"""From a codec's checkpoint to an encoder and a decoder file, proved before they are written."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from rtae.errors import ParameterError, RtaeError
from rtae.spec import METADATA_KEY, ModelSpec
from rtae.train.codec_nets import Codec, initial_state
from rtae.train.export import revision, round_to_half, step_to_onnx, store_halved
from rtae.train.nets import parameter_count
from rtae.train.quantize import GaussianBottleneck, ResidualQuantizer
from rtae.train.verify_codec import verify_codec

FURTHEST_LATENT = 100.0
"""Latents beyond it, and those that are no numbers, are taken for 0: the decoder's memory would keep them."""


class _Encode(nn.Module):
    def __init__(self, codec: Codec, quantizer: ResidualQuantizer) -> None:
        super().__init__()
        self.encoder, self.quantizer = codec.encoder, quantizer

    def forward(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        latent, state = self.encoder(audio, state)
        latent = latent.squeeze(0)
        return self.quantizer.codes(latent), latent, state


class _Decode(nn.Module):
    def __init__(self, codec: Codec, quantizer: ResidualQuantizer) -> None:
        super().__init__()
        self.decoder, self.quantizer = codec.decoder, quantizer

    def forward(self, codes: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        audio, state = self.decoder(self.quantizer.latent(codes).unsqueeze(0), state)
        return audio, state


class _EncodeDistribution(nn.Module):
    def __init__(self, codec: Codec, bottleneck: GaussianBottleneck) -> None:
        super().__init__()
        self.encoder, self.bottleneck = codec.encoder, bottleneck

    def forward(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        latent, state = self.encoder(audio, state)
        mean, log_variance = self.bottleneck.distribution(latent.squeeze(0))
        return mean, log_variance, state


class _DecodeLatents(nn.Module):
    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.decoder = codec.decoder

    def forward(self, latents: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        latents = torch.where(latents.abs() < FURTHEST_LATENT, latents, torch.zeros_like(latents))
        audio, state = self.decoder(latents.unsqueeze(0), state)
        return audio, state


def codec_to_onnx(codec: Codec) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return one streaming step of the encoder and of the decoder, after the contract in ``models/README.md``.

    The matrices of ``codec`` are rounded to half precision, in which the files store them.
    """
    codec = codec.eval().float()
    round_to_half(codec)
    rows = 2  # one would be taken for a constant
    audio = torch.zeros(rows, codec.config.hop)
    bottleneck = codec.bottleneck
    encode: nn.Module
    decode: nn.Module
    if isinstance(bottleneck, ResidualQuantizer):
        encode, decode = _Encode(codec, bottleneck), _Decode(codec, bottleneck)
        made, given = ["codes", "latents"], "codes"
        sent = torch.zeros(rows, bottleneck.stages, dtype=torch.int64)
    else:
        encode, decode = _EncodeDistribution(codec, bottleneck), _DecodeLatents(codec)
        made, given = ["latents", "log_variance"], "latents"
        sent = torch.zeros(rows, codec.config.latent)
    states = [initial_state(part, rows) for part in (codec.encoder, codec.decoder)]
    encoder = step_to_onnx(encode, (audio, states[0]), ["audio", "state"], [*made, "state_out"])
    decoder = step_to_onnx(decode, (sent, states[1]), [given, "state"], ["audio_out", "state_out"])
    for graph in (encoder, decoder):
        store_halved(graph)
    return encoder, decoder


def codec_specs(
    codec: Codec, name: str, training: Mapping[str, Any], metrics: Mapping[str, Any]
) -> tuple[ModelSpec, ModelSpec]:
    """Return the specifications of encoder and decoder; the delay is the decoder's alone."""
    c = codec.config
    coding = isinstance(codec.bottleneck, ResidualQuantizer)
    facts = {"codec": dataclasses.asdict(c), **training}
    if isinstance(codec.bottleneck, ResidualQuantizer):
        facts["codebooks_sha256"] = hashlib.sha256(codec.bottleneck.codebooks.cpu().numpy().tobytes()).hexdigest()
        metrics = {**code_use(codec.bottleneck), **metrics}
    encoder = ModelSpec(
        kind="encoder" if coding else "vae-encoder",
        name=name if c.part == "encoder" else f"{name}-encoder",
        sample_rate=c.sample_rate,
        hop=c.hop,
        delay=0,
        state_size=sum(codec.encoder.state_sizes),
        bandwidth_hz=c.sample_rate / 2,
        codebooks=c.stages if coding else 0,
        codebook_bits=c.bits if coding else 0,
        latent_size=c.latent,
        training={"parameters": parameter_count(codec.encoder), **facts},
        metrics=metrics,
        commit=revision(),
    )
    decoder = dataclasses.replace(
        encoder,
        kind="decoder" if coding else "vae-decoder",
        name=f"{name}-decoder",
        delay=codec.decoder.delay,
        state_size=sum(codec.decoder.state_sizes),
        latent_size=0 if coding else c.latent,
        training={"parameters": parameter_count(codec.decoder), **facts},
        format_version=0,
    )
    return encoder, decoder


def code_use(quantizer: ResidualQuantizer) -> dict[str, list[float]]:
    """Return for each stage the entropy of its codes in bits and the share of them in use, by its moving averages.

    They are those of the last hundred or so steps of training, at the configured decay.
    """
    shares = quantizer.counts / quantizer.counts.sum(dim=1, keepdim=True)
    entropies = -torch.xlogy(shares, shares).sum(dim=1) / torch.log(torch.tensor(2.0))
    used = (shares > 0.1 / shares.shape[1]).float().mean(dim=1)
    return {
        "entropy_bits": [round(value, 2) for value in entropies.tolist()],
        "codes_in_use": [round(value, 3) for value in used.tolist()],
    }


def export_codec(
    codec: Codec,
    folder: Path,
    name: str,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Export, verify, then write ``NAME-encoder.onnx`` and ``NAME-decoder.onnx``; return what the verification found.

    Of a codec whose encoder alone was trained, the encoder alone is written, as ``NAME.onnx``: it belongs to the
    decoder that it was trained for.

    Raises
    ------
    ParameterError
        If a file exists that may not be overwritten.
    RtaeError
        If a graph fails its verification or a file cannot be written; nothing is written then.
    """
    graphs = codec_to_onnx(codec)
    specs = codec_specs(codec, name, training, metrics or {})
    written = specs[:1] if codec.config.part == "encoder" else specs
    targets = [folder / f"{spec.name}.onnx" for spec in written]
    for target in targets:
        if target.exists() and not overwrite:
            raise ParameterError(f"{target} exists; --force overwrites it")
    found: dict[str, Any] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as beside:
            parts = [Path(beside) / f"{spec.name}.onnx" for spec in specs]
            for graph, spec, part in zip(graphs, specs, parts, strict=True):
                onnx.helper.set_model_props(graph, {METADATA_KEY: spec.to_json()})
                part.write_bytes(graph.SerializeToString())
                found |= {f"{spec.kind} nodes": len(graph.graph.node), f"{spec.kind} bytes": part.stat().st_size}
            found |= verify_codec(codec, *parts)
            for part, target in zip(parts, targets, strict=False):
                part.replace(target)
                found[f"wrote {target.name}"] = str(target)
    except OSError as error:
        raise RtaeError(f"cannot write to {folder}: {error.strerror}") from None
    return found
