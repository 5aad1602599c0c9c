"""Bottlenecks of the codec: residual vector quantisation, and the Gaussian of the variational twin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtae.errors import ParameterError
from rtae.train.distributed import own_part, summed, world_size

CANDIDATES = 8
"""Sequences of codes that are followed when a latent is coded."""
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
    learning", 2017), start from k-means, and codes that fall out of use are put on random residuals (Zeghidour et al.,
    "SoundStream", 2021). In training every example is decoded from a random number of stages, so that one model serves
    every bit rate. For ``continuous_steps`` steps latents pass as they are: only a network that has learnt to say
    something makes latents worth to start codebooks from.
    """

    def __init__(self, size: int, stages: int, bits: int, decay: float, continuous_steps: int = 0) -> None:
        super().__init__()
        if not 1 <= bits <= 16 or stages < 1:
            raise ParameterError(f"codec.stages = {stages}, codec.bits = {bits}: need at least 1 stage of 1 to 16 bits")
        self.size, self.stages, self.bits, self.decay = size, stages, bits, decay
        self.continuous_steps = continuous_steps
        self.learns = True
        codes = 2**bits
        self.codebooks = nn.Buffer(torch.zeros(stages, codes, size))
        self.counts = nn.Buffer(torch.ones(stages, codes))
        self.draws = nn.Buffer(torch.zeros((), dtype=torch.int64))

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise ``latent`` (time, batch, size).

        Returns the quantised latent, through which the gradient passes unchanged, and the commitment: the mean square
        distance of every stage's input from its code. Before the codebooks start, that is the latent itself and no
        commitment; infinity outside of training, lest the weights of such a step be taken for the best.
        """
        time, batch, size = latent.shape
        if self.draws < self.continuous_steps:
            if self.training:
                self.draws.add_(1)
            return latent, latent.new_full((), 0.0 if self.training else math.inf)
        rows = latent.reshape(-1, size)
        kept = torch.full((batch,), self.stages, device=latent.device)
        generator = None
        if self.training:
            generator = _seeded(latent, self.draws)
            self.draws.add_(1)
            every = batch * world_size()
            kept = own_part(torch.randint(1, self.stages + 1, (every,), generator=generator, device=latent.device))
        learning = generator is not None and self.learns
        searched = None if self.training else self.codes(rows)
        residual = rows
        total = torch.zeros_like(rows)
        commitment = latent.new_zeros(())
        for stage in range(self.stages):
            codes = nearest(residual.detach(), self.codebooks[stage]) if searched is None else searched[:, stage]
            chosen = self.codebooks[stage][codes]
            commitment = commitment + (residual - chosen).square().mean() / self.stages
            sent = (stage < kept).to(rows.dtype).repeat(time).unsqueeze(1)
            total = total + chosen * sent
            if learning:
                self._learn(stage, residual.detach().view_as(latent), codes, generator)
            residual = residual - chosen
        return (rows + (total - rows).detach()).reshape(time, batch, size), commitment

    def codes(self, latent: Tensor) -> Tensor:
        """Return the codes (rows, stages) of ``latent`` (rows, size).

        The best code of one stage may leave a residual that the next ones code badly: :data:`CANDIDATES` sequences of
        codes are followed from stage to stage (LeBlanc et al., "Efficient search and design procedures for robust
        multi-stage VQ of LPC parameters for 4 kb/s speech coding", 1993). As the bit rate is chosen later, the sequence
        is taken whose errors after every stage have the smallest sum.
        """
        rows, size = latent.shape
        residual = latent.unsqueeze(1)  # (rows, candidates, size)
        energy = 0.5 * residual.square().sum(dim=2, keepdim=True)
        errors = torch.zeros_like(energy)
        parents, found = [], []
        for stage in range(self.stages):
            codebook = self.codebooks[stage]
            distance = energy - residual @ codebook.t() + 0.5 * codebook.square().sum(dim=1)
            # of the stages to come, each is guessed to leave half of this error
            rank = (errors + (1 + 0.5 * (self.stages - 1 - stage)) * distance).reshape(rows, -1)
            best = torch.topk(rank, min(CANDIDATES, rank.shape[1]), dim=1, largest=False, sorted=False).indices
            parent = torch.div(best, codebook.shape[0], rounding_mode="trunc")
            code = best - parent * codebook.shape[0]
            energy = distance.reshape(rows, -1).gather(1, best).unsqueeze(2)
            errors = errors.squeeze(2).gather(1, parent).unsqueeze(2) + energy
            residual = residual.gather(1, parent.unsqueeze(2).expand(-1, -1, size)) - F.embedding(code, codebook)
            parents.append(parent)
            found.append(code)
        place = errors.squeeze(2).argmin(dim=1, keepdim=True)
        path = []
        for parent, code in zip(reversed(parents), reversed(found), strict=True):
            path.append(code.gather(1, place))
            place = parent.gather(1, place)
        return torch.cat(path[::-1], dim=1)

    def latent(self, codes: Tensor) -> Tensor:
        """Return the latent (rows, size) of ``codes`` (rows, stages); a stage of code -1 adds nothing."""
        parts = [
            self.codebooks[stage][codes[:, stage].clamp_min(0)] * (codes[:, stage : stage + 1] >= 0)
            for stage in range(self.stages)
        ]
        return torch.stack(parts).sum(dim=0)

    @property
    def starts(self) -> bool:
        """Whether the next step is the first with codebooks: :meth:`start` them."""
        return self.training and self.learns and int(self.draws) == self.continuous_steps

    @torch.no_grad()
    def start(self, latent: Tensor) -> None:
        """Make the codebooks by k-means of ``latent`` (time, batch, size), which should hold many rows a code."""
        generator = _seeded(latent, self.draws)
        for stage in range(self.stages):
            centres = _drawn(latent, 2**self.bits, generator)
            rows = latent.reshape(-1, self.size)
            for _ in range(KMEANS_ROUNDS):
                sums, counts = self._sums(rows, nearest(rows, centres))
                centres = torch.where(counts.unsqueeze(1) > 0, sums / counts.clamp_min(1).unsqueeze(1), centres)
            self.codebooks[stage] = centres
            self.counts[stage] = counts.mean()
            latent = latent - centres[nearest(rows, centres)].view_as(latent)

    @torch.no_grad()
    def _learn(self, stage: int, latent: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        sums, counts = self._sums(latent.reshape(-1, self.size), codes)
        old = self.counts[stage].unsqueeze(1) * self.decay
        self.counts[stage] = self.decay * self.counts[stage] + (1 - self.decay) * counts
        new = self.counts[stage].clamp_min(1e-6).unsqueeze(1)
        codebook = (self.codebooks[stage] * old + (1 - self.decay) * sums) / new
        mean = self.counts[stage].mean()
        dead = self.counts[stage] < DEAD_SHARE * mean
        elsewhere = _drawn(latent, len(dead), generator)
        self.codebooks[stage] = torch.where(dead.unsqueeze(1), elsewhere, codebook)
        self.counts[stage] = torch.where(dead, mean, self.counts[stage])

    def _sums(self, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return (codes, size) and (codes,): sum and number of the rows of each code, over all processes."""
        sums = rows.new_zeros(2**self.bits, self.size).index_add_(0, codes, rows)
        counts = torch.bincount(codes, minlength=2**self.bits).to(rows.dtype)
        return summed(sums), summed(counts)


def _drawn(latent: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Return (count, size): random rows of the ``latent`` (time, batch, size) of all processes, the same in each."""
    time, batch, _ = latent.shape
    every = batch * world_size()
    chosen = torch.randint(time * every, (count,), generator=generator, device=latent.device)
    place = chosen % every - own_part(torch.arange(every, device=latent.device))[0]
    here = (place >= 0) & (place < batch)
    rows = latent[chosen // every, place.clamp(0, batch - 1)]
    return summed(torch.where(here.unsqueeze(1), rows, torch.zeros_like(rows)))


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
        with torch.no_grad():  # start by passing the latents, little disturbed: an encoder may be a finished codec's
            self.moments.weight.copy_(torch.cat([torch.eye(size), torch.zeros(size, size)]))
            self.moments.bias.copy_(torch.cat([torch.zeros(size), torch.full((size,), -3.0)]))
        self.draws = nn.Buffer(torch.zeros((), dtype=torch.int64))

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent to decode and the divergence from the unit Gaussian.

        The divergence is in nats a frame; in training it is scaled by the warm-up, which grows from 0 to 1.
        """
        mean, log_variance = self.distribution(latent)
        divergence = self.divergence(mean, log_variance).sum(dim=-1).mean()
        if not self.training:
            return mean, divergence
        time, batch, size = mean.shape
        shape = (batch * world_size(), time, size)
        noise = own_part(torch.randn(shape, generator=_seeded(latent, self.draws), device=latent.device))
        noise = noise.transpose(0, 1)
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
