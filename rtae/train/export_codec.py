"""From a codec's checkpoint to an encoder and a decoder file, proved before they are written."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from rtae.errors import ParameterError, RtaeError
from rtae.model import Model
from rtae.spec import METADATA_KEY, ModelSpec
from rtae.train.codec_nets import Codec, initial_state
from rtae.train.export import TOLERANCE, revision, step_to_onnx
from rtae.train.nets import parameter_count
from rtae.train.quantize import ResidualQuantizer

TIE = 1e-3
"""Two codes are as good as each other when their distances differ by less than this share: rounding may choose."""


class _Encode(nn.Module):
    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.encoder, self.quantizer = codec.encoder, _quantizer(codec)

    def forward(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        latent, state = self.encoder(audio, state)
        return self.quantizer.codes(latent.squeeze(0)), state


class _Decode(nn.Module):
    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.decoder, self.quantizer = codec.decoder, _quantizer(codec)

    def forward(self, codes: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        audio, state = self.decoder(self.quantizer.latent(codes).unsqueeze(0), state)
        return audio, state


def _quantizer(codec: Codec) -> ResidualQuantizer:
    if not isinstance(codec.bottleneck, ResidualQuantizer):
        raise ParameterError("only a codec with codec.bottleneck = 'codes' can be exported as encoder and decoder")
    return codec.bottleneck


def codec_to_onnx(codec: Codec) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return one streaming step of the encoder and of the decoder, after the contract in ``models/README.md``."""
    codec = codec.eval().float()
    rows = 2  # one would be taken for a constant
    audio = torch.zeros(rows, codec.config.hop)
    codes = torch.zeros(rows, _quantizer(codec).stages, dtype=torch.int64)
    encoder = step_to_onnx(
        _Encode(codec), (audio, initial_state(codec.encoder, rows)), ["audio", "state"], ["codes", "state_out"]
    )
    decoder = step_to_onnx(
        _Decode(codec), (codes, initial_state(codec.decoder, rows)), ["codes", "state"], ["audio_out", "state_out"]
    )
    return encoder, decoder


