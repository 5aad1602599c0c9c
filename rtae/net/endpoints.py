"""Where voice comes from and goes to: microphone and loudspeaker, or files at the speed of time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rtae.audio import AudioReader, AudioWriter
from rtae.base import Frames
from rtae.errors import DeviceError
from rtae.live.channels import spread
from rtae.live.devices import choose, devices, portaudio
from rtae.net.playout import Playout
from rtae.net.sockets import clock
from rtae.ring import RingBuffer

BLOCK_S = 0.010
"""Audio handled at once, in seconds."""

_STORE_S = 1.0
_LATE_S = 0.5
_POLL_S = 0.1


class Source(Protocol):
    """Gives audio of one channel as time goes by; a context manager."""

    name: str
    sample_rate: int

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Frames]:
        """Yield blocks of shape (n, 1) when they are complete."""


class FileSource:
    """A sound file at the speed of time, its channels averaged.

    Raises
    ------
    AudioFileError
        If it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._reader = AudioReader(path)
        self.name = path
        self.sample_rate = self._reader.sample_rate

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Frames]:
        """See :class:`Source`."""
        due_s = clock()
        for block in self._reader.blocks(round(BLOCK_S * self.sample_rate)):
            due_s += len(block) / self.sample_rate
            wait_s = due_s - clock()
            if wait_s < -_LATE_S:  # a suspended machine: what it missed is not to be sent all at once
                due_s = clock()
            time.sleep(max(wait_s, 0.0))
            if stopped():
                return
            yield block.mean(axis=1, keepdims=True)

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()


class Microphone:
    """An input device.

    Raises
    ------
    DeviceError
        If it is missing, busy or refuses.
    """

    def __init__(self, wanted: int | str | None) -> None:
        device = choose(devices(), wanted, "input")
        self.name, self.sample_rate = device.name, device.sample_rate
        self._ring = RingBuffer(round(_STORE_S * self.sample_rate))
        self._wake = threading.Event()
        self._mono: Frames = np.zeros((0, 1), np.float32)
        self._stream = _open("input", device.index, self.name, self.sample_rate, device.input_channels, self._heard)

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Frames]:
        """See :class:`Source`."""
        while not stopped():
            if not self._wake.wait(_POLL_S) and not self._stream.active:
                raise DeviceError(f"the microphone {self.name!r} is gone; connect it and start again")
            self._wake.clear()
            block = np.zeros((self._ring.fill, 1), np.float32)
            self._ring.read(block)
            yield block

    def __enter__(self) -> Microphone:
        self._stream.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close(ignore_errors=True)

    def _heard(self, indata: Frames, frames: int, times: Any, status: Any) -> None:
        if len(self._mono) != frames:
            self._mono = np.zeros((frames, 1), np.float32)
        spread(indata, self._mono)
        self._ring.write(self._mono)
        self._wake.set()


class Sink(Protocol):
    """Takes the audio of a playout; a context manager."""

    name: str
    sample_rate: int
    block: int
    latency_s: float

    def begin(self, playout: Playout) -> None:
        """Take audio from here on."""

    def step(self, heard: bool) -> None:
        """Do what is due, and raise what went wrong; `heard` once there was any voice."""


class FileSink:
    """A sound file written at the speed of time, from the first voice on.

    Raises
    ------
    AudioFileError
        If it cannot be written.
    """

    latency_s = 0.0

    def __init__(self, path: str, sample_rate: int) -> None:
        self.name, self.sample_rate = path, sample_rate
        self.block = round(BLOCK_S * sample_rate)
        container = {".flac": "FLAC"}.get(Path(path).suffix.lower(), "WAV")
        self._writer = AudioWriter(path, sample_rate=sample_rate, channels=1, format=container, subtype="PCM_16")
        self._out: Frames = np.zeros((self.block, 1), np.float32)
        self._playout: Playout | None = None
        self.written = 0

    def begin(self, playout: Playout) -> None:
        """See :class:`Sink`."""
        self._playout, self._due_s = playout, clock()

    def step(self, heard: bool) -> None:
        """See :class:`Sink`."""
        assert self._playout is not None
        if clock() - self._due_s > _LATE_S:
            self._due_s = clock()
        # A file can wait for a thread that wakes up late, as no device does; and takes each block at the time it was
        # due, not at that of this call: a thread's delay is none of the sender's clock.
        while self._due_s <= self._playout.made_s:
            self._playout.pull(self._out, self._due_s)
            self._due_s += self.block / self.sample_rate
            if heard:
                self._writer.write(self._out)
                self.written += self.block

    def __enter__(self) -> FileSink:
        self._writer.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if not self.written and kind is None:
            kind = DeviceError
        self._writer.__exit__(kind, error, trace)


class Loudspeaker:
    """An output device.

    Raises
    ------
    DeviceError
        If it is missing, busy or refuses.
    """

    def __init__(self, wanted: int | str | None) -> None:
        device = choose(devices(), wanted, "output")
        self.name, self.sample_rate = device.name, device.sample_rate
        self.block = round(BLOCK_S * self.sample_rate)
        self._out: Frames = np.zeros((self.block, 1), np.float32)
        self._playout: Playout | None = None
        channels = min(2, device.output_channels)
        self._stream = _open(
            "output", device.index, self.name, self.sample_rate, channels, self._play, blocksize=self.block
        )
        self.latency_s = float(self._stream.latency)

    def begin(self, playout: Playout) -> None:
        """See :class:`Sink`."""
        self._playout = playout
        self._stream.start()

    def step(self, heard: bool) -> None:
        """See :class:`Sink`."""
        if not self._stream.active:
            raise DeviceError(f"the output {self.name!r} is gone; connect it and start again")

    def __enter__(self) -> Loudspeaker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close(ignore_errors=True)

    def _play(self, outdata: Frames, frames: int, times: Any, status: Any) -> None:
        if self._playout is not None:
            self._playout.pull(self._out, clock())
        spread(self._out, outdata)


def _open(
    side: str, index: int, name: str, sample_rate: int, channels: int, callback: Callable[..., None], blocksize: int = 0
) -> Any:
    sounddevice = portaudio()
    kind = sounddevice.InputStream if side == "input" else sounddevice.OutputStream
    try:
        return kind(
            samplerate=sample_rate, blocksize=blocksize, device=index, channels=channels, dtype="float32",
            latency="low", callback=callback, clip_off=True, dither_off=True,
        )  # fmt: skip
    except (sounddevice.PortAudioError, ValueError) as error:
        raise DeviceError(f"cannot open {side} {name!r}: {error}; see 'rtae devices' for what there is") from None
