"""The backend for real devices: PortAudio through sounddevice."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from rtae.errors import DeviceError
from rtae.live.backend import Audio, BlockHandler, OpenedStream, StreamRequest
from rtae.live.backlog import Backlog
from rtae.live.devices import Device, choose, devices, is_number, portaudio
from rtae.live.split import SplitStream

PROBE_S = 0.4
"""Time spent on watching how the sound system calls, before a stream starts, in seconds."""

LONGEST_BURST_S = 0.05
"""Bursts beyond this are stalls of the machine, not a habit of the sound system."""

USUAL_RATE = 48_000
"""Rate of sound servers and of the shipped models, in hertz."""

LONGEST_LATENCY_S = 10.0
"""A device that reports more reports nonsense: on JACK the sum around a loop of clients overflows its counter."""


class PortAudioBackend:
    """Streams from an input to an output device, driven by PortAudio's callback thread.

    From :meth:`open` on the device runs, silent until :meth:`start`: how it calls cannot be asked, only watched.

    Parameters
    ----------
    alone : bool, default False
        Whether this process uses PortAudio for nothing else. Only then can it be initialised anew, without which it
        never sees a device that came later, or a sound server that was restarted.
    """

    silence_s = 2.0

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone
        self._chosen: tuple[Device, Device] | None = None
        self._stream: Any = None
        self._split: SplitStream | None = None
        self._handler: BlockHandler | None = None
        self._stopping = False
        self._calls: list[float] = []
        self._backlog = Backlog()
        self._queued = False

    def native_rate(self, input: int | str | None, output: int | str | None) -> int:
        """Return the rate the output device prefers, in hertz.

        On ALSA that is 44100 for whatever can do it, also where a server that runs at another rate is behind:
        :data:`USUAL_RATE` is taken instead where both devices have it.
        """
        found = devices()
        sink, source = choose(found, output, "output"), choose(found, input, "input")
        if {source.host_api, sink.host_api} != {"ALSA"} or sink.sample_rate == USUAL_RATE:
            return sink.sample_rate
        sounddevice = portaudio()
        try:
            sounddevice.check_input_settings(source.index, samplerate=USUAL_RATE)
            sounddevice.check_output_settings(sink.index, samplerate=USUAL_RATE)
        except sounddevice.PortAudioError:
            return sink.sample_rate
        return USUAL_RATE

    def open(self, request: StreamRequest) -> OpenedStream:
        """Open both devices; see :class:`rtae.live.backend.Backend`."""
        sounddevice = portaudio()
        found = devices()
        source, sink = choose(found, request.input, "input"), choose(found, request.output, "output")
        self._chosen = source, sink
        channels = self._channels(request, source, sink)
        options = {
            "samplerate": request.sample_rate,
            "blocksize": request.block,
            "device": (source.index, sink.index),
            "channels": channels,
            "dtype": "float32",
            "latency": "low" if request.low_latency and not self._backlog.unsteady else "high",
            "callback": self._callback,
            "finished_callback": self._finished,
            "clip_off": True,
            "dither_off": True,
        }
        self._split = None
        try:
            if one_clock(source, sink):
                self._stream = sounddevice.Stream(**options)
            else:
                self._stream = self._split = SplitStream(sounddevice, source.sample_rate, options)
        except (sounddevice.PortAudioError, ValueError) as error:
            raise DeviceError(_refusal(error, source, sink, request)) from None
        input_latency, output_latency = (_samples(value, request.sample_rate) for value in self._stream.latency)
        # Only ALSA leads to servers that queue, and has times that can be trusted.
        self._queued = self._split is None and source.host_api == "ALSA"
        self._backlog.begin((input_latency + output_latency) / request.sample_rate, request.block / request.sample_rate)
        try:
            self._run()
            if not request.burst:
                time.sleep(PROBE_S)
        except BaseException:
            self.release()
            raise
        burst = request.burst or usual_burst(self._calls, request.block / request.sample_rate)
        return OpenedStream(*channels, input_latency, output_latency, source.name, sink.name, burst)

    def reopen(self, request: StreamRequest) -> OpenedStream:
        """Open again after the device was lost; see :class:`rtae.live.backend.Backend`."""
        self.release()
        self.renew()
        if self._chosen is not None:
            # Numbers change when devices come and go; what was chosen by number is found again by name.
            source, sink = self._chosen
            if is_number(request.input):
                request = dataclasses.replace(request, input=source.full_name)
            if is_number(request.output):
                request = dataclasses.replace(request, output=sink.full_name)
        return self.open(request)

    def renew(self) -> None:
        """Initialise PortAudio anew, where that is allowed: it reads the list of devices then, and never again."""
        if self._alone:
            sounddevice = portaudio()
            sounddevice._terminate()
            sounddevice._initialize()

    def start(self, handler: BlockHandler) -> None:
        """Start the callbacks; see :class:`rtae.live.backend.Backend`."""
        self._handler = handler
        if not self._stream.active:
            self._run()

    def _run(self) -> None:
        self._stopping = False
        self._calls = []
        sounddevice = portaudio()
        try:
            self._stream.start()
        except sounddevice.PortAudioError as error:
            raise DeviceError(
                f"the audio stream did not start: {_reason(error)}; try again or choose another device"
            ) from None

    def stop(self) -> None:
        """Stop the callbacks; see :class:`rtae.live.backend.Backend`."""
        self._stopping = True
        if self._stream is not None and not self._stream.closed:
            self._stream.stop(ignore_errors=True)
        self._handler = None

    def close(self) -> None:
        """Release the devices; see :class:`rtae.live.backend.Backend`."""
        self.release()

    def release(self) -> None:
        """Close the stream; harmless if there is none."""
        self._stopping = True
        if self._stream is not None:
            self._stream.close(ignore_errors=True)
            self._stream = None

    def _channels(self, request: StreamRequest, source: Device, sink: Device) -> tuple[int, int]:
        """Return how many channels to open of each side."""
        return (
            # Both sides of a stereo microphone are heard: which of them is alive shows only then.
            min(max(request.channels, 2), source.input_channels),
            # Played on both sides of a stereo device, a mono stream is heard in both ears everywhere.
            min(max(request.channels, 2), sink.output_channels),
        )

    @property
    def drift_ppm(self) -> float | None:
        """Difference of two devices' clocks; see :class:`rtae.live.backend.Backend`."""
        return None if self._split is None else self._split.ppm

    def _callback(self, indata: Audio, outdata: Audio, frames: int, times: Any, status: Any) -> None:
        handler = self._handler
        if handler is None:
            outdata.fill(0.0)
            self._calls.append(time.perf_counter())
            return
        xruns = 0
        if status:
            # A primed output is no fault: PortAudio fills it before the first input arrives.
            xruns = int(status.input_overflow or status.input_underflow) + int(
                status.output_underflow or status.output_overflow
            )
        if self._split is not None:
            xruns += self._split.take_flows()
        handler.callback(indata, outdata, xruns)
        if self._queued and self._backlog.note(times.outputBufferDacTime - times.inputBufferAdcTime):
            self._queued = False
            handler.lost(f"the sound system holds back {1e3 * self._backlog.held_s:.0f} ms of audio")

    def _finished(self) -> None:
        if self._handler is not None and not self._stopping:
            self._handler.lost("the sound device is gone")


