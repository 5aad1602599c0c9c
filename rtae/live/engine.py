"""The engine of a live stream: callback -> ring -> worker -> ring -> callback, at a latency that is a constant.

The callback writes input block `n` and plays output block ``n - headroom``; the worker makes output block `n` from
input block `n` in between. When an output block is missing at its time, the callback plays the input instead, delayed
by exactly as much, joined without a step; what arrives too late is never looked at.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rtae.errors import ParameterError
from rtae.live.backend import Audio
from rtae.live.board import LISTEN, Board
from rtae.live.channels import ChannelMix, spread
from rtae.live.ladder import Ladder
from rtae.live.tagged import TaggedRing
from rtae.processor import DelayLine

if TYPE_CHECKING:
    from rtae.processor import Processor

FADE_S = 0.002
"""Length of a cross-fade between processed and dry, in seconds (one block at most)."""

HISTORY_S = 0.5
"""Audio kept beyond what the engine itself needs, for views and recorders, in seconds."""

CATCH_UP_S = 0.02
"""How far behind its deadline the worker may be and still catch up hop by hop; beyond, it skips to the newest block."""

LOUDEST = 100.0
"""Input beyond this, 40 dB over full scale, is memory a sound system never filled, or no number: it becomes silence."""

_POLL_S = 0.1
_LOAD_MEMORY_S = 0.5
_PROCESSED, _DRY, _REMOVED = range(len(LISTEN))


@dataclass(frozen=True)
class Plan:
    """Shape of a running engine.

    Attributes
    ----------
    sample_rate, block : int
        Hertz, and samples a block.
    input_channels, channels, output_channels : int
        Channels of the input device, the processor and the output device.
    headroom_blocks : int
        Blocks between handing in an input block and playing its output: the time the worker has, at least 1.
    hop : float
        Samples the processor advances by per hop, at `sample_rate`; the unit of the hop times.
    """

    sample_rate: int
    block: int
    input_channels: int
    channels: int
    output_channels: int
    headroom_blocks: int
    hop: float


class Engine:
    """Runs processors between an audio callback and a worker thread, one at a time.

    Parameters
    ----------
    processors : sequence of Processor
        The one to run and lighter ones to fall back on, best first, made for ``plan.sample_rate`` and
        ``plan.channels``. Only the worker touches them while the engine runs. The delay of all is that of the slowest.
    plan : Plan
        Sizes and rates.
    board : Board
        Parameters it follows, and counters and meters it writes.
    memory : writable buffer, optional
        Where the rings live, of at least twice :meth:`TaggedRing.size`; new memory if left out.
    """

    def __init__(
        self, processors: Sequence[Processor], plan: Plan, board: Board, memory: memoryview | None = None
    ) -> None:
        self._delay = max(processor.delay for processor in processors)
        self._rungs = [_Rung(processor, self._delay, plan) for processor in processors]
        self.plan = plan
        self.board = board
        self.failure = self.ended = self.gone = ""
        self._lag = plan.headroom_blocks * plan.block + self._delay
        slots = math.ceil((self._lag + HISTORY_S * plan.sample_rate) / plan.block) + 2
        self.heard, self.made = ring_pair(slots, plan.block, plan.channels, memory)
        self._player = _Player(self.heard, self.made, plan, self._lag)
        self._mix = ChannelMix(plan.input_channels, plan.channels, plan.sample_rate / plan.block)
        self._size = np.zeros((plan.block, plan.channels), np.float32)
        self._bad = np.zeros((plan.block, plan.channels), np.bool_)
        # A binary semaphore: releasing it never waits, so the callback may.
        self._wake = threading.Lock()
        self._caught_up = threading.Lock()
        self._running = False
        self._thread: threading.Thread | None = None

    @property
    def latency_samples(self) -> int:
        """Samples by which the output lags the input, from callback to callback: headroom + processor delay."""
        return self._lag

    def start(self) -> None:
        """Reset everything and start the worker."""
        for rung in self._rungs:
            rung.reset()
        self.board.clear()
        self.heard.clear()
        self.made.clear()
        self._player.clear()
        self.failure = self.ended = self.gone = ""
        self._running = True
        self._thread = threading.Thread(target=self._work, name="rtae-worker", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Stop the worker; return False if it is stuck inside the processor."""
        self._running = False
        _signal(self._wake)
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        stuck = self._thread.is_alive()
        self._thread = None
        return not stuck

    def callback(self, indata: Audio, outdata: Audio, xruns: int) -> None:
        """Move one block in and one out; see :class:`rtae.live.backend.BlockHandler`."""
        board = self.board
        try:
            number = int(board.blocks[0])
            slot = self.heard.slot(number)
            self._mix.apply(indata, slot)
            np.abs(slot, out=self._size)
            np.less_equal(self._size, LOUDEST, out=self._bad)
            np.logical_not(self._bad, out=self._bad)
            np.copyto(slot, 0.0, where=self._bad)
            self.heard.publish(number)
            board.blocks[0] = number + 1
            _signal(self._wake)
            if xruns:
                board.xruns[0] += xruns
            on_dry = self._player.play(number, int(board.listen[0]), outdata)
            board.on_dry[0] = on_dry
            if on_dry and not self.made.waived(number - self.plan.headroom_blocks):
                board.late[0] += 1
        except Exception:  # an exception must not cross into the sound system; the stream shows the count
            outdata.fill(0.0)
            board.callback_errors[0] += 1

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until every block handed in is processed; see :class:`rtae.live.backend.BlockHandler`."""
        deadline = time.monotonic() + timeout_s
        while self.board.processed[0] < self.board.blocks[0]:
            if time.monotonic() > deadline or not self._running:
                return False
            self._caught_up.acquire(timeout=_POLL_S)
        return True

    def finished(self, reason: str) -> None:
        """Take note that no further callback comes."""
        self.ended = reason

    def lost(self, reason: str) -> None:
        """Take note that the device is gone."""
        self.gone = reason

    def _work(self) -> None:
        board, plan = self.board, self.plan
        backlog = plan.headroom_blocks + math.ceil(CATCH_UP_S * plan.sample_rate / plan.block)
        meter = _Meter(board, plan)
        ladder = Ladder(len(self._rungs), plan.sample_rate / plan.block)
        refill = math.ceil(self._delay / plan.block)
        settle = 0
        number = 0
        while self._running:
            if number >= board.blocks[0]:
                _signal(self._caught_up)
                self._wake.acquire(timeout=_POLL_S)
                continue
            behind = int(board.blocks[0]) - number
            if behind > backlog:
                # What the processor still holds is from before the gap: not to be heard at the positions after it.
                settle = refill
                board.skipped[0] += behind - 1
                number += behind - 1
            ladder.choose(int(board.model[0]))
            if ladder.level != board.level[0]:
                board.level[0] = ladder.level
                settle = refill
                if ladder.level < len(self._rungs):
                    self._rungs[ladder.level].reset()
            heard, made = self.heard.slot(number), self.made.slot(number)
            spent_s = 0.0
            if ladder.level == len(self._rungs):
                self.made.waive(number)
                made = heard
            else:
                try:
                    spent_s = self._rungs[ladder.level].make(heard, made, board.limit_db, int(board.mode[0]))
                except Exception as error:  # any processor may be plugged in; the stream goes on without it
                    self.failure = f"{type(error).__name__}: {error}"
                    board.failures[0] += 1
                    ladder.ban()
                    settle = max(settle, 1)
                if settle:
                    settle -= 1
                    self.made.waive(number)
                else:
                    self.made.publish(number)
            meter.block(heard, made, spent_s)
            self._mix.judge()
            ladder.observe(int(board.late[0]), spent_s * plan.sample_rate / plan.block)
            number += 1
            board.processed[0] = number


class _Rung:
    """A processor of the ladder, brought to the common delay."""

    def __init__(self, processor: Processor, delay: int, plan: Plan) -> None:
        self._processor = processor
        self._line = None
        if delay > processor.delay:
            self._line = DelayLine(delay - processor.delay, plan.channels, plan.block)

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._processor.reset()
        if self._line is not None:
            self._line.reset()

    def make(self, heard: Audio, made: Audio, limit_db: float | None, mode: int) -> float:
        """Process one block and return the seconds it took."""
        processor = self._processor
        if getattr(processor, "attenuation_limit_db", limit_db) != limit_db:
            processor.attenuation_limit_db = limit_db  # type: ignore[attr-defined]
        if getattr(processor, "mode_index", mode) != mode:
            processor.mode_index = mode  # type: ignore[attr-defined]
        began = time.perf_counter()
        processor.process(heard, out=made)
        if self._line is not None:
            self._line.process(made, made)
        return time.perf_counter() - began


class _Player:
    """The output side of the callback: chooses what is heard and joins it without a step."""

    def __init__(self, heard: TaggedRing, made: TaggedRing, plan: Plan, lag: int) -> None:
        self._heard, self._made, self._plan, self._lag = heard, made, plan, lag
        shape = (plan.block, plan.channels)
        self._new = np.zeros(shape, np.float32)
        self._old = np.zeros(shape, np.float32)
        self._dry = np.zeros(shape, np.float32)
        self._before = np.zeros((1, plan.channels), np.float32)
        self._last = np.zeros((1, plan.channels), np.float32)
        count = max(1, min(plan.block, round(FADE_S * plan.sample_rate)))
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
        self._rise: npt.NDArray[np.float32] = ramp.astype(np.float32)[:, None]
        self._fall: npt.NDArray[np.float32] = (1.0 - ramp).astype(np.float32)[:, None]
        self._fade = np.zeros((count, plan.channels), np.float32)
        self.clear()

    def clear(self) -> None:
        """Forget the past."""
        self._source = _PROCESSED
        self._last[:] = 0.0

    def play(self, number: int, listen: int, outdata: Audio) -> bool:
        """Fill `outdata` at input block `number`; return whether it is dry because no block was there."""
        due = number - self._plan.headroom_blocks
        if due < 0:
            outdata.fill(0.0)
            return False
        present = self._made.holds(due)
        source = listen if present or listen == _DRY else _DRY
        start = number * self._plan.block - self._lag
        new, fade = self._new, self._fade
        self._render(source, due, start, new)
        if source != self._source:
            head = new[: len(fade)]
            if present or self._source == _DRY:
                self._render(self._source, due, start, self._old)
                np.subtract(self._old[: len(fade)], head, out=fade)
            else:
                # The old signal ends here: carry the step at the joint away instead of fading to nothing.
                self._heard.copy_span(start - 1, self._before)
                np.subtract(self._last, self._before, out=self._before)
                fade[:] = self._before
            np.multiply(fade, self._fall, out=fade)
            np.add(head, fade, out=head)
            self._source = source
        self._last[:] = new[-1:]
        spread(new, outdata)
        return not present

    def _render(self, source: int, due: int, start: int, out: Audio) -> None:
        if source == _PROCESSED:
            out[:] = self._made.slot(due)
            return
        self._heard.copy_span(start, out)
        if source == _REMOVED:
            np.subtract(out, self._made.slot(due), out=out)


class _Meter:
    """Levels, load and hop times of the worker, written to the board."""

    def __init__(self, board: Board, plan: Plan) -> None:
        self._board = board
        self._plan = plan
        self._period_s = plan.block / plan.sample_rate
        self._share = min(1.0, self._period_s / _LOAD_MEMORY_S)
        self._position = 0
        self._spent_s = 0.0

    def block(self, heard: Audio, made: Audio, seconds: float) -> None:
        """Take one processed block and the time it took."""
        board, share = self._board, self._share
        self._follow(board.load, seconds / self._period_s, share)
        self._follow(board.power_in, float(np.vdot(heard, heard)) / heard.size, share)
        self._follow(board.power_out, float(np.vdot(made, made)) / made.size, share)
        if max(float(heard.max()), -float(heard.min())) >= 1.0:
            board.clipped[0] += 1
        if not seconds:
            return
        # Blocks shorter than a hop mostly wait: their time counts with the hop they complete.
        self._spent_s += seconds
        before = int(self._position / self._plan.hop)
        self._position += len(heard)
        hops = int(self._position / self._plan.hop) - before
        if hops:
            board.record_hop(1e6 * self._spent_s / hops, hops)
            self._spent_s = 0.0

    @staticmethod
    def _follow(field: npt.NDArray[np.float64], value: float, share: float) -> None:
        # What a processor makes may have no power that fits a number: it must not stay for ever.
        if math.isfinite(value):
            field[0] += share * (value - field[0])


def ring_pair(slots: int, block: int, channels: int, memory: memoryview | None = None) -> tuple[TaggedRing, TaggedRing]:
    """Return the rings of input and output blocks, one behind the other in `memory`.

    Raises
    ------
    ParameterError
        If the memory is too small.
    """
    size = TaggedRing.size(slots, block, channels)
    if memory is None:
        memory = memoryview(bytearray(2 * size))
    if len(memory) < 2 * size:
        raise ParameterError(
            f"live stream of {channels} channels in blocks of {block} needs {2 * size} bytes of shared memory, there "
            f"are {len(memory)}; choose fewer channels, a lower rate or a lower latency"
        )
    return TaggedRing(slots, block, channels, memory[:size]), TaggedRing(slots, block, channels, memory[size:])


def _signal(semaphore: threading.Lock) -> None:
    """Raise a binary semaphore (an unlocked lock is a raised one); never waits."""
    if semaphore.locked():
        try:
            semaphore.release()
        except RuntimeError:  # another thread raised it in between
            return
