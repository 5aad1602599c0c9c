"""The backend of ``rtae mic``: from a microphone of the sound server into the virtual one."""

from __future__ import annotations

import dataclasses
import os
import threading

from rtae.errors import DeviceError
from rtae.live import graph
from rtae.live.backend import BlockHandler, OpenedStream, StreamRequest
from rtae.live.devices import Device, choose, devices, is_number
from rtae.live.portaudio import PortAudioBackend
from rtae.live.virtual_mic import DESCRIPTION, SINK, SOURCE, VirtualMicrophone

ALSA_DEVICE = "pulse"
"""PortAudio's way to a sound server that speaks PulseAudio's protocol: the ALSA plugin of alsa-plugins."""

LOOK_S = 0.5
"""How often it is checked that the microphone is still there, in seconds."""


class VirtualMicrophoneBackend(PortAudioBackend):
    """Streams from a microphone of the sound server into the virtual one.

    On PipeWire it becomes a node of the graph; where that is not possible, and on PulseAudio, it is a client of the
    PulseAudio protocol. For a process that does nothing else: both are chosen through the environment.
    """

    def __init__(self) -> None:
        super().__init__(alone=True)
        self._microphone = VirtualMicrophone()
        self._source: Device | None = None
        self._inputs = 0
        self._in_graph = False
        self._follow = False
        self._leave = threading.Event()
        self._watch: threading.Thread | None = None

    def native_rate(self, input: int | str | None, output: int | str | None) -> int:
        """Return the rate sound servers run at."""
        return 48_000

    def open(self, request: StreamRequest) -> OpenedStream:
        """Make the microphone and open the way to it; see :class:`rtae.live.backend.Backend`."""
        self._follow = request.input is None
        try:
            opened = self._open_in_graph(request) or self._open_as_client(request)
        except BaseException:
            self.close()
            raise
        assert self._source is not None
        return dataclasses.replace(opened, input_name=self._source.name, output_name=DESCRIPTION)

    def reopen(self, request: StreamRequest) -> OpenedStream:
        """Open again after the microphone was lost; see :class:`rtae.live.backend.Backend`.

        The virtual one stays meanwhile, for the programs that use it, if the server does.
        """
        self.release()
        if is_number(request.input) and self._source is not None:
            request = dataclasses.replace(request, input=self._source.full_name)
        self._choose(request, self._in_graph)
        self.renew()
        return (self._enter if self._in_graph else self._connect)(request)

    def start(self, handler: BlockHandler) -> None:
        """Start the callbacks; see :class:`rtae.live.backend.Backend`."""
        super().start(handler)
        self._leave.clear()
        self._watch = threading.Thread(target=self._look, args=(handler,), name="rtae-look", daemon=True)
        self._watch.start()

    def stop(self) -> None:
        """Stop the callbacks; see :class:`rtae.live.backend.Backend`."""
        self._leave.set()
        if self._watch is not None and self._watch is not threading.current_thread():
            self._watch.join()
            self._watch = None
        super().stop()

    def close(self) -> None:
        """Release the devices and remove the microphone; see :class:`rtae.live.backend.Backend`."""
        super().close()
        self._microphone.close()

    def _open_in_graph(self, request: StreamRequest) -> OpenedStream | None:
        """Open as a node of PipeWire's graph; return None where that is not possible."""
        if not (self._microphone.on_pipewire() and graph.prepare(request.block)):
            return None
        self._choose(request, in_graph=True)
        try:
            self._in_graph = True
            return self._enter(request)
        except DeviceError:
            self.release()
            self._in_graph = False
            return None

    def _open_as_client(self, request: StreamRequest) -> OpenedStream:
        self._choose(request, in_graph=False)
        return self._connect(request)

    def _choose(self, request: StreamRequest, in_graph: bool) -> None:
        self._microphone.open(request.sample_rate, request.channels, in_graph)
        self._source = choose(self._microphone.sources(), request.input, "input")

    def _enter(self, request: StreamRequest) -> OpenedStream:
        """Open PortAudio's JACK host; whichever devices it links to at first, :meth:`_run` links to the right ones."""
        jack = [device for device in devices() if device.host_api.startswith("JACK")]
        needed, _ = self._channels(request)
        sinks = [device for device in jack if device.name == DESCRIPTION and device.sample_rate == request.sample_rate]
        sources = [device for device in jack if device.input_channels >= needed and device not in sinks]
        if not sinks or not sources:
            raise DeviceError("PipeWire's graph is out of reach")
        opened = super().open(dataclasses.replace(request, input=sources[0].index, output=sinks[0].index))
        # What was linked at first says nothing of the latency, but PortAudio keeps a block, as cycles might vary.
        return dataclasses.replace(opened, input_latency=0, output_latency=request.block)

    def _connect(self, request: StreamRequest) -> OpenedStream:
        assert self._source is not None
        os.environ.update(PULSE_SOURCE=self._source.host_api, PULSE_SINK=SINK)
        return super().open(dataclasses.replace(request, input=ALSA_DEVICE, output=ALSA_DEVICE))

    def _run(self) -> None:
        super()._run()
        if self._in_graph:
            assert self._source is not None
            graph.link(self._source.host_api, SOURCE)

    def _channels(self, request: StreamRequest, *sides: Device) -> tuple[int, int]:
        # The server's own mixing of channel counts changes the level: ask for what its nodes have. A stream that is
        # taken back, perhaps with another microphone, keeps its channels.
        assert self._source is not None
        self._inputs = self._inputs or min(self._source.input_channels, 2)
        return self._inputs, min(request.channels, 2)

    def _look(self, handler: BlockHandler) -> None:
        """Watch the microphone: a node of the graph runs on without its input, and hears silence."""
        assert self._source is not None
        while not self._leave.wait(LOOK_S):
            try:
                found = self._microphone.sources()
            except DeviceError as error:
                handler.lost(str(error))
                return
            names = [source.host_api for source in found]
            default = next((source for source in found if source.default_input), None)
            if self._source.host_api not in names:
                handler.lost(f"the microphone {self._source.name!r} is gone")
                return
            if self._follow and default is not None and default.host_api != self._source.host_api:
                handler.lost(f"the default microphone is {default.name!r} now")
                return
