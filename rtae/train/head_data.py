"""Labelled sounds, noise to hear them in, and the features a head may look at: each a function of the sound alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly

from rtae.denoise import denoise
from rtae.errors import ParameterError
from rtae.model import Model
from rtae.train.heads import HOP, SAMPLE_RATE, LogMel
from rtae.train.quantize import ResidualQuantizer
from rtae.train.session import load_codec
from rtae.train.store import AUDIO_SUFFIXES

EVENT_S = 5.0
EVENTS_A_FILE = 4
EVENT_PREFIX = "esc10--"
_AT_ONCE = 120
_ROWS_AT_ONCE = 4096
_NOISE_S = 20.0


@dataclass(frozen=True)
class Sounds:
    """Sounds of one length with their classes.

    Attributes
    ----------
    audio : ndarray, shape (examples, samples)
        Float32 at 16 kHz.
    labels : ndarray of int, shape (examples,)
        Index into ``classes``.
    groups : ndarray of str, shape (examples,)
        What must not be on both sides of a split: the speaker, or the file.
    classes : tuple of str
    """

    audio: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]


def load_words(folder: Path) -> Sounds:
    """Load spoken words, ``<word>/<speaker>-<take>.<suffix>`` of one length each; the group is the speaker.

    Raises
    ------
    ParameterError
        If there are none.
    """
    files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise ParameterError(f"no words below {folder}; name the folder that has a folder for each word")
    classes = tuple(sorted({path.parent.name for path in files}))
    clips = [_read(path) for path in files]
    longest = max(map(len, clips))
    audio = np.stack([np.pad(clip, (0, longest - len(clip))) for clip in clips])
    labels = np.array([classes.index(path.parent.name) for path in files])
    return Sounds(audio, labels, np.array([path.stem.rpartition("-")[0] for path in files]), classes)


def load_events(folder: Path) -> Sounds:
    """Load the sound events ``esc10--<class>-<number>.<suffix>``, the first 20 s in 4 parts; the group is the number.

    Raises
    ------
    ParameterError
        If there are none.
    """
    files = sorted(path for path in folder.glob(f"{EVENT_PREFIX}*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise ParameterError(f"no {EVENT_PREFIX}CLASS-NUMBER files in {folder}")
    names = [path.stem.removeprefix(EVENT_PREFIX).rpartition("-") for path in files]
    classes = tuple(sorted({name for name, _, _ in names}))
    size = round(EVENT_S * SAMPLE_RATE)
    audio, labels, groups = [], [], []
    for path, (name, _, number) in zip(files, names, strict=True):
        whole = _read(path, EVENTS_A_FILE * EVENT_S)
        for start in range(0, len(whole) - size + 1, size):
            audio.append(whole[start : start + size])
            labels.append(classes.index(name))
            groups.append(number)
    return Sounds(np.stack(audio), np.array(labels), np.array(groups), classes)


def load_noises(folder: Path, *, test: bool, every: int = 3) -> list[np.ndarray]:
    """Load stretches of noise, no sound events among them; those for tests are of other classes than the others.

    Raises
    ------
    ParameterError
        If there are none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    files = [path for path in files if not path.name.startswith(EVENT_PREFIX)]

    def held_out(path: Path) -> bool:
        kind = path.stem.rpartition("-")[0] or path.stem
        return hashlib.sha256(kind.encode()).digest()[0] % 4 == 0

    chosen = [path for path in files if held_out(path) == test][::every]
    if not chosen:
        raise ParameterError(f"no noise below {folder}")
    return [_read(path, _NOISE_S) for path in chosen]


