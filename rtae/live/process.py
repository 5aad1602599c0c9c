"""A live stream in a process of its own, seen from the host: :class:`EngineProcess`.

Audio, parameters and meters are in shared memory, everything else goes as lines of JSON through the child's standard
input and output. A host that is busy, stopped or collecting garbage cannot touch the audio; a child that dies is
replaced once; a host that dies closes the pipe, which ends the child.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from rtae import errors
from rtae.errors import DeviceError, RtaeError
from rtae.live.board import BOARD_BYTES, Board
from rtae.live.config import StreamConfig, StreamFacts
from rtae.live.engine import ring_pair
from rtae.live.memory import SharedMemory
from rtae.live.priority import raise_priorities
from rtae.live.report import Event, Latency
from rtae.live.session import RETRY_S
from rtae.live.tagged import TaggedRing

MEMORY_BYTES = 32 << 20
"""Shared memory of a stream; only the pages in use cost anything."""

RINGS_AT = 1 << 16
"""Where the rings of audio begin in it."""

ANSWER_S = 30.0
"""Longest wait for an answer of the engine process, such as opening a device."""

LEAVE_S = 3.0
"""Time the engine process gets to close its devices."""

SILENT_S = 5.0
"""A heartbeat older than this means the process hangs."""

STEADY_S = 10.0
"""A process that ran this long before it died is replaced; one that did not would die again."""


def shared_board() -> tuple[Board, SharedMemory]:
    """Return new shared memory and the board at its start."""
    assert BOARD_BYTES <= RINGS_AT
    memory = SharedMemory(MEMORY_BYTES)
    return Board(memory.view), memory


class EngineProcess:
    """Runs a :class:`rtae.live.session.Session` in a child process.

    Parameters
    ----------
    config : StreamConfig
        What to open; the processor by name or path.
    board : Board
        The board at the start of `memory`.
    memory : SharedMemory
        From :func:`shared_board`.

    Attributes
    ----------
    facts : StreamFacts
        What was opened.
    pid : int
        Process number of the child.

    Raises
    ------
    RtaeError
        Whatever opening raised in the child.
    """

    def __init__(self, config: StreamConfig, board: Board, memory: SharedMemory) -> None:
        self._board = board
        self._memory = memory
        self._ended = False
        self._running = False
        self._child: _Child | None = None
        self._events: list[Event] = []
        try:
            self._child = _Child(config, memory)
            self.facts = self._child.open()
        except BaseException:
            self.close()
            raise
        # A replacement must be what the host was told: same block, same headroom.
        self._again = dataclasses.replace(
            config,
            sample_rate=self.facts.latency.sample_rate,
            block_size=self.facts.block_size,
            burst=self.facts.burst,
        )
        self._began = self._beat_at = time.monotonic()
        self._beat = -1
        self._restarts = 0
        self._away = False
        self._tried_at = 0.0

    @property
    def pid(self) -> int:
        """Process number of the child, 0 if there is none."""
        return 0 if self._child is None else self._child.process.pid

    @property
    def rings(self) -> tuple[TaggedRing, TaggedRing]:
        """Rings of input and output blocks, in the memory shared with the child."""
        facts = self.facts
        return ring_pair(facts.slots, facts.block_size, facts.channels, self._memory.view[RINGS_AT:])

    @property
    def ended(self) -> bool:
        """Whether the stream stopped by itself."""
        return self._ended

    def start(self) -> None:
        """Start from a fresh state; replaces a child that died meanwhile.

        Raises
        ------
        RtaeError
            Whatever starting raised in the child.
        """
        if self._child is None or not self._child.alive:
            self._replace()
        assert self._child is not None
        self._child.ask("start")
        self._ended = False
        self._running = True
        self._began = self._beat_at = time.monotonic()

    def stop(self) -> None:
        """Stop the devices and the worker; harmless if the child is gone."""
        self._running = False
        if self._child is not None and self._child.alive:
            try:
                self._child.ask("stop")
            except RtaeError:
                self._child.kill()

    def close(self) -> None:
        """End the child."""
        self._running = False
        if self._child is not None:
            self._child.close()
            self._events += self._child.events()
            self._child = None
        self._memory.close()

    def poll(self) -> list[Event]:
        """Return new events, and replace a child that died or hangs."""
        child = self._child
        events, self._events = self._events, []
        if child is None:
            return events
        events += child.events()
        self.facts = child.news or self.facts
        self._ended = self._ended or child.ended
        if not self._running or self._ended:
            return events
        now, beat = time.monotonic(), int(self._board.heartbeat[0])
        if beat != self._beat:
            self._beat, self._beat_at = beat, now
        cause = ""
        if not child.alive:
            cause = f"died (status {child.process.poll()})"
        elif now - self._beat_at > SILENT_S:
            cause = f"gave no sign of life for {SILENT_S:g} s"
        if cause and now - self._tried_at > RETRY_S:
            events += self._recover(cause, now - self._began)
        return events

    def _recover(self, cause: str, lasted_s: float) -> list[Event]:
        if self._restarts and lasted_s < STEADY_S and not self._away:
            self._ended = True
            return [Event("ended", f"the engine process {cause} again, soon after its restart")]
        self._tried_at = time.monotonic()
        try:
            self.facts = self._replace()
            self.start()
        except DeviceError:
            # Whatever took the process took the device along, such as a sound server that is being restarted.
            if self._away:
                return []
            self._away = True
            return [Event("lost", f"the engine process {cause} and its device is gone; waiting for it to come back")]
        except RtaeError as error:
            self._ended = True
            return [Event("ended", f"the engine process {cause} and could not be restarted: {error}")]
        self._restarts += 1
        self._away = False
        return [Event("restarted", f"the engine process {cause} and was restarted")]

    def _replace(self) -> StreamFacts:
        if self._child is not None:
            self._child.kill()
        self._child = _Child(self._again, self._memory)
        # Silence lasts until it has started: on a busy machine it need not wait for its turn.
        raise_priorities(self._child.process.pid)
        return self._child.open()


class _Child:
    """The child process and the lines that go to and fro."""

    def __init__(self, config: StreamConfig, memory: SharedMemory) -> None:
        fields = dataclasses.asdict(config)
        fields["processor"] = os.fspath(fields["processor"])
        # The child must import the rtae and the libraries of this process, wherever they came from.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        options: dict[str, Any] = {} if os.name == "nt" else {"pass_fds": memory.descriptors}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rtae.live.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Sound systems chat on standard error, which would tear the host's terminal view.
            stderr=subprocess.DEVNULL,
            env=environment,
            **options,
        )
        self.ended = False
        self.news: StreamFacts | None = None
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="rtae-engine-reader", daemon=True)
        self._reader.start()
        self._send({"config": fields, "memory": memory.token, "bytes": MEMORY_BYTES})

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def open(self) -> StreamFacts:
        """Wait until the child has opened the stream."""
        return _facts(self._answer("open")["facts"])

    def ask(self, what: str) -> None:
        """Let the child do something and wait until it is done."""
        self._send({"do": what})
        self._answer(what)

    def events(self) -> list[Event]:
        """Return the events the child has told since the last call."""
        found = []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    def close(self) -> None:
        """Let the child leave; kill it if it does not."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except OSError:  # what it was told last did not reach it any more
                pass
        try:
            self.process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def kill(self) -> None:
        """End the child at once."""
        self.process.kill()
        self.close()

    def _send(self, message: Mapping[str, object]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:  # it is dying; the missing answer tells
            return

    def _answer(self, what: str) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=ANSWER_S)
        except queue.Empty:
            raise DeviceError(f"the engine process did not {what} within {ANSWER_S:g} s; try again") from None
        if "error" in answer:
            kind = getattr(errors, str(answer["error"]), DeviceError)
            raise kind(answer["message"])
        return answer

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            if "news" in message:
                self.news = _facts(message["news"])
            elif "event" in message:
                self._events.put(Event(message["event"], message["message"]))
                self.ended = self.ended or message["event"] == "ended"
            else:
                self._answers.put(message)
        # A child that leaves owes an answer to whoever waits.
        self._answers.put({"error": "DeviceError", "message": "the engine process ended before it answered; try again"})


def _facts(fields: Mapping[str, Any]) -> StreamFacts:
    return StreamFacts(
        **{
            **fields,
            "latency": Latency(**fields["latency"]),
            "names": tuple(fields["names"]),
            "modes": tuple(fields["modes"]),
        }
    )
