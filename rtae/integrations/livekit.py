"""Noise removal for `LiveKit <https://docs.livekit.io>`_ agents: :class:`RtaeProcessor`.

>>> from rtae.integrations.livekit import RtaeProcessor                             # doctest: +SKIP
>>> stream = rtc.AudioStream.from_track(track=track, noise_cancellation=RtaeProcessor())  # doctest: +SKIP
"""

from __future__ import annotations

from rtae.errors import MissingDependencyError
from rtae.integrations.pcm import Adapter

try:
    from livekit import rtc
except ImportError as error:
    raise MissingDependencyError(f"rtae.integrations.livekit: {error}; pip install 'rtae[livekit]'") from None


class RtaeProcessor(Adapter, rtc.FrameProcessor[rtc.AudioFrame]):  # type: ignore[misc,unused-ignore]
    """A frame processor for one audio stream, of any rate from 8 to 192 kHz, channels and frame length.

    The model is loaded with the first frame, and again when rate or channels change; the parameters are those of
    :class:`rtae.integrations.pcm.Adapter`.
    """

    @property
    def enabled(self) -> bool:
        """Whether noise is removed; settable. Switched off, the signal keeps its delay."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self._enabled = value
        if self._stream is not None:
            self._stream.denoiser.bypass = not value

    def _process(self, frame: rtc.AudioFrame) -> rtc.AudioFrame:
        form = (frame.sample_rate, frame.num_channels)
        stream = self._stream
        if stream is None or (stream.denoiser.sample_rate, stream.denoiser.channels) != form:
            stream = self._open(*form)
        # A buffer may be longer than the frame it holds.
        samples = frame.data[: frame.samples_per_channel * frame.num_channels]
        clean = stream.process(samples)
        return rtc.AudioFrame(clean, *form, frame.samples_per_channel, userdata=frame.userdata)

    def _close(self) -> None:
        self._stream = None
