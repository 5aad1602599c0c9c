"""Golden vectors: what the run time made of known input when it was last looked at, and shipped models likewise.

A difference is a change of behaviour. If it is meant, look at it and write the vectors anew::

    python -m tests.golden.vectors
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from rtae import Denoiser, shipped
from rtae.model import Model
from rtae.resample import StreamingResampler
from rtae.ring import RingBuffer
from tests import models

FOLDER = Path(__file__).parent
CLIP = FOLDER.parent / "data" / "full-band-minus-2dB-noisy.flac"

Vectors = dict[str, np.ndarray]


def sweep(count: int, channels: int = 1) -> np.ndarray:
    """A decaying sweep, its phase another in each channel: no random numbers, no file."""
    time = np.linspace(0, 1, count)[:, np.newaxis]
    phase = np.arange(channels)
    return np.asarray(0.5 * np.cos(2 * np.pi * (count / 8) * time**2 + phase) * (1 - 0.9 * time), np.float32)


def resampling() -> Vectors:
    """Three ratios: up by 160/147, down by 3, and one too fine for a table of phases."""
    rates = [(44_100, 48_000), (48_000, 16_000), (44_101, 48_000)]
    return {f"{a}-{b}": StreamingResampler(a, b, 2).process(sweep(600, 2)) for a, b in rates}


def denoising() -> Vectors:
    """The whole chain on a recurrent model, with and without resampling, delay included."""
    vectors = {}
    with TemporaryDirectory() as folder:
        path = models.compressor(Path(folder) / "compressor.onnx", hop=96)
        for rate in (16_000, 48_000):
            denoiser = Denoiser(path, sample_rate=rate, channels=2, block_size=160)
            output = [denoiser.process(block) for block in np.split(sweep(640, 2), 4)]
            vectors[str(rate)] = np.concatenate([*output, denoiser.flush()])
    return vectors


def ring() -> Vectors:
    """The bytes of a ring in memory, which processes of two versions may share."""
    memory = bytearray(RingBuffer.nbytes(6, 2))
    buffer = RingBuffer(6, 2, buffer=memory)
    buffer.write(sweep(5, 2))
    buffer.discard(4)
    buffer.write(sweep(4, 2))
    return {"memory": np.frombuffer(memory, np.uint8)}


def shipped_model(name: str) -> Vectors:
    """What a shipped model makes of half a second: of speech in kitchen noise, or of invented codes or latents."""
    model = shipped.load(name)
    return BY_KIND[model.spec.kind](model)


def _clip(model: Model) -> Iterator[np.ndarray]:
    hop = model.spec.hop
    clip, rate = soundfile.read(CLIP, dtype="float32", start=52_800, frames=24_000)
    clip = clip[:: rate // model.spec.sample_rate]
    yield from clip[: len(clip) // hop * hop].reshape(-1, 1, hop)


def _denoised(model: Model) -> Vectors:
    """Every speech probability, the last 0.2 s of audio."""
    results = [[part[0].copy() for part in model.step(block)] for block in _clip(model)]
    audio, speech = (np.concatenate(parts) for parts in zip(*results, strict=True))
    return {"audio": audio[-9_600:], "speech": speech}


def _encoded(model: Model) -> Vectors:
    return {"codes": np.concatenate([model.encode_step(block).copy() for block in _clip(model)])}


def _decoded(model: Model) -> Vectors:
    spec = model.spec
    codes = np.arange(20 * spec.codebooks).reshape(20, 1, -1) * 379 % (1 << spec.codebook_bits)
    return {"audio": np.concatenate([model.decode_step(row)[0].copy() for row in codes])}


def _latents(model: Model) -> Vectors:
    return {"latents": np.concatenate([model.latents_step(block).copy() for block in _clip(model)])}


def _from_latents(model: Model) -> Vectors:
    latents = np.cos(np.arange(20 * model.spec.latent_size)).reshape(20, 1, -1).astype(np.float32)
    return {"audio": np.concatenate([model.decode_latents_step(row)[0].copy() for row in latents])}


def _classified(model: Model) -> Vectors:
    return {"scores": np.concatenate([model.classify_step(block).copy() for block in _clip(model)])}


BY_KIND: dict[str, Callable[[Model], Vectors]] = {
    "denoiser": _denoised,
    "encoder": _encoded,
    "decoder": _decoded,
    "vae-encoder": _latents,
    "vae-decoder": _from_latents,
    "classifier": _classified,
}


SUBJECTS = {"resampling": resampling, "denoising": denoising, "ring": ring}


def file_of(subject: str) -> Path:
    """Where the vectors of a subject, or of ``model-<name>``, are kept."""
    return FOLDER / f"{subject}.npz"


def main() -> None:
    """Write all vectors anew."""
    for subject, make in SUBJECTS.items():
        np.savez_compressed(file_of(subject), **make())
    for name in shipped.available():
        np.savez_compressed(file_of(f"model-{name}"), **shipped_model(name))


if __name__ == "__main__":
    main()
