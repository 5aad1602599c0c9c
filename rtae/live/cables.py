"""Where programs cannot make a microphone of their own, macOS and Windows: the loopback devices people install."""

from __future__ import annotations

import sys

from rtae.errors import DeviceError
from rtae.live.devices import Device, devices

CABLES = {
    "darwin": ("BlackHole", "BlackHole: 'brew install blackhole-2ch', or from existential.audio/blackhole"),
    "win32": ("CABLE Input", "VB-Cable, from vb-audio.com/Cable"),
}
"""Platform -> (part of the output device's name, what to install)."""


def find_cable() -> Device:
    """Return the output side of the installed loopback device.

    Raises
    ------
    DeviceError
        If there is none; the message says what to install.
    """
    name, advice = CABLES.get(sys.platform, ("", ""))
    if not name:
        raise DeviceError(f"rtae has no way to a virtual microphone on {sys.platform}; use 'rtae live' with a loopback")
    for device in devices():
        if device.output_channels and name.casefold() in device.name.casefold():
            return device
    raise DeviceError(
        f"no virtual microphone: this system needs a loopback device; install {advice}, then run 'rtae mic' again"
    )
