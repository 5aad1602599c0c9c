"""Live audio: devices, backends, the engine and the stream that ties them together.

>>> from rtae.live import LiveStream
>>> with LiveStream("denoise", input="USB") as stream:  # doctest: +SKIP
...     stream.wait()
"""

from rtae.live.backend import Backend, BlockHandler, OpenedStream, StreamRequest
from rtae.live.devices import Device, devices
from rtae.live.fake import FakeBackend, FileBackend
from rtae.live.report import Event, Latency, Stats
from rtae.live.stream import LiveStream

__all__ = [
    "Backend",
    "BlockHandler",
    "Device",
    "Event",
    "FakeBackend",
    "FileBackend",
    "Latency",
    "LiveStream",
    "OpenedStream",
    "Stats",
    "StreamRequest",
    "devices",
]
