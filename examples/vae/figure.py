"""What a VAE does with recordings, in figures and one picture: rate, distortion, divergence of each dimension."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rtae.evaluate.mel import SAMPLE_RATE, mel_distance_db
from rtae.evaluate.optional import require
from rtae.evaluate.resampling import resample
from rtae.vae import Autoencoder, Floats

ACTIVE_BITS = 0.05
"""A dimension of less a hop carries nothing worth speaking of."""
PRIOR_S = 10.0
SPEECH_BAND_HZ = (100.0, 8000.0)
POINTS = 8


@dataclass(frozen=True)
class Portrait:
    """Figures of one VAE on a set of recordings.

    Attributes
    ----------
    bits : list of float
        Divergence of each dimension, bits a hop, the greatest first.
    active : int
        Dimensions of more than 0.05 bits a hop.
    kbps : float
        Divergence of all dimensions together, a second.
    mean_db, sampled_db : float
        Mel distance of what is decoded from the means, and from samples.
    curve : list of tuple
        Dimensions kept (those of the greatest divergence, the others 0), their kbps, mel distance by the means.
    prior_dbfs, prior_speech_band : float
        Level of ten seconds of the sampled prior (root mean square), and the share of its energy from 100 Hz to 8 kHz.
    """

    bits: list[float]
    active: int
    kbps: float
    mean_db: float
    sampled_db: float
    curve: list[tuple[int, float, float]]
    prior_dbfs: float
    prior_speech_band: float

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return asdict(self)


def measure(vae: Autoencoder, recordings: Sequence[Floats], rng: np.random.Generator) -> Portrait:
    """Measure a VAE on recordings at its rate."""
    gaussians = [vae.encode(audio) for audio in recordings]
    hops = np.array([len(one.mean) for one in gaussians])
    bits = np.average([one.divergence_bits() for one in gaussians], axis=0, weights=hops)
    order = np.argsort(bits)[::-1]
    counts = np.unique(np.geomspace(1, vae.size, POINTS).round().astype(int))
    curve = []
    for count in counts.tolist():
        keep = np.isin(np.arange(vae.size), order[:count])
        distance = _distortion(vae, recordings, [np.where(keep, one.mean, 0).astype(np.float32) for one in gaussians])
        curve.append((count, float(1e-3 * bits[keep].sum() * vae.hops_per_second), distance))
    prior = sample_prior(vae, PRIOR_S, rng)
    power = np.square(np.abs(np.fft.rfft(prior.astype(np.float64))))
    frequencies = np.fft.rfftfreq(len(prior), 1 / vae.sample_rate)
    band = (frequencies >= SPEECH_BAND_HZ[0]) & (frequencies <= SPEECH_BAND_HZ[1])
    return Portrait(
        bits=bits[order].tolist(),
        active=int(np.sum(bits > ACTIVE_BITS)),
        kbps=float(1e-3 * bits.sum() * vae.hops_per_second),
        mean_db=curve[-1][2],
        sampled_db=_distortion(vae, recordings, [one.draw(rng) for one in gaussians]),
        curve=curve,
        prior_dbfs=float(10 * np.log10(max(float(np.mean(np.square(prior, dtype=np.float64))), 1e-20))),
        prior_speech_band=float(power[band].sum() / max(float(power.sum()), 1e-20)),
    )


def sample_prior(vae: Autoencoder, seconds: float, rng: np.random.Generator) -> Floats:
    """Decode independent standard normal latents as they are: what the model takes for likely, at its own level."""
    samples = round(seconds * vae.sample_rate)
    hops = -(-(samples + vae.delay) // vae.hop)
    return vae.decode(rng.standard_normal((hops, vae.size), np.float32), samples)


def draw(portrait: Portrait, vae: Autoencoder, speech: Floats, prior: Floats) -> bytes:
    """Draw divergences, rate against distortion, and the spectra of speech, reconstruction and prior, as PNG."""
    figure = require("matplotlib.figure").Figure(figsize=(13, 4), layout="constrained")
    dimensions, curve, spectra = figure.subplots(1, 3)
    dimensions.bar(np.arange(vae.size), portrait.bits, width=1.0)
    dimensions.set(xlabel="dimension, by divergence", ylabel="divergence, bits a hop")
    dimensions.set_title(f"{portrait.active} of {vae.size} dimensions in use, {portrait.kbps:.1f} kbps together")
    rates, distances = [point[1] for point in portrait.curve], [point[2] for point in portrait.curve]
    curve.plot(rates, distances, "o-", label="means of the strongest dimensions")
    for count, rate, distance in portrait.curve:
        curve.annotate(str(count), (rate, distance), xytext=(4, 4), textcoords="offset points", fontsize=8)
    curve.plot(portrait.kbps, portrait.sampled_db, "s", label="a sample of all")
    curve.set(xlabel="rate (divergence), kbps", ylabel="mel distance, dB", title="rate and distortion", ylim=(0, None))
    curve.legend()
    decoded = vae.decode(vae.encode(speech).mean, len(speech))
    for name, audio in (("speech", speech), ("by the means", decoded), ("sampled prior", prior)):
        frequencies, level = _spectrum(audio, vae.sample_rate)
        spectra.plot(frequencies / 1e3, level, label=name, linewidth=1)
    spectra.set(xlabel="kHz", ylabel="dB", title="long-term spectra", xlim=(0, vae.sample_rate / 2e3))
    spectra.legend()
    for panel in (dimensions, curve, spectra):
        panel.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _distortion(vae: Autoencoder, recordings: Sequence[Floats], latents: Sequence[Floats]) -> float:
    distances = []
    for audio, latent in zip(recordings, latents, strict=True):
        pair = (resample(x, vae.sample_rate, SAMPLE_RATE) for x in (audio, vae.decode(latent, len(audio))))
        distance = mel_distance_db(*pair)
        if distance is not None:
            distances.append(distance)
    return float(np.mean(distances)) if distances else float("nan")


def _spectrum(audio: Floats, rate: int) -> tuple[np.ndarray, np.ndarray]:
    size = 512
    padded = np.pad(audio.astype(np.float64), (0, max(0, size - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2] * np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(frames))).mean(axis=0)
    return np.fft.rfftfreq(size, 1 / rate), 10 * np.log10(power + 1e-12)