def codec_specs(
    codec: Codec, name: str, training: Mapping[str, Any], metrics: Mapping[str, Any]
) -> tuple[ModelSpec, ModelSpec]:
    """Return the specifications of encoder and decoder; the delay is the decoder's alone."""
    c = codec.config
    encoder = ModelSpec(
        kind="encoder",
        name=f"{name}-encoder",
        sample_rate=c.sample_rate,
        hop=c.hop,
        delay=0,
        state_size=sum(codec.encoder.state_sizes),
        bandwidth_hz=c.sample_rate / 2,
        codebooks=c.stages,
        codebook_bits=c.bits,
        training={"parameters": parameter_count(codec.encoder), "codec": dataclasses.asdict(c), **training},
        metrics=metrics,
        commit=revision(),
    )
    decoder = dataclasses.replace(
        encoder,
        kind="decoder",
        name=f"{name}-decoder",
        delay=codec.decoder.delay,
        state_size=sum(codec.decoder.state_sizes),
        training={**encoder.training, "parameters": parameter_count(codec.decoder)},
    )
    return encoder, decoder


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

    Raises
    ------
    ParameterError
        If a file exists that may not be overwritten, or the bottleneck is not one of codes.
    RtaeError
        If a graph fails its verification or a file cannot be written; nothing is written then.
    """
    specs = codec_specs(codec, name, training, metrics or {})
    targets = [folder / f"{spec.name}.onnx" for spec in specs]
    for target in targets:
        if target.exists() and not overwrite:
            raise ParameterError(f"{target} exists; --force overwrites it")
    graphs = codec_to_onnx(codec)
    found: dict[str, Any] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as beside:
            parts = [Path(beside) / target.name for target in targets]
            for graph, spec, part in zip(graphs, specs, parts, strict=True):
                onnx.helper.set_model_props(graph, {METADATA_KEY: spec.to_json()})
                part.write_bytes(graph.SerializeToString())
                found |= {f"{spec.kind} nodes": len(graph.graph.node), f"{spec.kind} bytes": part.stat().st_size}
            found |= verify_codec(codec, *parts)
            for part, target in zip(parts, targets, strict=True):
                part.replace(target)
    except OSError as error:
        raise RtaeError(f"cannot write to {folder}: {error.strerror}") from None
    return found


def verify_codec(codec: Codec, encoder: Path, decoder: Path) -> dict[str, float]:
    """Hold the two files against the network they came from.

    Codes must be those of the network on the whole signal; where two codes are equally near to within rounding, either
    one is right.

    Raises
    ------
    RtaeError
        Naming the first property that does not hold.
    """
    hop, quantizer = codec.config.hop, _quantizer(codec)
    rng = np.random.default_rng(7)
    envelope = np.repeat(10 ** rng.uniform(-4, -0.5, (3, 60)), hop, axis=1)
    audio = (envelope * rng.standard_normal((3, 60 * hop))).astype(np.float32)

    def require(holds: bool, what: str) -> None:
        if not holds:
            raise RtaeError(f"export failed its verification: {what}")

    streamed = encode(encoder, audio)
    require(np.array_equal(encode(encoder, audio), streamed), "a fresh encoder gives other codes")
    with torch.no_grad():
        latent, _ = codec.encoder(torch.from_numpy(audio), initial_state(codec.encoder, len(audio)))
        latent = latent.transpose(0, 1).reshape(-1, latent.shape[2])
    ties = _ties(quantizer, latent, streamed)
    require(ties >= 0, "streaming codes are not those of the whole signal")
    alone = encode(encoder, audio[1:2])
    require(_ties(quantizer, latent.reshape(3, 60, -1)[1], alone) >= 0, "rows of a batch change each other's codes")
    found: dict[str, float] = {"codes": streamed.size, "codes tied": ties}
    for stages in sorted({1, quantizer.stages}):
        sent = streamed.copy()
        sent[:, :, stages:] = -1
        ours = decode(decoder, sent)
        with torch.no_grad():
            rows = quantizer.latent(torch.from_numpy(sent.reshape(-1, quantizer.stages)))
            frames = rows.reshape(3, 60, -1).transpose(0, 1)
            wanted = codec.decoder(frames, initial_state(codec.decoder, 3))[0].numpy()
        assert ours.size == wanted.size > 0
        worst = float(np.abs(ours - wanted).max())
        require(worst <= TOLERANCE, f"audio of {stages} stages differs by {worst:.2e}, allowed {TOLERANCE:.0e}")
        require(np.array_equal(decode(decoder, sent), ours), "a fresh decoder gives other audio")
        rows_apart = float(np.abs(decode(decoder, sent[1:2]) - ours[1:2]).max())
        require(rows_apart <= TOLERANCE, f"rows of a batch change each other's audio by {rows_apart:.2e}")
        found[f"audio of {stages} stages"] = worst
    found["declared delay"] = _verify_delay(codec, Model(encoder).spec.delay + Model(decoder).spec.delay)
    poisoned = audio[:1].copy()
    poisoned[0, : 2 * hop] = np.nan
    poisoned[0, 2 * hop] = np.inf
    silenced = np.where(np.isfinite(poisoned), poisoned, 0).astype(np.float32)
    require(np.array_equal(encode(encoder, poisoned), encode(encoder, silenced)), "NaN in the input stays in the state")
    return found


def _ties(quantizer: ResidualQuantizer, latent: Tensor, codes: np.ndarray) -> int:
    """Return how many of ``codes`` are not the network's but as near, of ``latent`` (rows, size); -1 if one is not."""
    rows = torch.from_numpy(codes.reshape(-1, quantizer.stages))
    assert len(rows) == len(latent) > 0
    count = 0
    for stage in range(quantizer.stages):
        distances = torch.cdist(latent, quantizer.codebooks[stage])
        chosen = distances.gather(1, rows[:, stage : stage + 1])[:, 0]
        nearest = distances.min(dim=1).values
        if bool((chosen > nearest * (1 + TIE) + 1e-6).any()):
            return -1
        count += int((chosen > nearest).sum())
        latent = latent - quantizer.codebooks[stage][rows[:, stage]]
    return count


def _verify_delay(codec: Codec, declared: int) -> int:
    """Send the true spectra of a signal through the decoder's synthesis: what comes out must lag as declared."""
    c = codec.config
    rng = np.random.default_rng(3)
    audio = rng.standard_normal((1, 20 * c.hop)).astype(np.float32)
    before = np.zeros((1, c.synthesis - c.hop), np.float32)  # frames end with the hop that has just come in
    history = torch.from_numpy(np.concatenate([before, audio], axis=1))
    spectra = codec.decoder.analyse(history)
    output = codec.decoder.overlap_add(spectra, torch.zeros(1, codec.decoder.delay))[0].numpy()
    kept = output.shape[1] - declared
    worst = float(np.abs(output[:, declared:] - audio[:, :kept]).max()) if kept > 0 else np.inf
    if not worst <= 1e-4:
        raise RtaeError(f"export failed its verification: declared delay {declared} is not the decoder's ({worst:.1e})")
    return declared


def encode(path: Path, audio: np.ndarray) -> np.ndarray:
    """Return the codes (streams, hops, stages) of ``audio`` (streams, whole hops), from a fresh encoder at ``path``."""
    model = Model(path, streams=len(audio))
    hop = model.spec.hop
    steps = [model.encode_step(audio[:, at : at + hop]).copy() for at in range(0, audio.shape[1], hop)]
    return np.stack(steps, axis=1)


def decode(path: Path, codes: np.ndarray) -> np.ndarray:
    """Return the audio (streams, samples) of ``codes`` (streams, hops, stages), from a fresh decoder at ``path``."""
    model = Model(path, streams=len(codes))
    return np.concatenate([model.decode_step(codes[:, at]).copy() for at in range(codes.shape[1])], axis=1)