def in_noise(audio: np.ndarray, noises: list[np.ndarray], snr_db: np.ndarray, seed: int) -> np.ndarray:
    """Return each sound with a stretch of some noise at its signal-to-noise ratio, over its loud half."""
    rng = np.random.default_rng(seed)
    noisy = np.empty_like(audio)
    for row, sound in enumerate(audio):
        noise = noises[rng.integers(len(noises))]
        noise = np.resize(np.roll(noise, -int(rng.integers(len(noise)))), len(sound))
        power = np.sort(np.square(sound[: len(sound) // 160 * 160].reshape(-1, 160)).mean(axis=1))
        wanted = power[len(power) // 2 :].mean() / 10 ** (snr_db[row] / 10)
        noisy[row] = sound + noise * np.sqrt(wanted / max(float(np.square(noise).mean()), 1e-12))
    return noisy


def denoised(audio: np.ndarray) -> np.ndarray:
    """Return sounds (examples, samples) sent through the denoiser."""
    parts = [audio[start : start + _AT_ONCE].T for start in range(0, len(audio), _AT_ONCE)]
    return np.concatenate([denoise(part, SAMPLE_RATE).T for part in parts])


def log_mel(audio: np.ndarray) -> np.ndarray:
    """Return logarithmic mel bands, those of :class:`rtae.train.heads.LogMel`."""
    module = LogMel()
    whole = audio.shape[1] // HOP * HOP
    with torch.no_grad():
        bands, _ = module(torch.from_numpy(audio[:, :whole].copy()), torch.zeros(len(audio), module.state_size))
    return np.asarray(bands.transpose(0, 1))


def codec_latents(encoder: Path, audio: np.ndarray) -> np.ndarray:
    """Return what an encoder gives before it quantises, of a VAE the means."""
    return _encoded(encoder, audio, lambda model, hop: model.latents_step(hop))


def quantised(checkpoint: Path, latents: np.ndarray) -> np.ndarray:
    """Return what the codes of latents stand for: the sum of the entries chosen from the codebooks in a checkpoint.

    Raises
    ------
    ParameterError
        If the codec of the checkpoint has no codes.
    """
    bottleneck = load_codec(checkpoint)[0].bottleneck
    if not isinstance(bottleneck, ResidualQuantizer):
        raise ParameterError(f"{checkpoint} has no codes")
    with torch.no_grad():
        parts = torch.from_numpy(latents.reshape(-1, bottleneck.size)).split(_ROWS_AT_ONCE)
        rows = torch.cat([bottleneck.latent(bottleneck.codes(part)) for part in parts])
    return np.asarray(rows).reshape(latents.shape)


def _encoded(encoder: Path, audio: np.ndarray, step: Callable[[Model, np.ndarray], np.ndarray]) -> np.ndarray:
    """Return what every step gives; steps shorter than :data:`HOP` are joined to one frame of that length."""
    rate = Model(encoder).spec.sample_rate
    parts = []
    for start in range(0, len(audio), _AT_ONCE):
        part = resample_poly(audio[start : start + _AT_ONCE], rate // 1000, SAMPLE_RATE // 1000, axis=1)
        model = Model(encoder, streams=len(part))
        hop = model.spec.hop
        part = part[:, : part.shape[1] // hop * hop].astype(np.float32)
        # a model's arrays are written again by a later step
        hops = [step(model, part[:, at : at + hop]).copy() for at in range(0, part.shape[1], hop)]
        joined = HOP * rate // (SAMPLE_RATE * hop)
        frames = np.stack(hops[: len(hops) // joined * joined], axis=1)
        parts.append(frames.reshape(len(part), -1, joined * frames.shape[2]))
    return np.concatenate(parts).astype(np.float32)


def _read(path: Path, longest_s: float | None = None) -> np.ndarray:
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        audio = file.read(-1 if longest_s is None else round(longest_s * rate), dtype="float32", always_2d=True)
    mono = audio.mean(axis=1)
    if rate != SAMPLE_RATE:
        common = int(np.gcd(rate, SAMPLE_RATE))
        mono = resample_poly(mono, SAMPLE_RATE // common, rate // common)
    return np.asarray(mono, np.float32)
