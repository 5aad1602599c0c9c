"""The training loop: draw, step, average, validate, save; resumable to the step."""

from __future__ import annotations

import copy
import ctypes
import dataclasses
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from rtae.errors import ModelFormatError, RtaeError
from rtae.train.checkpoint import load_checkpoint, save_checkpoint
from rtae.train.config import TrainConfig, parse_config
from rtae.train.distributed import World, agree, average_gradients

LAST, BEST = "last.safetensors", "best.safetensors"
PROGRESS_STEPS = 50
NARROWEST_MATRIX = 9
"""Rows and columns from which on a matrix is one to Muon: fewer hold no directions to balance."""
APART = ("discriminator.", "codec.bottleneck.")
"""Parts of a network that one stage of a training has and the next may not."""

Batch = tuple[Tensor, ...]


class Task(Protocol):
    """What is trained: a network, its examples and its loss."""

    @property
    def net(self) -> nn.Module:
        """The network."""

    @property
    def adversarial(self) -> bool:
        """Whether an adversary takes part: validation leaves its terms out, and no loss tells the best weights then."""

    def batch(self, step: int, first: int, count: int) -> Batch:
        """Return examples ``first .. first + count`` of the batch at ``step``."""

    def validation_batch(self, index: int) -> Batch:
        """Return validation batch ``index``, the same at every call."""

    def terms(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the loss ``total`` and the terms it is the sum of."""

    def show(self, net: nn.Module, log: Any, step: int) -> None:
        """Write sounds and pictures of validation examples to a TensorBoard log."""


class _Batches(Dataset[Batch]):
    """The batches of one process, by step."""

    def __init__(self, task: Task, world: World, size: int) -> None:
        self.task, self.world, self.count = task, world, size // world.size

    def __getitem__(self, step: int) -> Batch:
        return self.task.batch(step, self.world.rank * self.count, self.count)


def prepare_process(threads: int) -> None:
    """Compute on ``threads`` threads, and keep freed memory: giving it back and forth costs half of a training step."""
    torch.set_num_threads(threads)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-4, 0)  # M_MMAP_MAX
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return the rate at ``step`` of ``steps``: linear warm-up, then cosine."""
    o = config.optim
    warm = min(1.0, (step + 1) / max(1, o.warmup_steps))
    progress = min(1.0, max(0, step - o.warmup_steps) / max(1, steps - o.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return warm * (o.final_learning_rate + (o.learning_rate - o.final_learning_rate) * cosine)


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim == 2 and min(parameter.shape) >= NARROWEST_MATRIX


def _optimizers(net: nn.Module, config: TrainConfig) -> tuple[torch.optim.Optimizer, ...]:
    """Return Muon for the matrices of ``net``, AdamW for kernels, biases, gains and single rows, at rates of one scale.

    Muon: Jordan et al. 2024, with the steps matched to AdamW's as by Liu et al. ("Muon is scalable for LLM training",
    2025).
    """
    o = config.optim
    matrices = [p for p in net.parameters() if _is_matrix(p)]
    kernels = [p for p in net.parameters() if p.ndim > 1 and not _is_matrix(p)]
    groups = [
        {"params": kernels, "weight_decay": o.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=o.learning_rate, betas=(0.9, 0.99), foreach=True)
    if not matrices:
        return (adam,)
    muon = torch.optim.Muon(matrices, lr=o.learning_rate, weight_decay=o.weight_decay, adjust_lr_fn="match_rms_adamw")
    return adam, muon


def _load(net: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load ``tensors`` into ``net``; what :data:`APART` names may be on one side alone."""
    known = net.state_dict()
    apart = {key for key in known.keys() ^ tensors.keys() if key.startswith(APART)}
    kept = {key: value for key, value in tensors.items() if key not in apart}
    net.load_state_dict(kept | {key: known[key] for key in apart & known.keys()})


class Trainer:
    """Trains the network of a task.

    Parameters
    ----------
    config : TrainConfig
    task : Task
    folder : Path
        Where ``last.safetensors``, ``best.safetensors`` and the TensorBoard log go.
    world : World
        This process among those that train together.
    """

    def __init__(self, config: TrainConfig, task: Task, folder: Path, world: World) -> None:
        self.config, self.task, self.folder, self.world = config, task, folder, world
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RtaeError(f"cannot make the folder {folder} ({error.strerror}); choose another with -o") from None
        self.net = task.net.to(world.device)
        self.average = copy.deepcopy(self.net).eval()
        self.optimizers = _optimizers(self.net, config)
        self.steps = config.optim.steps
        self.step = 0
        self.examples = 0
        self.best = math.inf
        self.stale = 0
        self.loading_share = 0.0
        self.adapts = False

    @property
    def seconds(self) -> float:
        """Audio heard so far, in seconds, by all processes together."""
        return self.examples * self.config.data.segment_s

    def save(self, name: str) -> None:
        """Write a checkpoint that :meth:`resume` continues from."""
        if not self.world.leads:
            return
        tensors: dict[str, Tensor] = {f"net.{key}": value for key, value in self.net.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for key, parameter in self.net.named_parameters():
            for optimizer in self.optimizers:
                for moment, value in optimizer.state.get(parameter, {}).items():
                    tensors[f"optimizer.{moment}.{key}"] = value
        facts = {
            "config": dataclasses.asdict(self.config),
            "step": self.step,
            "examples": self.examples,
            "best": self.best if math.isfinite(self.best) else None,
            "stale": self.stale,
        }
        save_checkpoint(self.folder / name, tensors, facts)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same configuration; the schedule may differ.

        Raises
        ------
        ModelFormatError
            If the checkpoint was written with another network, data or loss; the message names what differs.
        """
        tensors, facts = load_checkpoint(path)
        ours, theirs = (dataclasses.asdict(config) for config in (self.config, parse_config(facts["config"])))
        for section in ("net", "data", "loss", "codec"):
            for key, value in (ours[section] or {}).items():
                found = (theirs[section] or {}).get(key)
                if found != value:
                    raise ModelFormatError(
                        f"{path} was trained with {section}.{key} = {found}, the config says {value}: "
                        "change the config, or start anew with another -o"
                    )
        self.load_weights(tensors)
        names = dict(self.net.named_parameters())
        owners = {p: optimizer for optimizer in self.optimizers for g in optimizer.param_groups for p in g["params"]}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, moment, key = name.split(".", 2)
                state = owners[names[key]].state[names[key]]
                state[moment] = value if moment == "step" else value.to(self.world.device)
        self.step, self.examples, self.stale = facts["step"], facts["examples"], facts["stale"]
        self.best = math.inf if facts["best"] is None else facts["best"]

    def load_weights(self, tensors: dict[str, Tensor]) -> None:
        """Take the network from a checkpoint, or from a file of averaged weights alone, and go on from there.

        An adversary, or a bottleneck of another kind, may be in only one of both: what is not there starts anew, what
        is not needed is left out.

        Raises
        ------
        ModelFormatError
            If the weights are another network's.
        """
        averaged = {k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")}
        plain = {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}
        try:
            _load(self.net, plain or averaged)
            _load(self.average, averaged)
        except RuntimeError as error:
            raise ModelFormatError(f"these weights are of another network: {str(error).splitlines()[-1]}") from None
        self.adapts = True

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Take one step on this process's part of the batch and return the loss terms."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.config, self.step, self.steps)
        self.net.train()
        self.net.zero_grad(set_to_none=True)
        terms = self.task.terms(self.net, tuple(part.to(self.world.device) for part in batch))
        terms["total"].backward()
        parameters = list(self.net.parameters())
        average_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.optim.clip_norm)
        if not torch.isfinite(norm):
            raise RtaeError(f"the gradient at step {self.step} is not finite; lower optim.learning_rate and --resume")
        for optimizer in self.optimizers:
            optimizer.step()
        self._update_average()
        self.step += 1
        self.examples += len(batch[0]) * self.world.size
        return {key: value.item() for key, value in terms.items()} | {"gradient": norm.item()}

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.optim.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)
        for kept, current in zip(self.average.buffers(), self.net.buffers(), strict=True):
            kept.copy_(current)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the mean loss terms of the averaged weights over the validation batches."""
        count = self.config.optim.validation_batches
        totals: dict[str, float] = {}
        for index in range(count):
            batch = tuple(part.to(self.world.device) for part in self.task.validation_batch(index))
            for key, value in self.task.terms(self.average, batch).items():
                totals[key] = totals.get(key, 0.0) + value.item() / count
        return totals

    def run(self, budget_minutes: float | None = None) -> None:
        """Train to the end of the schedule, of the patience or of the budget, saving on the way.

        With a budget, the schedule is shortened to what fits into it, as timed over the first steps. ``best`` is the
        checkpoint with the lowest validation loss; in an adversarial stage, where no loss says which one is best, it is
        that of the last validation.
        """
        from rtae.train.log import TrainingLog  # its import takes seconds

        o = self.config.optim
        workers = (
            max(1, (os.cpu_count() or 2) // max(1, torch.cuda.device_count()) - 1) if torch.cuda.is_available() else 0
        )
        batches = _Batches(self.task, self.world, o.batch)
        loader = iter(DataLoader(batches, None, sampler=range(self.step, o.steps), num_workers=workers))
        log: Any = TrainingLog(self.folder / "log") if self.world.leads else None
        if self.adapts and self.step == 0:
            self._validated(log)  # what is adapted may turn out to have been the best
        began = saved = time.monotonic()
        first, loading = self.step, 0.0
        running: dict[str, float] = {}
        while self.step < self.steps:
            asked = time.monotonic()
            batch = next(loader)
            loading += time.monotonic() - asked
            for key, value in self.train_step(batch).items():
                running[key] = value if key not in running else 0.98 * running[key] + 0.02 * value
            now = time.monotonic()
            self.loading_share = loading / (now - began)
            if budget_minutes is not None and self.step - first == 10:
                self.steps = agree(min(o.steps, first + max(20, int(600 * budget_minutes / (now - began)))))
            if self.world.leads and (self.step % PROGRESS_STEPS == 0 or self.step == self.steps):
                self._report(log, running, self.step - first, now - began)
            late = budget_minutes is not None and now - began > 60 * budget_minutes
            over = agree(late) or self.step == self.steps
            if self.step % o.validate_every == 0 or over:
                over = agree(self._validated(log)) or over
            if over:
                break
            if now - saved > 60 * o.checkpoint_minutes:
                self.save(LAST)
                saved = now
        self.save(LAST)
        if log is not None:
            log.close()
        agree(True)  # all leave together, when the leader has saved: a process that left before it was seen to abort

    def _report(self, log: Any, running: dict[str, float], done: int, elapsed: float) -> None:
        audio = done * self.config.optim.batch * self.config.data.segment_s
        left = (self.steps - self.step) * elapsed / done / 60
        print(
            f"step {self.step}/{self.steps}  loss {running['total']:.4f}  gradient {running['gradient']:.2f}  "
            f"{audio / elapsed:.1f} x real time  loading {100 * self.loading_share:.1f} %  {left:.0f} min left",
            flush=True,
        )
        for key, value in running.items():
            log.add_scalar(f"train/{key}", value, self.step)

    def _validated(self, log: Any) -> bool:
        """Validate, keep the best weights, and say whether the patience is at its end."""
        if not self.world.leads:
            return False
        terms = self.validate()
        print(f"step {self.step}  validation  " + "  ".join(f"{k} {v:.4f}" for k, v in terms.items()), flush=True)
        for key, value in terms.items():
            log.add_scalar(f"validation/{key}", value, self.step)
        self.task.show(self.average, log, self.step)
        if self.task.adversarial or terms["total"] < self.best:
            self.best, self.stale = terms["total"], 0
            self.save(BEST)
        else:
            self.stale += 1
        return 0 < self.config.optim.patience <= self.stale
