"""The stream as a window can live with it: opened, changed and closed elsewhere, told about by signals."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from rtae.errors import RtaeError
from rtae.live import Event, LiveStream

Tell = Callable[[Event], None]


@dataclass(frozen=True)
class Options:
    """What to open; another value of any of them takes another stream."""

    model: str = "denoise"
    input: str | None = None
    output: str | None = None
    latency: str | float = "low"
    virtual_microphone: bool = False


def open_devices(options: Options, tell: Tell) -> LiveStream:
    """Open a stream between sound devices, in a process of its own."""
    return LiveStream(
        options.model,
        input=options.input,
        output=None if options.virtual_microphone else options.output,
        latency=options.latency,
        virtual_microphone=options.virtual_microphone,
        on_event=tell,
    )


class Player(QObject):
    """Opens and closes streams in a thread, because devices take their time; only the newest wish counts.

    What changes while a stream runs (strength, what is heard) is set at once, from the window's thread: it goes through
    memory that both processes see, and nobody waits.
    """

    changed = Signal(str)
    """"opening", "live" or "stopped"."""
    failed = Signal(str)
    """A stream could not be opened: one line for a person."""
    happened = Signal(str, str)
    """Kind and message of an event of the stream."""

    def __init__(self, open_stream: Callable[[Options, Tell], LiveStream] = open_devices) -> None:
        super().__init__()
        self._open = open_stream
        self._wishes: queue.SimpleQueue[Options | None] = queue.SimpleQueue()
        self._leaving = False
        self._listen = "processed"
        self._limit_db: float | None = None
        self.stream: LiveStream | None = None
        self._thread = threading.Thread(target=self._work, name="player", daemon=True)
        self._thread.start()

    def start(self, options: Options) -> None:
        """Open a stream in place of the one there is."""
        self._wishes.put(options)

    def stop(self) -> None:
        """Close the stream there is."""
        self._wishes.put(None)

    def close(self) -> None:
        """Close the stream and end the thread; this waits."""
        self._leaving = True
        self._wishes.put(None)
        self._thread.join()

    @property
    def listen(self) -> str:
        """What is heard, as of :attr:`rtae.LiveStream.listen`; settable, now and for streams to come."""
        return self._listen

    @listen.setter
    def listen(self, value: str) -> None:
        self._listen = value
        if (stream := self.stream) is not None:
            stream.listen = value

    @property
    def limit_db(self) -> float | None:
        """Most that is taken away, as of :attr:`rtae.LiveStream.attenuation_limit_db`; settable likewise."""
        return self._limit_db

    @limit_db.setter
    def limit_db(self, value: float | None) -> None:
        self._limit_db = value
        if (stream := self.stream) is not None:
            stream.attenuation_limit_db = value

    def _work(self) -> None:
        while True:
            options = self._wishes.get()
            while not self._wishes.empty():
                options = self._wishes.get()
            if self.stream is not None:
                stream, self.stream = self.stream, None
                stream.close()
            if options is None:
                self.changed.emit("stopped")
                if self._leaving:
                    return
                continue
            self.changed.emit("opening")
            try:
                self.stream = self._start(options)
            except RtaeError as error:
                self.failed.emit(str(error))
                self.changed.emit("stopped")
            else:
                # Again, for what the window set while the stream was being opened.
                self.listen, self.limit_db = self._listen, self._limit_db
                self.changed.emit("live")

    def _start(self, options: Options) -> LiveStream:
        stream = self._open(options, lambda event: self.happened.emit(event.kind, event.message))
        try:
            stream.listen, stream.attenuation_limit_db = self._listen, self._limit_db
            stream.start()
        except BaseException:
            stream.close()
            raise
        return stream
