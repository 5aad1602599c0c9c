"""Quality, latency and time of denoisers, measured side by side.

On the command line ``rtae eval``; in a training loop

>>> from rtae.evaluate import quick_scores, read_pairs
>>> pairs = read_pairs("pairs/")                            # doctest: +SKIP
>>> quick_scores(pairs, lambda noisy: noisy)                # doctest: +SKIP
"""

from rtae.evaluate.metrics import METRICS, QUICK_METRICS, score
from rtae.evaluate.pairs import Pair, read_pairs
from rtae.evaluate.run import evaluate, quick_scores
from rtae.evaluate.systems import ModelSystem, System

__all__ = [
    "METRICS",
    "QUICK_METRICS",
    "ModelSystem",
    "Pair",
    "System",
    "evaluate",
    "quick_scores",
    "read_pairs",
    "score",
]
