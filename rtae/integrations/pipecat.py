"""Noise removal for `Pipecat <https://github.com/pipecat-ai/pipecat>`_ agents: :class:`RtaeFilter`.

>>> from rtae.integrations.pipecat import RtaeFilter                                # doctest: +SKIP
>>> params = TransportParams(audio_in_enabled=True, audio_in_filter=RtaeFilter())   # doctest: +SKIP
"""

from __future__ import annotations

import asyncio

from rtae.errors import MissingDependencyError, ParameterError
from rtae.integrations.pcm import Adapter

try:
    from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
    from pipecat.frames.frames import FilterControlFrame, FilterEnableFrame, FilterUpdateSettingsFrame
except ImportError as error:
    raise MissingDependencyError(f"rtae.integrations.pipecat: {error}; pip install 'rtae[pipecat]'") from None


class RtaeFilter(Adapter, BaseAudioFilter):  # type: ignore[misc,unused-ignore]
    """An audio filter for a transport: one channel of 16-bit samples, at the transport's rate.

    The model runs in a thread, so that the event loop and other calls go on meanwhile. ``FilterEnableFrame`` switches
    it off and on without a step in the signal; ``FilterUpdateSettingsFrame`` knows ``attenuation_limit_db``.
    The parameters are those of :class:`rtae.integrations.pcm.Adapter`.
    """

    async def start(self, sample_rate: int) -> None:
        """Load the model for the transport's rate.

        Raises
        ------
        RtaeError
            If the model cannot be used or the rate is out of range.
        """
        await asyncio.to_thread(self._open, sample_rate)

    async def stop(self) -> None:
        """Let go of the model."""
        self._stream = None

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """Obey a control frame.

        Raises
        ------
        ParameterError
            If it sets something unknown or out of range.
        """
        if isinstance(frame, FilterEnableFrame):
            self._enabled = frame.enable
        elif isinstance(frame, FilterUpdateSettingsFrame):
            unknown = set(frame.settings) - {"attenuation_limit_db"}
            if unknown:
                raise ParameterError(f"unknown settings {', '.join(sorted(unknown))}; there is attenuation_limit_db")
            self._limit_db = frame.settings.get("attenuation_limit_db", self._limit_db)
        if self._stream is not None:
            self._stream.denoiser.bypass = not self._enabled
            self._stream.denoiser.attenuation_limit_db = self._limit_db

    async def filter(self, audio: bytes) -> bytes:
        """Return the next samples, as many as came in; before ``start`` and after ``stop`` unchanged."""
        stream = self._stream
        return audio if stream is None else await asyncio.to_thread(stream.process, audio)
