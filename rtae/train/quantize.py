"""Bottlenecks of the codec: residual vector quantisation, and the Gaussian of the variational twin."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rtae.errors import ParameterError

KMEANS_ROUNDS = 10
DEAD_SHARE = 0.05
"""A code drawn less often than this share of the mean is put elsewhere."""


def _seeded(like: Tensor, draws: Tensor) -> torch.Generator:
    """Return the generator of draw number ``draws``: a resumed training draws what an uninterrupted one would."""
    return torch.Generator(like.device).manual_seed(int(draws))


def nearest(rows: Tensor, codebook: Tensor) -> Tensor:
    """Return (n,): the index of the row of ``codebook`` (codes, size) closest to each of ``rows`` (n, size)."""
    return torch.argmin(0.5 * codebook.square().sum(dim=1) - rows @ codebook.t(), dim=1)


class ResidualQuantizer(nn.Module):
    """Stages of vector quantisation, each coding what the stages before it left.

    Codebooks are moving averages of what falls to each code (van den Oord et al., "Neural discrete representation
    learning", 2017), start from k-means of the first batch, and codes that fall out of use are put on random residuals
    (Zeghidour et al., "SoundStream", 2021). In training every example is decoded from a random number of stages, so
    that one model serves every bit rate.
    """

    def __init__(self, size: int, stages: int, bits: int, decay: float) -> None:
        super().__init__()
        if not 1 <= bits <= 16 or stages < 1:
            raise ParameterError(f"codec.stages = {stages}, codec.bits = {bits}: need at least 1 stage of 1 to 16 bits")
        self.size, self.stages, self.bits, self.decay = size, stages, bits, decay
        self.learns = True
        codes = 2**bits
        self.codebooks = nn.Buffer(torch.zeros(stages, codes, size))
        self.counts = nn.Buffer(torch.ones(stages, codes))
        self.draws = nn.Buffer(torch.zeros((), dtype=torch.int64))

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise ``latent`` (time, batch, size).

        Returns the quantised latent, through which the gradient passes unchanged, and the commitment: the mean square
        distance of every stage's input from its code.
        """
        time, batch, size = latent.shape
        rows = latent.reshape(-1, size)
        kept = torch.full((batch,), self.stages, device=latent.device)
        generator = None
        if self.training:
            generator = _seeded(latent, self.draws)
            self.draws.add_(1)
            kept = torch.randint(1, self.stages + 1, (batch,), generator=generator, device=latent.device)
        learning = generator is not None and self.learns
        residual = rows
        total = torch.zeros_like(rows)
        commitment = latent.new_zeros(())
        for stage in range(self.stages):
            if learning and self.draws == 1:
                self._start(stage, residual.detach(), generator)
            codes = nearest(residual.detach(), self.codebooks[stage])
            chosen = self.codebooks[stage][codes]
            commitment = commitment + (residual - chosen).square().mean() / self.stages
            sent = (stage < kept).to(rows.dtype).repeat(time).unsqueeze(1)
            total = total + chosen * sent
            if learning:
                self._learn(stage, residual.detach(), codes, generator)
            residual = residual - chosen
        return (rows + (total - rows).detach()).reshape(time, batch, size), commitment

    def codes(self, latent: Tensor) -> Tensor:
        """Return the codes (rows, stages) of ``latent`` (rows, size)."""
        found = []
        for stage in range(self.stages):
            found.append(nearest(latent, self.codebooks[stage]))
            latent = latent - self.codebooks[stage][found[-1]]
        return torch.stack(found, dim=1)

    def latent(self, codes: Tensor) -> Tensor:
        """Return the latent (rows, size) of ``codes`` (rows, stages); a stage of code -1 adds nothing."""
        parts = [
            self.codebooks[stage][codes[:, stage].clamp_min(0)] * (codes[:, stage : stage + 1] >= 0)
            for stage in range(self.stages)
        ]
        return torch.stack(parts).sum(dim=0)

    @torch.no_grad()
    def _start(self, stage: int, rows: Tensor, generator: torch.Generator | None) -> None:
        codes = 2**self.bits
        centres = rows[torch.randint(len(rows), (codes,), generator=generator, device=rows.device)]
        for _ in range(KMEANS_ROUNDS):
            sums, counts = self._sums(rows, nearest(rows, centres))
            centres = torch.where(counts.unsqueeze(1) > 0, sums / counts.clamp_min(1).unsqueeze(1), centres)
        self.codebooks[stage] = _of_the_leader(centres)
        self.counts[stage] = counts.mean()

    @torch.no_grad()
    def _learn(self, stage: int, rows: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        sums, counts = self._sums(rows, codes)
        if dist.is_initialized():
            dist.all_reduce(sums)
            dist.all_reduce(counts)
        old = self.counts[stage].unsqueeze(1) * self.decay
        self.counts[stage] = self.decay * self.counts[stage] + (1 - self.decay) * counts
        new = self.counts[stage].clamp_min(1e-6).unsqueeze(1)
        codebook = (self.codebooks[stage] * old + (1 - self.decay) * sums) / new
        mean = self.counts[stage].mean()
        dead = self.counts[stage] < DEAD_SHARE * mean
        elsewhere = rows[torch.randint(len(rows), (len(dead),), generator=generator, device=rows.device)]
        self.codebooks[stage] = torch.where(dead.unsqueeze(1), _of_the_leader(elsewhere), codebook)
        self.counts[stage] = torch.where(dead, mean, self.counts[stage])

    def _sums(self, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        sums = rows.new_zeros(2**self.bits, self.size).index_add_(0, codes, rows)
        return sums, torch.bincount(codes, minlength=2**self.bits).to(rows.dtype)


def _of_the_leader(value: Tensor) -> Tensor:
    if dist.is_initialized():
        dist.broadcast(value, 0)
    return value


def entropy_bits(codes: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return the entropy in bits and the share of codes in use, per stage, of ``codes`` (rows, stages)."""
    shares = torch.stack([torch.bincount(column, minlength=2**bits) for column in codes.t()]).float() / len(codes)
    return -torch.xlogy(shares, shares).sum(dim=1) / torch.log(torch.tensor(2.0)), (shares > 0).float().mean(dim=1)


class GaussianBottleneck(nn.Module):
    """A diagonal Gaussian in place of codes (Kingma and Welling, "Auto-encoding variational Bayes", 2014).

    Draws by reparameterisation in training and gives the mean otherwise.
    """

    def __init__(self, size: int, warmup_steps: int) -> None:
        super().__init__()
        self.warmup_steps = warmup_steps
        self.learns = True
        self.moments = nn.Linear(size, 2 * size)
        self.draws = nn.Buffer(torch.zeros((), dtype=torch.int64))

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent to decode and the divergence from the unit Gaussian.

        The divergence is in nats a frame; in training it is scaled by the warm-up, which grows from 0 to 1.
        """
        mean, log_variance = self.distribution(latent)
        divergence = self.divergence(mean, log_variance).sum(dim=-1).mean()
        if not self.training:
            return mean, divergence
        noise = torch.randn(mean.shape, generator=_seeded(latent, self.draws), device=latent.device)
        if self.learns:
            self.draws.add_(1)
        warm = min(1.0, int(self.draws) / max(1, self.warmup_steps))
        return mean + noise * torch.exp(0.5 * log_variance), warm * divergence

    def distribution(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance, of the shape of ``latent``."""
        mean, log_variance = self.moments(latent).chunk(2, dim=-1)
        return mean, log_variance.clamp(-12.0, 4.0)

    @staticmethod
    def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
        """Return the Kullback-Leibler divergence from the unit Gaussian, in nats, element by element."""
        return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
