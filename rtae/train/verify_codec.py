"""Encoder and decoder files held against the network they came from, hop by hop against the whole signal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rtae.errors import RtaeError
from rtae.model import Model
from rtae.train.codec_nets import Codec, initial_state
from rtae.train.export import TOLERANCE
from rtae.train.quantize import GaussianBottleneck, ResidualQuantizer

TIE = 0.02
"""Two sequences of codes are as good as each other when their errors differ by less than this share: where rounding
drops one candidate for another, the search ends elsewhere."""
MOST_TIES = 0.02
"""Share of the frames in which that may happen."""
LATENT_TOLERANCE = 1e-4
"""Largest difference of latents, relative to the largest latent."""
ROWS, HOPS = 3, 60


def verify_codec(codec: Codec, encoder: Path, decoder: Path) -> dict[str, float]:
    """Hold the two files against the network they came from.

    Codes must be those of the network on the whole signal; where two codes are equally near to within rounding, either
    one is right. Latents and audio must be the network's to within rounding.

    Raises
    ------
    RtaeError
        Naming the first property that does not hold.
    """
    hop = codec.config.hop
    rng = np.random.default_rng(7)
    envelope = np.repeat(10 ** rng.uniform(-4, -0.5, (ROWS, HOPS)), hop, axis=1)
    audio = (envelope * rng.standard_normal((ROWS, HOPS * hop))).astype(np.float32)
    with torch.no_grad():
        latent = codec.encoder(torch.from_numpy(audio), initial_state(codec.encoder, ROWS))[0].transpose(0, 1)
        if isinstance(codec.bottleneck, ResidualQuantizer):
            found = _verify_codes(codec, codec.bottleneck, encoder, decoder, audio, latent)
        else:
            found = _verify_latents(codec, codec.bottleneck, encoder, decoder, audio, latent)
    found["declared delay"] = _verify_delay(codec, Model(encoder).spec.delay + Model(decoder).spec.delay)
    poisoned = audio[:1].copy()
    poisoned[0, : 2 * hop] = np.nan
    poisoned[0, 2 * hop] = np.inf
    silenced = np.where(np.isfinite(poisoned), poisoned, 0).astype(np.float32)
    same = np.array_equal(encode_latents(encoder, poisoned), encode_latents(encoder, silenced))
    _require(same, "NaN in the input stays in the state")
    return found


def _verify_codes(
    codec: Codec, quantizer: ResidualQuantizer, encoder: Path, decoder: Path, audio: np.ndarray, latent: Tensor
) -> dict[str, float]:
    streamed = encode(encoder, audio)
    _require(np.array_equal(encode(encoder, audio), streamed), "a fresh encoder gives other codes")
    ties = _ties(quantizer, latent.reshape(ROWS * HOPS, -1), streamed)
    _require(ties >= 0, "streaming codes are not those of the whole signal")
    alone = encode(encoder, audio[1:2])
    _require(_ties(quantizer, latent[1], alone) >= 0, "rows of a batch change each other's codes")
    found: dict[str, float] = {"codes": streamed.size, "codes tied": ties}
    found["latents"] = _compare_latents(encode_latents(encoder, audio), latent, "latents")
    for stages in sorted({1, quantizer.stages}):
        sent = streamed.copy()
        sent[:, :, stages:] = -1
        sums = quantizer.latent(torch.from_numpy(sent.reshape(-1, quantizer.stages))).reshape(ROWS, HOPS, -1)
        found[f"audio of {stages} stages"] = _compare_audio(
            lambda codes: decode(decoder, codes), sent, codec, sums, f"audio of {stages} stages"
        )
    return found


def _verify_latents(
    codec: Codec, bottleneck: GaussianBottleneck, encoder: Path, decoder: Path, audio: np.ndarray, latent: Tensor
) -> dict[str, float]:
    mean, log_variance = bottleneck.distribution(latent)
    model = Model(encoder, streams=ROWS)
    hop = codec.config.hop
    steps = []
    for at in range(0, audio.shape[1], hop):
        steps.append([part.copy() for part in model.distribution_step(audio[:, at : at + hop])])
    means, log_variances = (np.stack(parts, axis=1) for parts in zip(*steps, strict=True))
    found = {
        "means": _compare_latents(means, mean, "means"),
        "log variances": _compare_latents(log_variances, log_variance, "log variances"),
    }
    _require(np.array_equal(encode_latents(encoder, audio), means), "a fresh encoder gives other latents")
    _compare_latents(encode_latents(encoder, audio[1:2]), mean[1:2], "latents of one row")
    sent = means.astype(np.float32)
    found["audio"] = _compare_audio(
        lambda latents: decode_latents(decoder, latents), sent, codec, torch.from_numpy(sent), "audio"
    )
    poisoned, silenced = sent.copy(), sent.copy()
    poisoned[:, 3, :2] = np.nan, np.inf
    silenced[:, 3, :2] = 0
    same = np.array_equal(decode_latents(decoder, poisoned), decode_latents(decoder, silenced))
    _require(same, "a latent that is not finite stays in the decoder")
    return found


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise RtaeError(f"export failed its verification: {what}")


def _compare_latents(ours: np.ndarray, wanted: Tensor, what: str) -> float:
    expected = wanted.numpy()
    assert ours.shape == expected.shape and ours.size > 0
    worst = float(np.abs(ours - expected).max() / max(1.0, float(np.abs(expected).max())))
    _require(
        worst <= LATENT_TOLERANCE, f"{what} of the whole signal differ by {worst:.2e}, allowed {LATENT_TOLERANCE:.0e}"
    )
    return worst


def _compare_audio(
    decode: Callable[[np.ndarray], np.ndarray], sent: np.ndarray, codec: Codec, latent: Tensor, what: str
) -> float:
    """Compare the audio of ``sent`` (rows, hops, width) with the network's of ``latent`` (rows, hops, latent)."""
    ours = decode(sent)
    wanted = codec.decoder(latent.transpose(0, 1), initial_state(codec.decoder, len(sent)))[0].numpy()
    assert ours.size == wanted.size > 0
    worst = float(np.abs(ours - wanted).max())
    _require(worst <= TOLERANCE, f"{what} differs by {worst:.2e}, allowed {TOLERANCE:.0e}")
    _require(np.array_equal(decode(sent), ours), "a fresh decoder gives other audio")
    apart = float(np.abs(decode(sent[1:2]) - ours[1:2]).max())
    _require(apart <= TOLERANCE, f"rows of a batch change each other's audio by {apart:.2e}")
    return worst


