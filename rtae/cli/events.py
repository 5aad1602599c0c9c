"""What ``rtae live --events`` tells: when somebody speaks and, with a classifier, what."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from rtae.cli.listen import facts, text
from rtae.listen import Listener
from rtae.segment import Event, SpeechSegmenter

if TYPE_CHECKING:
    from rtae.live import LiveStream

_POLL_S = 0.05


@contextmanager
def telling_events(stream: LiveStream, classifier: str | None, *, as_json: bool) -> Iterator[None]:
    """Print events of a running stream while the context lasts.

    A thread of this process looks at copies of what the engine, a process of its own, has heard: the audio neither
    passes through here nor waits.

    Raises
    ------
    ModelNotFoundError, ModelFormatError, ParameterError
        If the classifier cannot be used.
    """
    told: list[Event] = []
    segmenter = _Telling(told, sample_rate=stream.latency.sample_rate)
    listener = None if classifier is None else Listener(
        classifier, sample_rate=stream.latency.sample_rate, segmenter=segmenter
    )  # fmt: skip
    over = threading.Event()

    def watch() -> None:
        tap, number = stream.tap(), -1
        while not over.wait(_POLL_S):
            number, before, _ = tap.since(number)
            mono = before.mean(axis=1)
            heard = listener.process(mono) if listener is not None else []
            if listener is None:
                segmenter.process(mono)
            for event in told:
                line = {"type": event.kind, "time_s": round(event.time_s, 3), "decided_s": round(event.decided_s, 3)}
                print(json.dumps(line) if as_json else f"{event.time_s:9.2f}  {event.kind}", flush=True)
            told.clear()
            for one in heard:
                print(json.dumps({"type": "heard", **facts(one)}) if as_json else text(one), flush=True)

    thread = threading.Thread(target=watch, name="events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Telling(SpeechSegmenter):
    """A segmenter that keeps its events for who prints them."""

    def __init__(self, told: list[Event], *, sample_rate: int) -> None:
        super().__init__(sample_rate=sample_rate)
        self._told = told

    def process(self, block: ArrayLike) -> list[Event]:
        """Take the next block, see :meth:`rtae.segment.SpeechSegmenter.process`."""
        events = super().process(block)
        self._told.extend(events)
        return events
