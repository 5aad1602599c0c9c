"""Measures of an evaluation as terms of a loss, differentiable: SI-SDR, ESTOI and DNSMOS OVRL.

A network that was trained on a measure has learnt to please it; of such a model the measure alone proves nothing. The
export therefore names these terms in the model file, and ``rtae eval`` names them in its report.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rtae.dnsmos import SAMPLE_RATE as OPINION_RATE
from rtae.dnsmos import model_path
from rtae.errors import ParameterError
from rtae.train.config import LossConfig
from rtae.train.opinion import BEST, LEVEL, overall_opinion

LIMIT_DB = 30.0
"""SI-SDR beyond it is not worth a gradient: clean examples would outweigh the others."""
ESTOI_RATE = 10_000
FRAME, TRANSFORM, SEGMENT = 256, 512, 30
BANDS, LOWEST_HZ = 15, 150.0
RANGE_DB = 40.0
TINY, TINIER = 1e-11, 1e-21


def trained_on(config: LossConfig) -> list[str]:
    """Return the names of the measures that ``config`` trains on, as ``rtae eval`` calls them.

    Of DNSMOS all three: SIG and BAK are read off the same network as OVRL.
    """
    measures = [
        ("SI-SDR", config.si_sdr_weight),
        ("ESTOI", config.estoi_weight),
        ("SIG", config.dnsmos_weight),
        ("BAK", config.dnsmos_weight),
        ("OVRL", config.dnsmos_weight),
    ]
    return [name for name, weight in measures if weight > 0]


def require_measures(config: LossConfig) -> None:
    """Raise what stands against the measures that ``config`` trains on.

    Raises
    ------
    MissingDependencyError
        If a measure needs a package that is not installed.
    ParameterError
        If ``dnsmos_every`` is not a count.
    """
    if config.dnsmos_every < 1:
        raise ParameterError(f"loss.dnsmos_every must be at least 1, found {config.dnsmos_every}")
    if config.dnsmos_weight > 0:
        model_path()


def si_sdr_db(estimate: Tensor, clean: Tensor, limit_db: float = math.inf) -> Tensor:
    """Return (batch,): the scale-invariant signal-to-distortion ratio (Le Roux et al. 2019) in dB.

    Parameters
    ----------
    estimate, clean : Tensor, (batch, samples)
        Aligned; the mean is not removed, and ``clean`` must not be silent.
    limit_db : float
        What a perfect estimate gets, approached softly (Wisdom et al., "Unsupervised sound separation using mixture
        invariant training", 2020). A silent one gets about -100.
    """
    scale = (estimate * clean).sum(dim=1, keepdim=True) / clean.square().sum(dim=1, keepdim=True)
    target = scale * clean
    signal, distortion = (part.square().sum(dim=1) for part in (target, estimate - target))
    return 10 * torch.log10((signal + TINIER) / (distortion + 10 ** (-limit_db / 10) * signal + TINY))


def estoi(estimate: Tensor, clean: Tensor, sample_rate: int) -> Tensor | None:
    """Return the extended short-time objective intelligibility of one recording, a scalar up to 1.

    Third-octave envelopes at 10 kHz without silent frames, in pieces of 384 ms whose rows and then columns are
    normalised, and the mean of their correlation (Jensen and Taal, "An algorithm for predicting the intelligibility of
    speech masked by modulated noise maskers", 2016).

    Parameters
    ----------
    estimate, clean : Tensor, (samples,)
        Aligned.
    sample_rate : int
        Rate of both in hertz.

    Returns
    -------
    Tensor or None
        None with less than 384 ms of speech.
    """
    signals = resampled(torch.stack([clean, estimate]), sample_rate, ESTOI_RATE)
    signals = signals / (signals[0].square().mean() + TINIER).sqrt()
    window = torch.hann_window(FRAME + 2, periodic=False, device=clean.device)[1:-1]
    # as in the reference implementation, no frame ends at the very last sample
    frames = signals[:, :-1].unfold(1, FRAME, FRAME // 2) * window
    energies_db = 20 * torch.log10(frames[0].norm(dim=1) + TINY)
    frames = frames[:, energies_db > energies_db.max() - RANGE_DB]
    if frames.shape[1] < SEGMENT + 1:
        return None
    joined = _overlap_add(frames)
    spectra = torch.fft.rfft(joined[:, :-1].unfold(1, FRAME, FRAME // 2) * window, TRANSFORM)
    power = torch.view_as_real(spectra).square().sum(dim=-1)
    envelopes = (power @ third_octaves(clean.device) + TINY).sqrt()
    pieces = envelopes.unfold(1, SEGMENT, 1)  # (2, pieces, bands, frames)
    normal = _normalised(_normalised(pieces, 3), 2)
    return (normal[0] * normal[1]).sum(dim=(1, 2)).mean() / SEGMENT


def _normalised(x: Tensor, dim: int) -> Tensor:
    x = x - x.mean(dim=dim, keepdim=True)
    return x * (x.square().sum(dim=dim, keepdim=True) + TINIER).rsqrt()


def _overlap_add(frames: Tensor) -> Tensor:
    """Return (signals, samples) of half-overlapping ``frames`` (signals, frames, FRAME)."""
    first, second = frames.chunk(2, dim=2)
    nothing = torch.zeros_like(first[:, :1])
    return (torch.cat([first, nothing], dim=1) + torch.cat([nothing, second], dim=1)).flatten(1)


def third_octaves(device: torch.device) -> Tensor:
    """Return (TRANSFORM / 2 + 1, BANDS): 1 where a bin belongs to a third of an octave, edges on the nearest bin."""
    centres = LOWEST_HZ * 2 ** (torch.arange(BANDS, device=device) / 3)
    edges = [torch.round(centres * 2 ** (side / 6) * TRANSFORM / ESTOI_RATE) for side in (-1, 1)]
    bins = torch.arange(TRANSFORM // 2 + 1, device=device).unsqueeze(1)
    return ((bins >= edges[0]) & (bins < edges[1])).float()


def resampled(audio: Tensor, sample_rate: int, wanted: int) -> Tensor:
    """Return ``audio`` (signals, samples) at another rate, by cutting or extending its spectrum.

    Up to 1 / gcd of both rates is left out at the end, so that the new length is a whole number.
    """
    if sample_rate == wanted:
        return audio
    step = sample_rate // math.gcd(sample_rate, wanted)
    length = audio.shape[1] // step * step
    count = length // step * (wanted // math.gcd(sample_rate, wanted))
    spectrum = torch.fft.rfft(audio[:, :length])[:, : count // 2 + 1]
    return torch.fft.irfft(spectrum, count) * (count / length)


def metric_terms(
    estimate: Tensor, clean: Tensor, sample_rate: int, config: LossConfig, noisy: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the weighted terms ``si_sdr``, ``estoi`` and ``dnsmos`` that ``config`` asks for.

    Examples for which a measure is not defined (no speech, too little of it) add nothing; the sums are divided by all
    examples, so that two processes with half of a batch each have the gradient of one with the whole (with
    ``dnsmos_every``, if the half is a multiple of it).

    Parameters
    ----------
    estimate, clean : Tensor, (batch, samples)
        Aligned, at the level of the mixture.
    sample_rate : int
        Rate of both in hertz.
    config : LossConfig
    noisy : Tensor, optional
        What a denoiser was given, aligned and at the same level. Where it is clean, no opinion is asked for: clean
        speech is to come out as it went in, whatever is thought of it.
    """
    terms: dict[str, Tensor] = {}
    speaking = [row for row in range(len(clean)) if clean[row].square().mean() > 1e-6]
    nothing = estimate.sum() * 0.0
    if config.si_sdr_weight > 0:
        distance = (LIMIT_DB - si_sdr_db(estimate[speaking], clean[speaking], LIMIT_DB)) / LIMIT_DB
        terms["si_sdr"] = config.si_sdr_weight * distance.sum() / len(clean)
    if config.estoi_weight > 0:
        scores = (estoi(estimate[row], clean[row], sample_rate) for row in speaking)
        misses = [1 - score for score in scores if score is not None]
        terms["estoi"] = config.estoi_weight * torch.stack([nothing, *misses]).sum() / len(clean)
    if config.dnsmos_weight > 0:
        judged = [row for row in speaking if row % config.dnsmos_every == 0]
        disturbed = [row for row in judged if noisy is None or (noisy[row] - clean[row]).square().mean() > 1e-6]
        misses = []
        if disturbed:
            heard = resampled(estimate[disturbed] * LEVEL, sample_rate, OPINION_RATE)
            misses.append(BEST - overall_opinion(heard))
        weight = config.dnsmos_weight * config.dnsmos_every
        terms["dnsmos"] = weight * torch.cat([nothing[None], *misses]).sum() / len(clean)
    return terms
