from __future__ import annotations

import numpy as np
import pytest

from rtae.evaluate.statistics import bootstrap


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    found = bootstrap(list(values), seed=0)
    assert found is not None and found.count == 400
    assert found.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(300):
        found = bootstrap(list(rng.exponential(1.0, 40)), seed=trial)
        assert found is not None
        hits += found.low <= 1.0 <= found.high
    assert 0.88 <= hits / 300 <= 0.98


def test_equal_seeds_give_equal_intervals() -> None:
    values = list(np.random.default_rng(3).normal(size=40))
    assert bootstrap(values, 7) == bootstrap(values, 7)
    assert bootstrap(values, 7) != bootstrap(values, 8)


def test_what_is_not_defined_is_left_out_and_counted() -> None:
    found = bootstrap([1.0, None, 3.0], 0)
    assert found is not None and (found.mean, found.count) == (2.0, 2)
    assert bootstrap([None, None], 0) is None
    assert bootstrap([], 0) is None


def test_one_value_has_no_spread() -> None:
    found = bootstrap([5.0], 0)
    assert found is not None and found.low == found.mean == found.high == 5.0
