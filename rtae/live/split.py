"""A duplex stream made of two devices that keep time on their own: :class:`SplitStream`."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rtae.drift import ClockBridge
from rtae.live.backend import Audio

_POLL_S = 0.1


class SplitStream:
    """Looks like a ``sounddevice.Stream``, but input and output are streams of their own, joined by a clock bridge.

    The output device is the clock: `callback` runs in its callback thread.

    Parameters
    ----------
    sounddevice : module
        The library.
    input_rate : int
        Rate to open the input at, in hertz.
    options : dict
        Arguments of ``sounddevice.Stream``; pairs hold the input's first.
    """

    def __init__(self, sounddevice: Any, input_rate: int, options: dict[str, Any]) -> None:
        self._callback: Callable[..., None] = options["callback"]
        rate, block = options["samplerate"], options["blocksize"]
        (source, sink), (inputs, outputs) = options["device"], options["channels"]
        input_block = math.ceil(block * input_rate / rate)
        self._bridge = ClockBridge(inputs, input_rate, rate, input_block, block)
        self._indata: Audio = np.zeros((block, inputs), np.float32)
        self._rate = rate
        self._flows = self._told = 0
        # A binary semaphore, as in the engine: releasing it never waits.
        self._wake = threading.Lock()
        self._running = False
        self._thread: threading.Thread | None = None
        common = {
            **{name: options[name] for name in ("dtype", "latency", "clip_off", "dither_off")},
            "finished_callback": options["finished_callback"],
        }
        self._input = sounddevice.InputStream(
            samplerate=input_rate,
            blocksize=input_block,
            device=source,
            channels=inputs,
            callback=self._heard,
            **common,
        )
        try:
            self._output = sounddevice.OutputStream(
                samplerate=rate, blocksize=block, device=sink, channels=outputs, callback=self._play, **common
            )
        except BaseException:
            self._input.close(ignore_errors=True)
            raise

    @property
    def latency(self) -> tuple[float, float]:
        """Latency of both sides in seconds, the bridge counted with the input."""
        return self._input.latency + self._bridge.latency / self._rate, self._output.latency

    @property
    def ppm(self) -> float:
        """Difference of the clocks in parts per million: positive when the input runs fast."""
        return self._bridge.ppm

    @property
    def active(self) -> bool:
        """Whether both sides run."""
        return bool(self._input.active and self._output.active)

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return bool(self._output.closed)

    def take_flows(self) -> int:
        """Return the under- and overflows on the input's side since the last call."""
        flows = self._flows + self._bridge.underflows + self._bridge.overflows
        new, self._told = flows - self._told, flows
        return new

    def start(self) -> None:
        """Start both sides."""
        self._running = True
        self._thread = threading.Thread(target=self._work, name="rtae-bridge", daemon=True)
        self._thread.start()
        self._input.start()
        self._output.start()

    def stop(self, ignore_errors: bool = True) -> None:
        """Stop both sides."""
        self._output.stop(ignore_errors=ignore_errors)
        self._input.stop(ignore_errors=ignore_errors)
        self._leave()

    def close(self, ignore_errors: bool = True) -> None:
        """Close both sides."""
        self._output.close(ignore_errors=ignore_errors)
        self._input.close(ignore_errors=ignore_errors)
        self._leave()

    def _heard(self, indata: Audio, frames: int, times: Any, status: Any) -> None:
        self._bridge.push(indata, time.perf_counter())
        if status:
            self._flows += 1
        if self._wake.locked():
            self._wake.release()

    def _play(self, outdata: Audio, frames: int, times: Any, status: Any) -> None:
        self._bridge.pull(self._indata, time.perf_counter())
        self._callback(self._indata, outdata, frames, times, status)

    def _work(self) -> None:
        while self._running:
            self._wake.acquire(timeout=_POLL_S)
            self._bridge.pump()

    def _leave(self) -> None:
        self._running = False
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None
