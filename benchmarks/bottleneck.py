"""What the size of the bottleneck does to reconstruction, bit rate and recognition: one figure of a search over it.

    rtae train bottleneck.toml --speech SPEECH --noise NOISE --search 4 --budget 2 -o search
    python -m benchmarks.bottleneck search RECORDINGS WORDS -o docs/pictures/bottleneck.png

RECORDINGS is a folder of clean speech that was not trained on, WORDS one with a folder for each word. Bits are those of
the codes, of a VAE the divergence from its prior. Recognition is that of the recurrent head on clean words of unseen
speakers, from the latents. Prints the table and draws it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rtae.errors import ParameterError
from rtae.evaluate.mel import SAMPLE_RATE as MEL_RATE
from rtae.evaluate.mel import mel_distance_db
from rtae.evaluate.resampling import resample
from rtae.train.codec_nets import Codec, initial_state
from rtae.train.head_data import Sounds, load_words
from rtae.train.head_task import held_out
from rtae.train.head_training import Examples, predictions, train_head
from rtae.train.heads import HOP, SAMPLE_RATE, head_configs
from rtae.train.loop import prepare_process
from rtae.train.quantize import GaussianBottleneck, ResidualQuantizer
from rtae.train.session import load_codec

SEEDS = (1, 2, 3)
AT_ONCE = 100


@dataclass(frozen=True)
class Point:
    """What one checkpoint of the search can do.

    Attributes
    ----------
    latent : int
        Numbers a hop.
    mel_db, kbps : float
        Mean mel distance of what is decoded, and the bits it takes.
    accuracy : list of float
        Share of words recognised, a number a seed of the head.
    """

    latent: int
    mel_db: float
    kbps: float
    accuracy: list[float]


def main() -> None:
    """Measure every checkpoint of a search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("words", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    prepare_process(1)
    words = load_words(arguments.words)
    recordings = [soundfile.read(path, dtype="float32") for path in sorted(arguments.recordings.iterdir())]
    points = []
    for checkpoint in sorted(arguments.search.glob("trial-*-*/best.safetensors")):
        codec = load_codec(checkpoint)[0]
        mel_db, kbps = reconstruction(codec, recordings)
        points.append(Point(codec.config.latent, mel_db, kbps, recognition(codec, words)))
        print(points[-1], flush=True)
    if not points:
        raise ParameterError(
            f"{arguments.search} holds no trial-NUMBER-FOLD/best.safetensors; it is no search of a codec"
        )
    draw(sorted(points, key=lambda point: point.latent), arguments.output)


@torch.no_grad()
def reconstruction(codec: Codec, recordings: list[tuple[np.ndarray, int]]) -> tuple[float, float]:
    """Return the mean mel distance in decibels, and kilobits a second."""
    rate, hop, delay = codec.config.sample_rate, codec.config.hop, codec.decoder.delay
    distances, nats = [], []
    for audio, found in recordings:
        speech = resample(audio if audio.ndim == 1 else audio.mean(axis=1), found, rate).astype(np.float32)
        speech = speech[: len(speech) // hop * hop]
        decoded, cost = codec(torch.from_numpy(speech).unsqueeze(0))
        pair = (resample(part, rate, MEL_RATE) for part in (speech[: len(speech) - delay], decoded[0, delay:].numpy()))
        distance = mel_distance_db(*pair)
        if distance is not None:
            distances.append(distance)
        nats.append(float(cost))
    bottleneck = codec.bottleneck
    bits = (
        bottleneck.stages * bottleneck.bits
        if isinstance(bottleneck, ResidualQuantizer)
        else float(np.mean(nats)) / math.log(2)
    )
    return float(np.mean(distances)), 1e-3 * bits * rate / hop


def recognition(codec: Codec, words: Sounds) -> list[float]:
    """Return the share of words of unseen speakers that a head recognises from the latents, for each seed."""
    split = held_out(words)
    train, test = (np.concatenate(list(features(codec, words.audio[part]))) for part in (split.train, split.test))
    examples = Examples(train[:, np.newaxis], words.labels[split.train])
    config = head_configs()["recurrent"]
    heads = (train_head(config, examples, len(words.classes), seed=seed) for seed in SEEDS)
    return [float(np.mean(predictions(head, test) == words.labels[split.test])) for head in heads]


@torch.no_grad()
def features(codec: Codec, audio: np.ndarray) -> Iterator[np.ndarray]:
    """Yield (examples, frames, features) of ``audio`` (examples, samples): the latents of a frame's hops."""
    rate, hop = codec.config.sample_rate, codec.config.hop
    joined = HOP * rate // (SAMPLE_RATE * hop)
    for start in range(0, len(audio), AT_ONCE):
        part = np.stack([resample(row, SAMPLE_RATE, rate) for row in audio[start : start + AT_ONCE]])
        whole = torch.from_numpy(part[:, : part.shape[1] // (joined * hop) * joined * hop].astype(np.float32))
        latent: Tensor = codec.encoder(whole, initial_state(codec.encoder, len(whole)))[0]
        if isinstance(codec.bottleneck, GaussianBottleneck):
            latent = codec.bottleneck.distribution(latent)[0]
        yield latent.transpose(0, 1).reshape(len(whole), -1, joined * latent.shape[2]).numpy()


def draw(points: list[Point], path: Path) -> None:
    """Print the table and draw the three figures over the size of the latents; of several folds, the mean too."""
    sizes = sorted({point.latent for point in points})
    panels = {
        "mel distance, dB": [[point.mel_db] for point in points],
        "kbps": [[point.kbps] for point in points],
        "words recognised, %": [[100 * share for share in point.accuracy] for point in points],
    }
    print(f"| latents | {' | '.join(panels)} |\n|---|---|---|---|")
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    rows = {size: [] for size in sizes}
    for axis, (name, values) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        found = {
            size: np.concatenate([v for p, v in zip(points, values, strict=True) if p.latent == size]) for size in sizes
        }
        mean = [float(found[size].mean()) for size in sizes]
        for size in sizes:
            axis.plot([size] * len(found[size]), found[size], ".", color="tab:grey")
            spread = f" ± {found[size].std(ddof=1):.1f}" if len(found[size]) > 1 else ""
            rows[size].append(f"{found[size].mean():.1f}{spread}")
        axis.plot(sizes, mean, "o-")
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, map(str, sizes))
        axis.set(xlabel="latents a hop", title=name, ylim=(0, None))
        axis.grid(alpha=0.3)
    for size, cells in rows.items():
        print(f"| {size} | {' | '.join(cells)} |")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
