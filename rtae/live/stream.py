"""A processor between an input and an output device: :class:`LiveStream`."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rtae.errors import ParameterError, StreamStateError
from rtae.live.backend import Backend
from rtae.live.board import LISTEN, Board
from rtae.live.config import StreamConfig, StreamFacts, lighter_models
from rtae.live.modes import mode_place
from rtae.live.plan import Target
from rtae.live.report import Event, Latency, Stats
from rtae.live.session import Session
from rtae.live.tagged import TaggedRing
from rtae.live.tap import Tap

if TYPE_CHECKING:
    from rtae.processor import Processor

WATCH_S = 0.1
"""How often a running stream looks for events."""

SWITCH_INTERVAL_S = 0.0005
"""Thread switch interval while a stream runs in this process: with Python's 5 ms a busy thread starves the audio."""

_EVENTS_KEPT = 1000


class Runner(Protocol):
    """What runs a stream: a :class:`Session` here, or a process of its own."""

    facts: StreamFacts

    @property
    def ended(self) -> bool:
        """Whether it stopped by itself."""

    @property
    def rings(self) -> tuple[TaggedRing, TaggedRing]:
        """Rings of input and output blocks."""

    def start(self) -> None:
        """Start from a fresh state."""

    def stop(self) -> None:
        """Stop."""

    def close(self) -> None:
        """Release everything."""

    def poll(self) -> list[Event]:
        """Return new events."""


