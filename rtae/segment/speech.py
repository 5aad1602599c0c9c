"""When somebody speaks: :class:`SpeechSegmenter`, by the denoiser's speech probability."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rtae.base import Frames
from rtae.denoise import Denoiser
from rtae.segment.events import Event, Hysteresis

SPEECH_ON, SPEECH_OFF = 0.9, 0.8
"""Probabilities of speech at which it begins, and below which it ends."""

SPEECH_HOLD_S = 0.2
"""Pauses shorter than this are part of the speech: closures of plosives, not pauses between words."""

SETTLING_S = 0.04
"""Time at the start of a stream in which no speech begins: a noise that sets in sounds like the onset of a word."""


class _Listener(Denoiser):
    """A denoiser that keeps the speech probability of every hop."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.heard: list[float] = []
        super().__init__(*arguments, **options)

    def _step(self, hop_in: Frames, hop_out: Frames) -> None:
        super()._step(hop_in, hop_out)
        self.heard.append(self._speech)


class SpeechSegmenter:
    """Tells when speech begins and ends in a stream, by a denoiser's speech probability.

    Times are those of the stream. At another sample rate than the model's they are late by the resampler's delay, at
    most a millisecond.

    Parameters
    ----------
    model : str or path-like, optional
        Name of a shipped denoiser or path of a model file.
    sample_rate, channels : int, optional
        Format of the blocks. There is speech if there is some on any channel.
    on, off : float, optional
        Probabilities at which speech begins, and below which it ends.
    hold_s : float, optional
        Pauses shorter than this do not end it.

    Raises
    ------
    ModelNotFoundError, ModelFormatError, ParameterError
        As :class:`rtae.Denoiser`; ParameterError also if ``off`` is above ``on``.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "denoise",
        *,
        sample_rate: int = 48_000,
        channels: int = 1,
        on: float = SPEECH_ON,
        off: float = SPEECH_OFF,
        hold_s: float = SPEECH_HOLD_S,
    ) -> None:
        self._tracker = Hysteresis("speech", on, off, hold_s, settling_s=SETTLING_S)
        self._listener = _Listener(model, sample_rate=sample_rate, channels=channels)
        self._hop_s = Fraction(self._listener.spec.hop, self._listener.spec.sample_rate)
        self.reset()

    @property
    def sample_rate(self) -> int:
        """Hertz of the stream."""
        return self._listener.sample_rate

    @property
    def channels(self) -> int:
        """Channels of the stream."""
        return self._listener.channels

    @property
    def speaking(self) -> bool:
        """Whether there is speech now."""
        return self._tracker.active

    @property
    def denoised(self) -> Frames:
        """The last block as the denoiser gave it back, float32 of shape (n, channels), :attr:`delay` samples late."""
        return self._denoised

    @property
    def delay(self) -> int:
        """Samples by which :attr:`denoised` is late."""
        return self._listener.delay

    def process(self, block: ArrayLike) -> list[Event]:
        """Take the next block, of shape (n, channels) or (n,); return the events it makes certain, in order.

        Raises
        ------
        ParameterError, StreamStateError
            As :meth:`rtae.Denoiser.process`.
        """
        denoised = self._listener.process(block)
        self._denoised = denoised[:, np.newaxis] if denoised.ndim == 1 else denoised
        self._samples += len(self._denoised)
        return self._collect()

    def flush(self) -> list[Event]:
        """End the stream; return the events of its last hop, and the end of speech that is cut off."""
        end_s = self._samples / self.sample_rate
        self._listener.flush()
        # Hops that begin after the end are the flush's own.
        left = round(np.ceil(end_s / float(self._hop_s))) - self._hops
        del self._listener.heard[max(left, 0) :]
        events = self._collect()
        last = self._tracker.finish(end_s)
        return [*events, last] if last else events

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._listener.reset()
        self._listener.heard.clear()
        self._tracker.reset()
        self._hops = self._samples = 0
        self._denoised = np.zeros((0, self.channels), np.float32)

    def _collect(self) -> list[Event]:
        events = []
        for value in self._listener.heard:
            start, end = float(self._hops * self._hop_s), float((self._hops + 1) * self._hop_s)
            self._hops += 1
            if event := self._tracker.update(value, start, end):
                events.append(event)
        self._listener.heard.clear()
        return events
