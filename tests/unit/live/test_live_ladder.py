"""The overload ladder: alone, by counts, and in the engine."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from live_doubles import Gated

from rtae import shipped
from rtae.errors import ParameterError
from rtae.live import FakeBackend, LiveStream
from rtae.live.board import Board
from rtae.live.engine import Engine, Plan
from rtae.live.ladder import LONGEST_PATIENCE_S, PATIENCE_S, Ladder

RATE = 100.0
"""Blocks a second; a window is 50 blocks."""


class Driver:
    """Feeds windows of late counts to a ladder."""

    def __init__(self, rungs):
        self.ladder = Ladder(rungs, RATE)
        self.late = 0

    def window(self, late=0, load=0.1, times=1):
        for _ in range(times):
            self.late += late
            for _ in range(50):
                self.ladder.observe(self.late, load)
        return self.ladder.level

    def seconds_until(self, level, late=0):
        for halves in range(1, 2_000):
            if self.window(late) == level:
                return halves / 2
        raise AssertionError(f"level {level} was never reached")


def test_one_stall_is_no_reason_but_repeated_lateness_is():
    driver = Driver(2)
    assert driver.window(late=40) == 0
    assert driver.window(times=3) == 0
    assert driver.window(late=4, times=20) == 0
    assert driver.window(late=5) == 0
    assert driver.window() == 0
    assert driver.window(late=5) == 1


def test_the_last_step_to_dry_needs_more_than_occasional_lateness():
    driver = Driver(1)
    assert driver.window(late=24, times=20) == 0
    assert driver.window(late=25, times=2) == 1


def test_too_much_work_steps_down_before_anything_else_and_ends_at_dry():
    driver = Driver(2)
    assert driver.window(load=1.2, times=2) == 1
    assert driver.window(load=1.2, times=2) == 2
    assert driver.window(late=50, times=10) == 2


def test_calm_steps_up_and_a_step_taken_back_doubles_the_patience():
    driver = Driver(1)
    driver.window(late=25, times=2)
    waits = []
    for _ in range(9):
        waits.append(driver.seconds_until(0))
        driver.window(late=25, times=2)
    assert waits[:4] == [PATIENCE_S, 2 * PATIENCE_S, 4 * PATIENCE_S, 8 * PATIENCE_S]
    assert waits[-1] == LONGEST_PATIENCE_S
    driver.seconds_until(0)
    driver.window(times=int(2 * LONGEST_PATIENCE_S) + 1)
    driver.window(late=25, times=2)
    assert driver.seconds_until(0) == PATIENCE_S  # forgiven


def test_a_rung_that_failed_is_never_taken_again():
    driver = Driver(3)
    driver.ladder.ban()
    assert driver.ladder.level == 1
    driver.window(late=5, times=2)
    assert driver.ladder.level == 2
    assert driver.seconds_until(1) == PATIENCE_S
    assert driver.window(times=1_000) == 1


def test_the_user_may_choose_a_lower_top():
    driver = Driver(3)
    driver.ladder.choose(1)
    assert driver.ladder.level == 1
    assert driver.window(times=1_000) == 1
    driver.ladder.choose(0)
    assert driver.ladder.level == 0


def test_the_engine_steps_down_and_up_without_moving_the_signal():
    heavy, light = Gated(delay=100, gain=2.0), Gated(delay=30, gain=3.0)
    board = Board()
    board.limit_db = None
    engine = Engine([heavy, light], Plan(48_000, 480, 1, 1, 1, 1, 480), board)
    backend = FakeBackend()
    print("seed 5")
    generator = np.random.default_rng(5)
    played, heard = [], []

    def step(wait=True):
        block = generator.uniform(-0.2, 0.2, (480, 1)).astype(np.float32)
        heard.append(block)
        played.append(backend.step(block, wait=wait))

    from rtae.live.backend import StreamRequest

    backend.open(StreamRequest(48_000, 480, 1))
    engine.start()
    backend.start(engine)
    try:
        levels = set()
        while not board.level[0]:
            assert board.blocks[0] < 5_000
            for index in range(25):
                if index < 6:
                    heavy.gate.clear()
                    heavy.held.clear()
                    step(wait=False)
                    assert heavy.held.wait(30.0)
                    step(wait=False)
                    heavy.gate.set()
                    assert engine.wait_idle(30.0)
                else:
                    step()
                levels.add(int(board.level[0]))
                if board.level[0]:
                    break
        for _ in range(20):
            step()
        light_from = len(played) - 10
        late = int(board.late[0])
        while board.level[0]:
            assert board.blocks[0] < 5_000
            step()
        for _ in range(20):
            step()
        heavy_from = len(played) - 10
    finally:
        backend.stop()
        engine.stop()
    assert levels == {0, 1}
    assert board.late[0] == late > 0
    out, into = np.concatenate(played), np.concatenate(heard)
    assert engine.latency_samples == 580
    delayed = np.concatenate([np.zeros((580, 1), np.float32), into])
    for start, gain in ((light_from, 3.0), (heavy_from, 2.0)):
        span = slice(480 * start, 480 * (start + 10))
        np.testing.assert_allclose(out[span], gain * delayed[span], rtol=1e-6)


def test_a_stream_names_its_models_and_lets_one_be_chosen(build):
    backend = FakeBackend()
    louder, quieter = build("gain", factor=0.5), build("gain", factor=0.25)
    with LiveStream(louder, fallbacks=[str(quieter)], backend=backend, block_size=128) as stream:
        assert stream.models == ("gain", "gain")
        for _ in range(10):
            backend.step(np.ones((128, 1), np.float32))
        first = backend.step(np.ones((128, 1), np.float32))
        stream.model_index = 1
        for _ in range(10):
            backend.step(np.ones((128, 1), np.float32))
        second = backend.step(np.ones((128, 1), np.float32))
        assert stream.stats.level == 1 and stream.stats.late == 0
        with pytest.raises(ParameterError, match="this stream has 2: gain, gain"):
            stream.model_index = 2
    assert np.allclose(first, 0.5) and np.allclose(second, 0.25)
    assert [event.kind for event in stream.events()] == ["step"]


@pytest.mark.parametrize("lighter", [(), ("denoise-lite",)])
def test_the_shipped_model_falls_back_on_the_lighter_one_that_is_shipped(monkeypatch, tmp_path, build, lighter):
    for name in ("denoise", *lighter):
        shutil.copy(build("gain", factor=0.5), tmp_path / f"{name}.onnx")
    monkeypatch.setattr(shipped, "_FOLDERS", (tmp_path,))

    def models(processor, **options):
        with LiveStream(processor, backend=FakeBackend(), block_size=128, **options) as stream:
            return len(stream.models)

    assert models("denoise") == 1 + len(lighter)
    assert models("denoise", fallbacks=()) == 1
    assert models(tmp_path / "denoise.onnx") == 1