class LiveStream:
    """Runs a processor live, from an input device to an output device.

    A context manager: entering starts the stream, leaving closes it.

    Parameters
    ----------
    processor : str, path-like or Processor, default "denoise"
        Name or path of a denoiser model, or a processor, whose rate and channels the stream then takes.
    input, output : int, str or None
        Device index, part of its name, or None for the default.
    sample_rate : int, optional
        Hertz; the device's own rate if left out.
    channels : int, optional
        Channels processed, default 1.
    block_size : int, optional
        Samples a block; the one of lowest stable latency if left out.
    latency : "low", "safe" or float, default "low"
        Aim: lowest, safest, or a total in milliseconds.
    fallbacks : sequence of str, optional
        Lighter models, best first, to step down to while the machine is overloaded; below the last is dry signal. Left
        out: those that are shipped beside a shipped model.
    virtual_microphone : bool, default False
        Play into a microphone that other programs can pick, instead of an output device. On Linux it is made for the
        time the stream is open; elsewhere an installed loopback device is used.
    attenuation_limit_db : float, optional
        Most that the denoiser may attenuate, in decibels; unlimited if left out.
    mode : {"denoise", "codec", "denoise+codec", "passthrough"}, optional
        Run the codec behind the denoiser, and begin by hearing the one, the other, both or neither. :attr:`mode`
        switches while the stream runs. All modes have the latency of both. Left out: the denoiser alone, at its own.
    codec : str or path-like, optional
        Name or path of the codec of these modes; "codec" if left out.
    kbps : float, optional
        Its kilobits a second and channel.
    loss : float, default 0
        Share of its packets that are to get lost, 0 to 1.
    backend : Backend, optional
        Audio system, run in this process; PortAudio if left out.
    isolated : bool, optional
        Run in a process of its own, which a busy host cannot disturb. Left out: yes for a model by name or path on
        the default backend, no otherwise.
    on_event : callable, optional
        Called with each :class:`Event`, from a thread of the stream.

    Raises
    ------
    DeviceError
        If a device is unknown, ambiguous, busy or missing, or PortAudio is.
    ParameterError
        If an argument is out of range or does not fit the processor.
    ModelNotFoundError, ModelFormatError
        If the model cannot be loaded.
    """

    def __init__(
        self,
        processor: str | os.PathLike[str] | Processor = "denoise",
        *,
        input: int | str | None = None,
        output: int | str | None = None,
        sample_rate: int | None = None,
        channels: int | None = None,
        block_size: int | None = None,
        latency: Target = "low",
        fallbacks: Sequence[str] | None = None,
        virtual_microphone: bool = False,
        attenuation_limit_db: float | None = None,
        mode: str | None = None,
        codec: str | os.PathLike[str] | None = None,
        kbps: float | None = None,
        loss: float = 0.0,
        backend: Backend | None = None,
        isolated: bool | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        named = isinstance(processor, (str, os.PathLike))
        if virtual_microphone and (output is not None or backend is not None or isolated is False or not named):
            raise ParameterError(
                "virtual_microphone=True is an output of its own and runs in its own process: give a model by name or "
                "path, and neither output, backend nor isolated=False"
            )
        if virtual_microphone and not sys.platform.startswith("linux"):
            from rtae.live.cables import find_cable

            output, virtual_microphone = find_cable().full_name, False
        config = StreamConfig(
            processor=processor,
            input=input,
            output=output,
            sample_rate=sample_rate,
            channels=channels,
            block_size=block_size,
            latency=latency,
            fallbacks=lighter_models(processor) if fallbacks is None else tuple(fallbacks),
            virtual_microphone=virtual_microphone,
            mode=mode,
            codec=None if codec is None else os.fspath(codec),
            kbps=kbps,
            loss=loss,
        )
        if isolated and (backend is not None or not named):
            raise ParameterError("isolated=True needs a model by name or path and no backend; leave one of them out")
        self.isolated: bool = named and backend is None if isolated is None else isolated
        self._board: Board
        self._runner: Runner
        if self.isolated:
            from rtae.live.process import EngineProcess, shared_board

            self._board, memory = shared_board()
            self._runner = EngineProcess(config, self._board, memory)
        else:
            self._board = Board()
            self._runner = Session(config, backend or _portaudio(), self._board)
        self._board.limit_db = self._runner.facts.limit_db
        self._board.mode[0] = self._runner.facts.mode_index
        self._on_event = on_event
        self._events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self._state = "stopped"
        self._ended = threading.Event()
        self._quit = threading.Event()
        self._watch: threading.Thread | None = None
        self._switch_interval = sys.getswitchinterval()
        if attenuation_limit_db is not None:
            try:
                self.attenuation_limit_db = attenuation_limit_db
            except ParameterError:
                self.close()
                raise

    @property
    def latency(self) -> Latency:
        """Latency by named parts."""
        return self._runner.facts.latency

    @property
    def block_size(self) -> int:
        """Samples a block."""
        return self._runner.facts.block_size

    @property
    def name(self) -> str:
        """Name of what runs now: a model's, a processor's class, or "dry signal" at the foot of the ladder."""
        return self.models[self._board.level[0]] if self._board.level[0] < len(self.models) else "dry signal"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models of the overload ladder, best first."""
        return self._runner.facts.names

    @property
    def model(self) -> str:
        """Name of the best model allowed; see :attr:`name` for what runs now."""
        return self.models[self.model_index]

    @property
    def model_index(self) -> int:
        """Place of the best model allowed in :attr:`models`; settable while running."""
        return int(self._board.model[0])

    @model_index.setter
    def model_index(self, value: int) -> None:
        if not 0 <= value < len(self.models):
            raise ParameterError(
                f"model_index is {value}; this stream has {len(self.models)}: {', '.join(self.models)}"
            )
        self._board.model[0] = value

    @property
    def modes(self) -> tuple[str, ...]:
        """Modes of the stream, none if it was opened without one."""
        return self._runner.facts.modes

    @property
    def mode(self) -> str | None:
        """What is heard of denoiser and codec; settable while running to one of :attr:`modes`, without a gap."""
        return self.modes[self._board.mode[0]] if self.modes else None

    @mode.setter
    def mode(self, value: str) -> None:
        self._board.mode[0] = mode_place(value, self.modes)

    @property
    def input_name(self) -> str:
        """Name of the input device."""
        return self._runner.facts.input_name

    @property
    def output_name(self) -> str:
        """Name of the output device."""
        return self._runner.facts.output_name

    @property
    def stats(self) -> Stats:
        """Counters and meters now."""
        return Stats.of(self._board)

    @property
    def active(self) -> bool:
        """Whether the stream is started and its devices still call."""
        return self._state == "started" and not self._ended.is_set()

    @property
    def listen(self) -> str:
        """What is heard: "processed", "dry" (the delay-matched input) or "removed" (their difference); settable."""
        return LISTEN[int(self._board.listen[0])]

    @listen.setter
    def listen(self, value: str) -> None:
        if value not in LISTEN:
            raise ParameterError(f"listen is {value!r}; choose from {', '.join(LISTEN)}")
        self._board.listen[0] = LISTEN.index(value)

    @property
    def bypass(self) -> bool:
        """Whether the delay-matched input is heard instead of the processed signal; settable."""
        return self.listen == "dry"

    @bypass.setter
    def bypass(self, value: bool) -> None:
        self.listen = "dry" if value else "processed"

    @property
    def attenuation_limit_db(self) -> float | None:
        """Most that the denoiser may attenuate in decibels, None for unlimited; settable while running."""
        return self._board.limit_db

    @attenuation_limit_db.setter
    def attenuation_limit_db(self, value: float | None) -> None:
        if value is not None and not self._runner.facts.limitable:
            raise ParameterError(f"attenuation_limit_db does not fit a {self.models[0]}; it is for denoisers")
        self._board.limit_db = value

    def tap(self) -> Tap:
        """Return access to the audio that goes through, for spectra and recordings."""
        return Tap(self._board, self._runner.facts, self._runner.rings)

    def events(self) -> list[Event]:
        """Return the events since the last call, oldest first."""
        taken = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def start(self) -> None:
        """Start, from a fresh state.

        Raises
        ------
        DeviceError
            If the sound system refuses to start.
        StreamStateError
            If the stream is started or closed.
        """
        if self._state != "stopped":
            raise StreamStateError(f"live stream cannot start: it is {self._state}; make a new one")
        self._ended.clear()
        self._quit.clear()
        if not self.isolated:
            self._switch_interval = sys.getswitchinterval()
            sys.setswitchinterval(min(self._switch_interval, SWITCH_INTERVAL_S))
        try:
            self._runner.start()
        except BaseException:
            self._restore()
            raise
        self._state = "started"
        self._watch = threading.Thread(target=self._watcher, name="rtae-watch", daemon=True)
        self._watch.start()

    def stop(self) -> None:
        """Stop the devices and the worker; harmless when not started."""
        if self._state != "started":
            return
        self._quit.set()
        if self._watch is not None and self._watch is not threading.current_thread():
            self._watch.join()
        self._watch = None
        self._runner.stop()
        self._collect()
        self._restore()
        self._state = "stopped"

    def close(self) -> None:
        """Stop and release the devices; harmless when closed."""
        self.stop()
        if self._state != "closed":
            self._state = "closed"
            self._runner.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the devices stop calling by themselves; return whether they did."""
        return self._ended.wait(timeout_s)

    def __enter__(self) -> Self:
        """Start."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _restore(self) -> None:
        if not self.isolated:
            sys.setswitchinterval(self._switch_interval)

    def _watcher(self) -> None:
        while not self._quit.wait(WATCH_S):
            self._collect()

    def _collect(self) -> None:
        for event in self._runner.poll():
            self._events.append(event)
            if self._on_event is not None:
                self._on_event(event)
        if self._runner.ended:
            self._ended.set()


def _portaudio() -> Backend:
    from rtae.live.portaudio import PortAudioBackend

    return PortAudioBackend()
