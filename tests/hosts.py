"""What hosts in other languages are compared with: every shipped model, and what Python makes of a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

import rtae
from rtae import shipped
from rtae.model import Model
from tests.models import Build

BUILT = [("compressor",), ("delay",), ("encoder", "decoder"), ("vae_encoder", "vae_decoder")]
"""Models of :mod:`tests.models`, of each kind: a denoiser, or an encoder and the decoder that goes with it."""


def _shipped() -> list[tuple[str, ...]]:
    chains: list[tuple[str, ...]] = []
    for name in shipped.available():
        kind = shipped.load(name).spec.kind
        if kind == "denoiser":
            chains.append((name,))
        elif kind.endswith("encoder"):
            chains.append((name, name.rpartition("encoder")[0] + "decoder"))
    return chains


SHIPPED = _shipped()
"""The same of the models that come with rtae."""

CHAINS = [*BUILT, *SHIPPED]

CLASSIFIERS = ["classifier", *(name for name in shipped.available() if shipped.load(name).spec.kind == "classifier")]
"""Models without sound of their own: one of :mod:`tests.models`, and the shipped ones."""

_compared = {name for chain in [*SHIPPED, CLASSIFIERS[1:]] for name in chain}
assert _compared == set(shipped.available()), "a shipped model is in no comparison of hosts"


def files_of(chain: tuple[str, ...], build: Build) -> list[Path]:
    """Return the files of a chain."""
    return [build(name) if chain in BUILT else shipped.find(name) for name in chain]


def classifier(name: str, build: Build) -> Path:
    """Return the file of a classifier."""
    return build(name) if name == "classifier" else shipped.find(name)


def scores(file: Path, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what a classifier gives for each whole hop of a recording at its rate, of shape ``(hops, classes)``."""
    model = Model(file)
    hops = audio[: len(audio) // model.spec.hop * model.spec.hop].reshape(-1, 1, model.spec.hop)
    return np.concatenate([model.classify_step(hop).copy() for hop in hops])


def sample_rate(files: list[Path]) -> int:
    """Return the rate a chain works at."""
    return Model(files[0]).spec.sample_rate


def expected(files: list[Path], audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what Python makes of a recording at the model's rate, aligned with it and as long."""
    if len(files) == 1:
        return rtae.denoise(audio, sample_rate(files), files[0])
    encoder, decoder = map(Model, files)
    hop, delay = encoder.spec.hop, encoder.spec.delay + decoder.spec.delay
    padded = np.zeros(-(-(len(audio) + delay) // hop) * hop, np.float32)
    padded[: len(audio)] = audio
    output = np.empty_like(padded)
    for start in range(0, len(padded), hop):
        hop_in = padded[np.newaxis, start : start + hop]
        if encoder.spec.kind == "encoder":
            made = decoder.decode_step(encoder.encode_step(hop_in))
        else:
            made = decoder.decode_latents_step(encoder.latents_step(hop_in))
        output[start : start + hop] = made[0]
    return output[delay : delay + len(audio)]
