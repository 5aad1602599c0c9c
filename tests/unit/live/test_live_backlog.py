"""A sound system that holds audio back is noticed, whatever single blocks say."""

from __future__ import annotations

import numpy as np
import pytest

from rtae.live import backlog
from rtae.live.backlog import SLACK_S, STEADY_S, Backlog

BLOCK_S = 0.005
BLOCKS = 200
"""In a window."""


@pytest.fixture
def clock(monkeypatch):
    times = [1_000.0]
    monkeypatch.setattr(backlog.time, "monotonic", lambda: times[0])
    return times


def noted(watch, held_s, blocks=BLOCKS):
    return [watch.note(held_s) for _ in range(blocks)]


def opened(watch=None):
    watch = watch or Backlog()
    watch.begin(0.03, BLOCK_S)
    return watch


def test_what_the_system_reports_is_no_backlog(clock):
    print("seed 12")
    watch = opened()
    for jitter in np.random.default_rng(12).uniform(-SLACK_S, SLACK_S, 5 * BLOCKS):
        assert not watch.note(0.03 + BLOCK_S + jitter)


def test_a_backlog_is_told_once_a_window_and_single_blocks_are_none(clock):
    watch = opened()
    assert not any(noted(watch, 0.5, BLOCKS // 2) + noted(watch, 0.03, BLOCKS // 2))
    found = noted(watch, 0.03, BLOCKS // 2 - 1) + noted(watch, 0.5, BLOCKS // 2 + 1)
    assert found == [False] * (BLOCKS - 1) + [True]
    assert watch.held_s == 0.5 and not watch.unsteady


def test_who_holds_back_again_soon_gets_more_room(clock):
    watch = opened()
    assert any(noted(watch, 0.5))
    clock[0] += STEADY_S / 2
    assert any(noted(opened(watch), 0.03 + BLOCK_S + 1.5 * SLACK_S))
    assert watch.unsteady
    # Twice the slack from now on: what was too much is not any more.
    assert not any(noted(opened(watch), 0.03 + BLOCK_S + 1.5 * SLACK_S))
    clock[0] += 2 * STEADY_S
    assert any(noted(opened(watch), 0.5))
    assert not watch.unsteady
    assert any(noted(opened(watch), 0.03 + BLOCK_S + 1.5 * SLACK_S))
