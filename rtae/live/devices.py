"""The sound devices of this machine, and how one is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rtae.errors import DeviceError

Side = Literal["input", "output"]


@dataclass(frozen=True)
class Device:
    """One sound device.

    Attributes
    ----------
    index : int
        Number of the device in this process; may change when devices come and go.
    name, host_api : str
        As the sound system calls them; together they are stable.
    input_channels, output_channels : int
        0 where the device has no such side.
    sample_rate : int
        Rate the device prefers, in hertz.
    default_input, default_output : bool
        Whether it is the one used when none is chosen.
    """

    index: int
    name: str
    host_api: str
    input_channels: int
    output_channels: int
    sample_rate: int
    default_input: bool
    default_output: bool

    @property
    def full_name(self) -> str:
        """Name and host API: what stays when numbers change."""
        return f"{self.name}, {self.host_api}"

    def channels(self, side: Side) -> int:
        """Channels of one side."""
        return self.input_channels if side == "input" else self.output_channels

    def is_default(self, side: Side) -> bool:
        """Whether it is the default of one side."""
        return self.default_input if side == "input" else self.default_output


def portaudio() -> Any:
    """Import and return the ``sounddevice`` module.

    Raises
    ------
    DeviceError
        If the PortAudio library is missing. Files can be processed without it.
    """
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            f"live audio needs the PortAudio library ({error}); install it with 'apt install libportaudio2' or "
            "'brew install portaudio'; sound files work without it"
        ) from None
    return sounddevice


def devices() -> list[Device]:
    """Return every sound device PortAudio sees, in its order.

    Raises
    ------
    DeviceError
        If the PortAudio library is missing.
    """
    sounddevice = portaudio()
    apis = sounddevice.query_hostapis()
    chosen_input, chosen_output = sounddevice.default.device
    found = []
    for index, info in enumerate(sounddevice.query_devices()):
        found.append(
            Device(
                index=index,
                name=info["name"],
                host_api=apis[info["hostapi"]]["name"],
                input_channels=info["max_input_channels"],
                output_channels=info["max_output_channels"],
                sample_rate=round(info["default_samplerate"]),
                default_input=index == chosen_input,
                default_output=index == chosen_output,
            )
        )
    return found


def choose(found: Sequence[Device], wanted: int | str | None, side: Side) -> Device:
    """Return the device meant by an index, a part of a name (with host API, any case), or None for the default.

    Raises
    ------
    DeviceError
        If there is none, or the name fits several; the message lists the candidates.
    """
    able = [device for device in found if device.channels(side)]
    if not able:
        raise DeviceError(f"this machine has no {side} device; connect one, or start the sound server")
    if isinstance(wanted, str) and is_number(wanted):
        wanted = int(wanted)
    if wanted is None:
        # PortAudio knows no default where its first host API has no devices.
        return next((device for device in able if device.is_default(side)), able[0])
    if isinstance(wanted, int):
        matches = [device for device in able if device.index == wanted]
    else:
        text = wanted.casefold()
        matches = [device for device in able if text in device.full_name.casefold()]
        exact = [device for device in matches if text in (device.name.casefold(), device.full_name.casefold())]
        matches = exact if len(exact) == 1 else matches
    if len(matches) == 1:
        return matches[0]
    listed = "; ".join(f"{device.index} {device.full_name}" for device in matches or able)
    if matches:
        raise DeviceError(f"{side} device {wanted!r} is ambiguous; choose one by its number: {listed}")
    raise DeviceError(f"there is no {side} device {wanted!r}; there are: {listed}")


def is_number(wanted: int | str | None) -> bool:
    """Whether a device is asked for by its number."""
    return isinstance(wanted, int) or (isinstance(wanted, str) and wanted.strip().lstrip("-").isdecimal())