def _ties(quantizer: ResidualQuantizer, latent: Tensor, codes: np.ndarray) -> int:
    """Return for how many of ``latent`` (rows, size) the codes are others than the network's but as near; -1 if not."""
    rows, wanted = torch.from_numpy(codes.reshape(-1, quantizer.stages)), quantizer.codes(latent)
    assert len(rows) == len(latent) > 0
    other = (rows != wanted).any(dim=1)
    ours, theirs = (_error(quantizer, latent[other], chosen[other]) for chosen in (rows, wanted))
    count = int(other.sum())
    return -1 if count > MOST_TIES * len(rows) or bool((ours > theirs * (1 + TIE) + 1e-6).any()) else count


def _error(quantizer: ResidualQuantizer, latent: Tensor, codes: Tensor) -> Tensor:
    """Return (rows,): the sum over the stages of the squared distance that is left."""
    total = latent.new_zeros(len(latent))
    for stage in range(quantizer.stages):
        latent = latent - quantizer.codebooks[stage][codes[:, stage]]
        total += latent.square().sum(dim=1)
    return total


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
    _require(worst <= 1e-4, f"declared delay {declared} is not the decoder's ({worst:.1e})")
    return declared


def encode(path: Path, audio: np.ndarray) -> np.ndarray:
    """Return the codes (streams, hops, stages) of ``audio`` (streams, whole hops), from a fresh encoder at ``path``."""
    model = Model(path, streams=len(audio))
    return _by_hops(model.encode_step, audio, model.spec.hop)


def encode_latents(path: Path, audio: np.ndarray) -> np.ndarray:
    """Return the latents (streams, hops, size) of ``audio`` (streams, whole hops), from a fresh encoder at ``path``."""
    model = Model(path, streams=len(audio))
    return _by_hops(model.latents_step, audio, model.spec.hop)


def decode(path: Path, codes: np.ndarray) -> np.ndarray:
    """Return the audio (streams, samples) of ``codes`` (streams, hops, stages), from a fresh decoder at ``path``."""
    model = Model(path, streams=len(codes))
    return np.concatenate([model.decode_step(codes[:, at]).copy() for at in range(codes.shape[1])], axis=1)


def decode_latents(path: Path, latents: np.ndarray) -> np.ndarray:
    """Return the audio (streams, samples) of ``latents`` (streams, hops, size), from a fresh decoder at ``path``."""
    model = Model(path, streams=len(latents))
    return np.concatenate([model.decode_latents_step(latents[:, at]).copy() for at in range(latents.shape[1])], axis=1)


def _by_hops(step: Callable[[np.ndarray], np.ndarray], audio: np.ndarray, hop: int) -> np.ndarray:
    return np.stack([step(audio[:, at : at + hop]).copy() for at in range(0, audio.shape[1], hop)], axis=1)
