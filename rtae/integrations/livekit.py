"""Noise removal for `LiveKit <https://docs.livekit.io>`_ agents: :class:`RtaeProcessor`.

>>> from rtae.integrations.livekit import RtaeProcessor                             # doctest: +SKIP
>>> stream = rtc.AudioStream.from_track(track=track, noise_cancellation=RtaeProcessor())  # doctest: +SKIP
"""

from __future__ import annotations

import os

from rtae.errors import MissingDependencyError
from rtae.integrations.pcm import PcmDenoiser

try:
    from livekit import rtc
except ImportError as error:
    raise MissingDependencyError(f"rtae.integrations.livekit: {error}; pip install 'rtae[livekit]'") from None


class RtaeProcessor(rtc.FrameProcessor[rtc.AudioFrame]):  # type: ignore[misc,unused-ignore]
    """A frame processor for one audio stream, of any rate from 8 to 192 kHz, channels and frame length.

    The model is loaded with the first frame, and again when rate or channels change.

    Parameters
    ----------
    model : str or path-like, optional
        Name of a shipped model or path of a model file.
    attenuation_limit_db : float, optional
        Most the model may take away anywhere, in decibels; None is no limit.
    """

    def __init__(self, model: str | os.PathLike[str] = "denoise", *, attenuation_limit_db: float | None = None) -> None:
        self._model = model
        self._limit_db = attenuation_limit_db
        self._enabled = True
        self._stream: PcmDenoiser | None = None

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
            stream = PcmDenoiser(
                self._model, sample_rate=form[0], channels=form[1], attenuation_limit_db=self._limit_db
            )
            stream.denoiser.bypass = not self._enabled
            stream.denoiser.reset()  # a stream that begins switched off does not begin with a cross-fade
            self._stream = stream
        # A buffer may be longer than the frame it holds.
        samples = frame.data[: frame.samples_per_channel * frame.num_channels]
        clean = stream.process(samples)
        return rtc.AudioFrame(clean, *form, frame.samples_per_channel, userdata=frame.userdata)

    def _close(self) -> None:
        self._stream = None
