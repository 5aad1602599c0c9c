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
        rows, size, width = latent.shape[0], 2**self.bits, 1
        first = torch.arange(rows, device=latent.device).unsqueeze(1)
        # (rows * width, self.size + 1): the one at the end meets the codes' energies in the product with a codebook and
        # adds the same to the error of every candidate
        residual = F.pad(latent, (0, 1), value=1.0)
        energy = residual.square().sum(dim=1, keepdim=True)
        errors = torch.zeros_like(energy)
        found = first[:, :0]
        for stage in range(self.stages):
            codebook = self.codebooks[stage]
            scores = torch.cat([-2 * codebook, codebook.square().sum(dim=1, keepdim=True)], dim=1)
            # of the stages to come, each is guessed to leave half of this error
            weight = 1 + 0.5 * (self.stages - 1 - stage)
            rank = torch.addmm(errors / weight + energy, residual, scores.t()).reshape(rows, width * size)
            best = torch.topk(rank, min(CANDIDATES, width * size), dim=1, largest=False, sorted=False).indices
            code = (best & (size - 1)).flatten()
            # looked up, which is cheaper in ONNX than to divide
            parent = torch.arange(width, device=latent.device).repeat_interleave(size)[best]
            parent = (first * width + parent).flatten()
            width = best.shape[1]
            residual = F.embedding(parent, residual) - F.embedding(code, F.pad(codebook, (0, 1)))
            energy = residual.square().sum(dim=1, keepdim=True)
            errors = F.embedding(parent, errors) + energy
            found = torch.cat([F.embedding(parent, found), code.unsqueeze(1)], dim=1)
        place = errors.reshape(rows, width).argmin(dim=1) + first.squeeze(1) * width
        return F.embedding(place, found)

    def latent(self, codes: Tensor) -> Tensor:
        """Return the latent (rows, size) of ``codes`` (rows, stages); a stage of code -1 adds nothing."""
        sent = (codes >= 0).to(self.codebooks.dtype).unsqueeze(2)
        rows = codes.clamp_min(0) + torch.arange(self.stages, device=codes.device) * 2**self.bits
        return (F.embedding(rows, self.codebooks.flatten(0, 1)) * sent).sum(dim=1)

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
