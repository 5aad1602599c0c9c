"""A microphone that any program can pick, fed by rtae: on PulseAudio and on PipeWire, through the PulseAudio protocol.

As a node of PipeWire's graph it is one virtual source. Otherwise a null sink takes the cleaned audio, and a source
remapped from its monitor is what other programs see. Its module carries the process number of the owner, so that one
left behind by a crash is told from one in use.
"""

from __future__ import annotations

import os
import re
from typing import Any

from rtae.errors import DeviceError, MissingDependencyError
from rtae.live.devices import Device

SINK, SOURCE = "rtae_sink", "rtae_mic"
"""Names of the null sink and of the microphone."""

DESCRIPTION = "rtae microphone"
"""What a person sees in the list of microphones."""

_OWNER = re.compile(r"rtae\.pid=(\d+)")
_NAMES = re.compile(rf"\b({SINK}|{SOURCE})\b")


class VirtualMicrophone:
    """The modules that make up the microphone.

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
        self._made: tuple[int, int, bool] | None = None

    def open(self, sample_rate: int, channels: int, in_graph: bool) -> None:
        """Make the microphone, after removing what a crash left behind; one that is there already stays.

        Parameters
        ----------
        sample_rate, channels : int
            Its format.
        in_graph : bool
            Whether it is fed inside PipeWire's graph, or through the PulseAudio protocol.
        """
        if self._made == (sample_rate, channels, in_graph) and self._there():
            return
        self.close()
        pulse = self._pulse = connect()
        layout = "channel_map=mono" if channels == 1 else "channel_map=front-left,front-right"
        format_ = f"rate={sample_rate} channels={min(channels, 2)} {layout}"
        name, kind, description = SINK, "", "rtae output"
        if in_graph:
            name, kind, description = SOURCE, "media.class=Audio/Source/Virtual", DESCRIPTION
        try:
            _remove_stale(pulse)
            self._load(
                "module-null-sink",
                f"{kind} sink_name={name} {format_} "
                f"sink_properties='device.description=\"{description}\" rtae.pid={os.getpid()}'",
            )
            if not in_graph:
                self._load(
                    "module-remap-source",
                    f"master={SINK}.monitor source_name={SOURCE} channels={min(channels, 2)} {layout} "
                    f"source_properties='device.description=\"{DESCRIPTION}\"'",
                )
            self._made = sample_rate, channels, in_graph
        except _errors() as error:
            self.close()
            raise DeviceError(f"cannot make the virtual microphone: the sound server refused ({error})") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the microphone; harmless if it is gone."""
        pulse, self._pulse, self._made = self._pulse, None, None
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

    def on_pipewire(self) -> bool:
        """Whether the sound server is PipeWire."""
        with connect() as pulse:
            return "PipeWire" in str(pulse.server_info().server_name)

    def sources(self) -> list[Device]:
        """Return the microphones there are, without our own; monitors of outputs only if there is nothing else.

        Raises
        ------
        DeviceError
            If the server is gone.
        """
        try:
            default = self._pulse.server_info().default_source_name
            listed = self._pulse.source_list()
        except _errors():
            raise DeviceError("the sound server is gone") from None
        ours = {SOURCE, f"{SINK}.monitor"}
        found = [source for source in listed if source.name not in ours]
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

    def _there(self) -> bool:
        try:
            return {module.index for module in self._pulse.module_list()} >= set(self._modules)
        except _errors():
            return False

    def _load(self, module: str, arguments: str) -> None:
        self._modules.append(self._pulse.module_load(module, arguments))


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
    modules = [module for module in pulse.module_list() if _NAMES.search(str(module.argument or ""))]
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
