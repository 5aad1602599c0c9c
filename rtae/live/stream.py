"""A processor between an input and an output device: :class:`LiveStream`."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rtae.errors import ParameterError, StreamStateError
from rtae.live.backend import Backend, StreamRequest
from rtae.live.board import LISTEN, Board
from rtae.live.engine import Engine, Plan
from rtae.live.plan import Target, check_target, choose_block, headroom_blocks
from rtae.live.report import Event, Latency, Stats, Watcher

if TYPE_CHECKING:
    from rtae.processor import Processor

WATCH_S = 0.1
"""How often a running stream looks for events."""

SWITCH_INTERVAL_S = 0.0005
"""Thread switch interval while a stream runs: with Python's 5 ms a busy host thread starves the audio."""

_EVENTS_KEPT = 1000


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
    attenuation_limit_db : float, optional
        Most that the denoiser may attenuate, in decibels; unlimited if left out.
    backend : Backend, optional
        Audio system; PortAudio if left out.
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
        attenuation_limit_db: float | None = None,
        backend: Backend | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        check_target(latency)
        if backend is None:
            from rtae.live.portaudio import PortAudioBackend

            backend = PortAudioBackend()
        if isinstance(processor, (str, os.PathLike)):
            rate = sample_rate or backend.native_rate(input, output)
            processor, block = _denoiser(processor, rate, channels or 1, block_size, latency)
        else:
            block = _check_given(processor, sample_rate, channels, block_size, latency)
        self.processor = processor
        self.block_size = block
        request = StreamRequest(processor.sample_rate, block, processor.channels, input, output, latency == "low")
        opened = backend.open(request)
        try:
            hop = _hop(processor)
            model = _model_delay(processor)
            fixed = opened.input_latency + processor.delay + opened.output_latency
            headroom = headroom_blocks(block, processor.sample_rate, latency, fixed, opened.burst)
            self._board = Board()
            plan = Plan(
                sample_rate=processor.sample_rate,
                block=block,
                input_channels=opened.input_channels,
                channels=processor.channels,
                output_channels=opened.output_channels,
                headroom_blocks=headroom,
                hop=hop or block,
            )
            self._engine = Engine(processor, plan, self._board)
            limit = getattr(processor, "attenuation_limit_db", None)
            self._board.limit_db = limit if attenuation_limit_db is None else self._checked_limit(attenuation_limit_db)
        except BaseException:
            backend.close()
            raise
        self.input_name, self.output_name = opened.input_name, opened.output_name
        self.latency = Latency(
            sample_rate=processor.sample_rate,
            input_device=opened.input_latency,
            model=model,
            hop_wait=processor.delay - model,
            headroom=headroom * block,
            output_device=opened.output_latency,
        )
        self._backend = backend
        self._on_event = on_event
        self._events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self._state = "stopped"
        self._ended = threading.Event()
        self._quit = threading.Event()
        self._watch: threading.Thread | None = None
        self._switch_interval = 0.0

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
        self._board.limit_db = self._checked_limit(value)

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
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(min(self._switch_interval, SWITCH_INTERVAL_S))
        self._engine.start()
        self._state = "started"
        try:
            self._backend.start(self._engine)
        except BaseException:
            self._halt()
            raise
        self._watch = threading.Thread(target=self._watcher, name="rtae-watch", daemon=True)
        self._watch.start()

    def stop(self) -> None:
        """Stop the devices and the worker; harmless when not started."""
        if self._state != "started":
            return
        self._backend.stop()
        self._halt()

    def close(self) -> None:
        """Stop and release the devices; harmless when closed."""
        self.stop()
        self._backend.close()
        self._state = "closed"

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

    def _halt(self) -> None:
        self._engine.stop()
        self._quit.set()
        if self._watch is not None and self._watch is not threading.current_thread():
            self._watch.join()
        self._watch = None
        sys.setswitchinterval(self._switch_interval)
        self._state = "stopped"

    def _watcher(self) -> None:
        watcher = Watcher(self._board)
        engine = self._engine
        while True:
            leaving = self._quit.wait(WATCH_S)
            ended = "" if self._ended.is_set() else engine.ended
            for event in watcher.poll(engine.failure, ended):
                self._events.append(event)
                if self._on_event is not None:
                    self._on_event(event)
            if ended:
                self._ended.set()
            if leaving:
                return

    def _checked_limit(self, value: float | None) -> float | None:
        if value is not None and not hasattr(self.processor, "attenuation_limit_db"):
            raise ParameterError(
                f"attenuation_limit_db does not fit a {type(self.processor).__name__}; it is for denoisers"
            )
        return value


def _denoiser(
    name: str | os.PathLike[str], rate: int, channels: int, block_size: int | None, latency: Target
) -> tuple[Processor, int]:
    """Make the denoiser of a stream, and choose the block size if the caller did not."""
    from rtae.denoise import Denoiser
    from rtae.shipped import load

    if block_size is None:
        spec = load(name).spec
        block_size = choose_block(round(spec.hop * rate / spec.sample_rate), rate, latency)
    return Denoiser(name, sample_rate=rate, channels=channels, block_size=block_size), block_size


def _check_given(
    processor: Processor, sample_rate: int | None, channels: int | None, block_size: int | None, latency: Target
) -> int:
    """Check that the arguments fit a processor that the caller made; return the block size."""
    for name, asked in (("sample_rate", sample_rate), ("channels", channels)):
        has = getattr(processor, name)
        if asked is not None and asked != has:
            raise ParameterError(f"{name} is {asked}, the processor was made for {has}; leave it out or make another")
    promised: Any = getattr(processor, "block_size", None)
    if promised is not None and block_size not in (None, promised):
        raise ParameterError(f"block_size is {block_size}, the processor was made for blocks of {promised}")
    return block_size or promised or choose_block(round(_hop(processor)) or 1, processor.sample_rate, latency)


def _hop(processor: Processor) -> float:
    """Hop of a processor in samples at its own rate, 0 if it has none."""
    spec = getattr(processor, "spec", None)
    return 0.0 if spec is None else float(spec.hop * processor.sample_rate / spec.sample_rate)


def _model_delay(processor: Processor) -> int:
    """Part of a processor's delay that is the model's own, in samples at its own rate."""
    spec = getattr(processor, "spec", None)
    return 0 if spec is None else min(processor.delay, round(spec.delay * processor.sample_rate / spec.sample_rate))
