"""Training of heads on features that were computed once, and what they then get right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from rtae.train.heads import Head, HeadConfig

LEAD = 15
"""Most frames of another example before one, in training: a stream does not begin with the word."""


@dataclass(frozen=True)
class Examples:
    """Sounds of one length with their classes.

    Attributes
    ----------
    features : ndarray, shape (examples, variants, frames, features)
        Several versions of each: clean, in noise, denoised. One is drawn at a time.
    labels : ndarray of int, shape (examples,)
        Class of each.
    """

    features: np.ndarray
    labels: np.ndarray


def train_head(
    config: HeadConfig, examples: Examples, classes: int, *, seed: int, crop: int | None = None, level: float = 0.0
) -> Head:
    """Train a head.

    Parameters
    ----------
    config : HeadConfig
        Kind, size and schedule.
    examples : Examples
        What it learns from.
    classes : int
        Number of classes.
    seed : int
        Seed of the weights and of the drawing.
    crop : int, optional
        Frames of an example that are looked at in a step; all by default.
    level : float, optional
        Standard deviation of a number added to all features of an example: of a logarithmic level, loudness at random.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    features, labels = examples.features, examples.labels
    head = Head(config, features.shape[3], classes)
    head.normalise(features[:: max(1, len(features) // 200)])
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, config.steps, pct_start=0.2)
    frames = features.shape[2]
    for _ in range(config.steps):
        chosen = rng.integers(len(features), size=config.batch)
        batch = features[chosen, rng.integers(features.shape[1], size=config.batch)]
        if crop is not None:
            start = int(rng.integers(frames - crop + 1))
            batch = batch[:, start : start + crop]
        lead = int(rng.integers(LEAD + 1))
        before = features[rng.integers(len(features), size=config.batch), 0, frames - lead :]
        x = torch.from_numpy(np.concatenate([before, batch], axis=1).transpose(1, 0, 2).copy())
        if level:
            x += torch.from_numpy(rng.normal(0, level, (1, config.batch, 1)).astype(np.float32))
        logits = head(x, head.initial_state(config.batch))[0][lead:].mean(dim=0)
        target = torch.from_numpy(labels[chosen])
        loss = F.cross_entropy(logits, target, label_smoothing=config.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return head.eval()


def predictions(head: Head, features: np.ndarray) -> np.ndarray:
    """Return the most likely class of each example, of features (examples, frames, features)."""
    with torch.no_grad():
        x = torch.from_numpy(features.transpose(1, 0, 2).copy())
        return np.asarray(head(x, head.initial_state(len(features)))[0].mean(dim=0).argmax(dim=1))


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return how often each class (row) was taken for each (column)."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def macro_f1(matrix: np.ndarray) -> float:
    """Return the mean over the classes of the F1 of a confusion matrix."""
    hits = np.diag(matrix)
    return float(np.mean(2 * hits / np.maximum(matrix.sum(axis=0) + matrix.sum(axis=1), 1)))
