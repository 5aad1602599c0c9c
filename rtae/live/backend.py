"""What an audio backend is: the seam between a live stream and a sound system, a file or a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]
"""Audio of shape ``(samples, channels)``."""


@dataclass(frozen=True)
class StreamRequest:
    """What a live stream asks of a backend.

    Attributes
    ----------
    sample_rate, block : int
        Hertz, and samples a callback. The backend keeps both or refuses.
    channels : int
        Channels of the processor. A device with fewer or more is opened as it is and mapped by the engine.
    input, output : int, str or None
        Device index, part of its name, or None for the default.
    low_latency : bool
        Ask the device for its lowest latency instead of its safest.
    burst : int
        What :attr:`OpenedStream.burst` was the last time, so that it need not be found again; 0 if not known.
    """

    sample_rate: int
    block: int
    channels: int
    input: int | str | None = None
    output: int | str | None = None
    low_latency: bool = True
    burst: int = 0


@dataclass(frozen=True)
class OpenedStream:
    """What a backend opened.

    Attributes
    ----------
    input_channels, output_channels : int
        Channels of the two sides.
    input_latency, output_latency : int
        Latencies the devices report, in samples; 0 where they report none, or nonsense.
    input_name, output_name : str
        Names for a person.
    burst : int
        Blocks the sound system hands over at once: a server whose period is longer than a block calls several times
        in a row and then pauses. The worker needs as many blocks of headroom.
    """

    input_channels: int
    output_channels: int
    input_latency: int
    output_latency: int
    input_name: str
    output_name: str
    burst: int = 1


class BlockHandler(Protocol):
    """What a backend drives."""

    @property
    def latency_samples(self) -> int:
        """Samples by which the output lags the input, from callback to callback."""

    def callback(self, indata: Audio, outdata: Audio, xruns: int) -> None:
        """Take one input block and fill one output block; never waits, never raises.

        `xruns` is the number of under- and overflows the device reported since the last call.
        """

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until every block handed in is processed; for clocks that wait for the worker."""

    def finished(self, reason: str) -> None:
        """Take note that no further callback comes: the file is at its end."""

    def lost(self, reason: str) -> None:
        """Take note that the device is gone; it may come back."""


class Backend(Protocol):
    """Opens a duplex stream of fixed block size and calls a :class:`BlockHandler` once a block."""

    @property
    def silence_s(self) -> float | None:
        """Seconds without a callback that mean the device is gone, None if callbacks may pause for ever."""

    @property
    def drift_ppm(self) -> float | None:
        """By how much the input's clock runs faster than the output's, in parts per million; None if they are one."""

    def native_rate(self, input: int | str | None, output: int | str | None) -> int:
        """Sample rate to use when the caller did not choose one, in hertz."""

    def open(self, request: StreamRequest) -> OpenedStream:
        """Open, without starting.

        Raises
        ------
        DeviceError
            If a device is unknown, ambiguous, busy or refuses the request.
        """

    def reopen(self, request: StreamRequest) -> OpenedStream:
        """Open again after the device was lost, looking afresh at what devices there are.

        Raises
        ------
        DeviceError
            If it is not back yet.
        """

    def start(self, handler: BlockHandler) -> None:
        """Start calling `handler`."""

    def stop(self) -> None:
        """Stop calling; when this returns no callback runs. Harmless when stopped."""

    def close(self) -> None:
        """Release the devices. Harmless when closed."""
