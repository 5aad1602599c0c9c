"""Program: the engine process of a live stream, started by :mod:`rtae.live.process` and by nobody else."""

from __future__ import annotations

import gc
import json
import os
import queue
import signal
import sys
import threading
import time
from typing import Any, TextIO

from rtae.errors import RtaeError
from rtae.live.board import Board
from rtae.live.config import StreamConfig
from rtae.live.memory import SharedMemory
from rtae.live.portaudio import PortAudioBackend
from rtae.live.priority import raise_priorities
from rtae.live.process import RINGS_AT
from rtae.live.session import Session
from rtae.live.stream import SWITCH_INTERVAL_S

BEAT_S = 0.05
"""How often the process shows that it lives and looks for events."""

PATIENCE_S = 5.0
"""Time to close the devices once the host is gone."""


def main() -> int:
    """Serve one host until it closes the pipe or dies."""
    host = os.getppid()
    # Ctrl-C goes to the whole terminal group: it is the host that decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _own_stdout()
    leaving = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: leaving.set())
    orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    first = orders.get()
    if first is None:
        return 0
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    memory = SharedMemory(first["bytes"], first["memory"])
    board = Board(memory.view)
    try:
        config = StreamConfig(**first["config"])
        session = Session(config, _backend(config), board, memory.view[RINGS_AT:])
    except RtaeError as error:
        _tell(answers, error=type(error).__name__, message=str(error))
        return 1
    try:
        told = session.facts
        _tell(answers, facts=told.as_dict())
        # What is loaded by now stays: the collector need never look at it again.
        gc.collect()
        gc.freeze()
        while not leaving.is_set() and os.getppid() == host:
            board.heartbeat[0] += 1
            try:
                order = orders.get(timeout=BEAT_S)
            except queue.Empty:
                pass
            else:
                if order is None:
                    break
                _obey(session, order["do"], answers)
            events = session.poll()
            if session.facts is not told:
                # The device came back with another latency; the host must know before it hears so.
                told = session.facts
                _tell(answers, news=told.as_dict())
            for event in events:
                _tell(answers, event=event.kind, message=event.message)
    except BrokenPipeError:
        return 0
    finally:
        session.stop()
        session.close()
    return 0


def _backend(config: StreamConfig) -> PortAudioBackend:
    if not config.virtual_microphone:
        return PortAudioBackend(alone=True)
    from rtae.live.mic_backend import VirtualMicrophoneBackend

    return VirtualMicrophoneBackend()


def _obey(session: Session, order: str, answers: TextIO) -> None:
    try:
        if order == "start":
            session.start()
            raise_priorities()
        else:
            session.stop()
    except RtaeError as error:
        _tell(answers, error=type(error).__name__, message=str(error))
    else:
        _tell(answers, done=order)


def _own_stdout() -> TextIO:
    """Keep standard output for the host alone; what libraries print there goes nowhere."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


def _listen(orders: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    for line in sys.stdin.buffer:
        orders.put(json.loads(line))
    orders.put(None)
    # The host closed the pipe or is gone. A sound server that hangs must not keep this process alive for ever.
    time.sleep(PATIENCE_S)
    os._exit(1)


def _tell(answers: TextIO, **message: object) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