def one_clock(source: Device, sink: Device) -> bool:
    """Whether two devices keep time together: one device, or two of a JACK server."""
    return source.index == sink.index or (source.host_api == sink.host_api and source.host_api.startswith("JACK"))


def usual_burst(calls: Sequence[float], period_s: float) -> int:
    """Return how many blocks a sound system hands over at once.

    Parameters
    ----------
    calls : sequence of float
        Times of successive callbacks, in seconds.
    period_s : float
        Length of a block, in seconds.

    Returns
    -------
    int
        The burst length that covers 90 % of the blocks, leaving out the first and last burst, which may be cut.
    """
    sizes = [1]
    for before, after in pairwise(calls):
        if after - before < 0.4 * period_s:
            sizes[-1] += 1
        else:
            sizes.append(1)
    longest = max(1, int(LONGEST_BURST_S / period_s))
    sizes = sorted(size for size in sizes[1:-1] if size <= longest)
    total, seen = sum(sizes), 0
    for size in sizes:
        seen += size
        if seen >= 0.9 * total:
            return size
    return 1


def _samples(reported_s: float, sample_rate: int) -> int:
    """Return a reported latency in samples, 0 if it is none that a device can have."""
    return round(reported_s * sample_rate) if 0.0 <= reported_s <= LONGEST_LATENCY_S else 0


def _reason(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


def _refusal(error: Exception, source: Device, sink: Device, request: StreamRequest) -> str:
    reason = _reason(error)
    tried = f"cannot open {source.name!r} -> {sink.name!r} at {request.sample_rate} Hz, {request.block} samples a block"
    if "unavailable" in reason.casefold():
        return f"{tried}: the device is busy or gone; close the program that uses it or choose another ({reason})"
    if "sample rate" in reason.casefold():
        return f"{tried}: choose a rate the device has, such as {sink.sample_rate} ({reason})"
    return f"{tried}: {reason}; see 'rtae devices' for what there is"
