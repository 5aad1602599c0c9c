"""A microphone that any program can pick, fed by rtae: on PulseAudio and on PipeWire, through the PulseAudio protocol.

A null sink takes the cleaned audio; a source remapped from its monitor is what other programs see. The sink carries the
process number of its owner, so that one left behind by a crash is told from one in use.
"""

from __future__ import annotations

import os
import re
from typing import Any

from rtae.errors import DeviceError, MissingDependencyError
from rtae.live.backend import OpenedStream, StreamRequest
from rtae.live.devices import Device, choose
from rtae.live.portaudio import PortAudioBackend

SINK, SOURCE = "rtae_sink", "rtae_mic"
"""Names of the null sink and of the microphone."""

DESCRIPTION = "rtae microphone"
"""What a person sees in the list of microphones."""

ALSA_DEVICE = "pulse"
"""PortAudio's way to the sound server: the ALSA plugin that alsa-plugins brings."""

_OWNER = re.compile(r"rtae\.pid=(\d+)")


class VirtualMicrophone:
    """The two modules that make up the microphone.

    Raises
    ------
    MissingDependencyError
        If pulsectl is not installed.
    DeviceError
        If there is no sound server that speaks PulseAudio's protocol, or the microphone is in use already.
    """

    def __init__(self) -> None:
        self._pulse: Any = None
        self._modules: list[int] = []

    def open(self, sample_rate: int, channels: int) -> None:
        """Make the microphone, after removing what a crash left behind."""
        self.close()
        pulse = self._pulse = connect()
        try:
            _remove_stale(pulse)
            layout = "channel_map=mono" if channels == 1 else "channel_map=front-left,front-right"
            format_ = f"rate={sample_rate} channels={min(channels, 2)} {layout}"
            self._load(
                "module-null-sink",
                f"sink_name={SINK} {format_} "
                f"sink_properties='device.description=\"rtae output\" rtae.pid={os.getpid()}'",
            )
            self._load(
                "module-remap-source",
                f"master={SINK}.monitor source_name={SOURCE} channels={min(channels, 2)} {layout} "
                f"source_properties='device.description=\"{DESCRIPTION}\"'",
            )
        except _errors() as error:
            self.close()
            raise DeviceError(f"cannot make the virtual microphone: the sound server refused ({error})") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the microphone; harmless if it is gone."""
        pulse, self._pulse = self._pulse, None
        if pulse is None:
            return
        try:
            # The source hangs on the sink: last made, first removed.
            while self._modules:
                pulse.module_unload(self._modules.pop())
        except _errors():  # the server is gone, and the microphone with it
            self._modules.clear()
        finally:
            pulse.close()

    def sources(self) -> list[Device]:
        """Return the microphones there are, without our own; monitors of outputs only if there is nothing else."""
        pulse = self._pulse
        default = pulse.server_info().default_source_name
        ours = {SOURCE, f"{SINK}.monitor"}
        found = [source for source in pulse.source_list() if source.name not in ours]
        real = [source for source in found if not source.name.endswith(".monitor") or source.name == default]
        return [
            Device(
                index=source.index,
                name=source.description,
                host_api=source.name,
                input_channels=source.channel_count,
                output_channels=0,
                sample_rate=source.sample_spec.rate,
                default_input=source.name == default,
                default_output=False,
            )
            for source in real or found
        ]

    def _load(self, module: str, arguments: str) -> None:
        self._modules.append(self._pulse.module_load(module, arguments))


class VirtualMicrophoneBackend(PortAudioBackend):
    """Streams from a microphone of the sound server into the virtual one.

    For a process that does nothing else: it chooses the server's devices through the environment.
    """

    def __init__(self) -> None:
        super().__init__(alone=True)
        self._microphone = VirtualMicrophone()
        self._source: Device | None = None

    def native_rate(self, input: int | str | None, output: int | str | None) -> int:
        """Return the rate sound servers run at."""
        return 48_000

    def open(self, request: StreamRequest) -> OpenedStream:
        """Make the microphone and open the way to it; see :class:`rtae.live.backend.Backend`."""
        self._microphone.open(request.sample_rate, request.channels)
        try:
            self._source = source = choose(self._microphone.sources(), request.input, "input")
            os.environ.update(PULSE_SOURCE=source.host_api, PULSE_SINK=SINK)
            opened = super().open(
                StreamRequest(
                    sample_rate=request.sample_rate,
                    block=request.block,
                    channels=request.channels,
                    input=ALSA_DEVICE,
                    output=ALSA_DEVICE,
                    low_latency=request.low_latency,
                    burst=request.burst,
                )
            )
        except BaseException:
            self._microphone.close()
            raise
        return OpenedStream(
            opened.input_channels,
            opened.output_channels,
            opened.input_latency,
            opened.output_latency,
            source.name,
            DESCRIPTION,
            opened.burst,
        )

    def _channels(self, request: StreamRequest, source: Device, sink: Device) -> tuple[int, int]:
        # The server's own mixing of channel counts changes the level: ask for what its nodes have.
        assert self._source is not None
        return min(self._source.input_channels, 2), min(request.channels, 2)

    def close(self) -> None:
        """Release the devices and remove the microphone; see :class:`rtae.live.backend.Backend`."""
        super().close()
        self._microphone.close()


def connect() -> Any:
    """Connect to the sound server and return the ``pulsectl.Pulse``.

    Raises
    ------
    MissingDependencyError
        If pulsectl is not installed.
    DeviceError
        If there is no server.
    """
    try:
        import pulsectl  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise MissingDependencyError(
            "the virtual microphone needs pulsectl; install it with 'pip install \"rtae[live]\"'"
        ) from None
    except OSError as error:
        raise DeviceError(f"the virtual microphone needs PulseAudio's library ({error}); install libpulse0") from None
    try:
        return pulsectl.Pulse("rtae", connect=True, threading_lock=True)
    except pulsectl.PulseError:
        raise DeviceError(
            "no PulseAudio or PipeWire server answers; log in to a desktop, or start pipewire-pulse or pulseaudio"
        ) from None


def _remove_stale(pulse: Any) -> None:
    """Unload what processes that are no more left behind; another living one is an error."""
    modules = [module for module in pulse.module_list() if SINK in str(module.argument or "")]
    for module in modules:
        owner = _OWNER.search(module.argument)
        if owner and int(owner[1]) != os.getpid() and _alive(int(owner[1])):
            raise DeviceError(f"the virtual microphone is in use by process {owner[1]}; stop that 'rtae mic' first")
    for module in sorted(modules, key=lambda module: int(module.index), reverse=True):
        pulse.module_unload(module.index)


def _errors() -> tuple[type[Exception], ...]:
    import pulsectl

    return (pulsectl.PulseError,)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
