"""What is said in a stream: :class:`Listener`, a classifier that looks at each stretch of speech."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtae.base import check_integer
from rtae.errors import ParameterError
from rtae.resample import StreamingResampler
from rtae.segment import Event, SpeechSegmenter
from rtae.shipped import load
from rtae.spec import ModelSpec

MARGIN_S = 0.1
"""A word is listened to from this long before its speech begins to this long after it ends."""

LONGEST_S = 10.0
"""Of longer speech the last part counts."""


@dataclass(frozen=True)
class Heard:
    """What a stretch of speech was taken for.

    Attributes
    ----------
    label : str
        The most likely of the classifier's classes.
    probability : float
        How likely, 0 to 1.
    start_s, end_s : float
        When it was, in seconds from the beginning of the stream.
    """

    label: str
    probability: float
    start_s: float
    end_s: float


class Listener:
    """Names each stretch of speech in a stream.

    The classifier hears what the segmenter's denoiser makes of every hop, and its evidence for each class is kept; when
    the speech has ended, the mean over the stretch decides. It is fed with copies of the audio and gives none back, so
    that nothing waits for it.

    Parameters
    ----------
    classifier : str or path-like
        Name of a shipped classifier or path of a model file.
    sample_rate, channels : int, optional
        Format of the blocks; the classifier hears the mean of the channels.
    segmenter : SpeechSegmenter, optional
        Finds the speech; by default one with the denoiser that comes with rtae.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If the model cannot be used.
    ParameterError
        If it is not a classifier, or a parameter is out of range.
    """

    def __init__(
        self,
        classifier: str | os.PathLike[str],
        *,
        sample_rate: int = 48_000,
        channels: int = 1,
        segmenter: SpeechSegmenter | None = None,
    ) -> None:
        self._model = load(classifier)
        if self.spec.kind != "classifier":
            raise ParameterError(f"model {self.spec.name!r} is of kind {self.spec.kind!r}, not a classifier")
        self._segmenter = segmenter or SpeechSegmenter(
            sample_rate=check_integer("sample_rate", sample_rate, 1), channels=channels
        )
        rate = self.spec.sample_rate
        self._resampler = None if sample_rate == rate else StreamingResampler(sample_rate, rate, 1)
        self._late_s = self._segmenter.delay / sample_rate
        self._late_s += 0.0 if self._resampler is None else float(self._resampler.delay) / rate
        self._hop_s = self.spec.hop / rate
        self._rest = np.zeros((0, 1), np.float32)
        self._scores: deque[NDArray[np.float32]] = deque(maxlen=round(LONGEST_S / self._hop_s))
        self._hops = 0
        self._began_s = 0.0
        self._ended: list[tuple[float, float]] = []

    @property
    def spec(self) -> ModelSpec:
        """What the classifier's file says of itself."""
        return self._model.spec

    @property
    def speaking(self) -> bool:
        """Whether there is speech now."""
        return self._segmenter.speaking

    def process(self, block: ArrayLike) -> list[Heard]:
        """Take the next block, of shape (n, channels) or (n,); return the stretches of speech that have ended in it.

        Raises
        ------
        ParameterError, StreamStateError
            As :meth:`rtae.Denoiser.process`.
        """
        events = self._segmenter.process(block)
        self._classify(self._segmenter.denoised.mean(axis=1, keepdims=True))
        return self._decided(events, ended=False)

    def flush(self) -> list[Heard]:
        """End the stream; return the speech it cuts off."""
        return self._decided(self._segmenter.flush(), ended=True)

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._segmenter.reset()
        self._model.reset()
        if self._resampler is not None:
            self._resampler.reset()
        self._rest = self._rest[:0]
        self._scores.clear()
        self._ended.clear()
        self._hops = 0

    def _classify(self, mono: NDArray[np.float32]) -> None:
        converted = mono if self._resampler is None else self._resampler.process(mono)
        audio = np.concatenate([self._rest, converted])
        hop = self.spec.hop
        for start in range(0, len(audio) - hop + 1, hop):
            self._scores.append(self._model.classify_step(audio[start : start + hop].T)[0].copy())
            self._hops += 1
        self._rest = audio[len(audio) // hop * hop :]

    def _decided(self, events: list[Event], *, ended: bool) -> list[Heard]:
        """Name the speech whose end, with its margin, has been classified; keep the rest for later."""
        for event in events:
            if event.kind == "speech_start":
                self._began_s = event.time_s
            else:
                self._ended.append((self._began_s, event.time_s))
        heard = []
        while self._ended:
            start_s, end_s = self._ended[0]
            last = round((end_s + MARGIN_S + self._late_s) / self._hop_s)
            if last > self._hops and not ended:
                break
            self._ended.pop(0)
            first = round((start_s - MARGIN_S + self._late_s) / self._hop_s)
            oldest = self._hops - len(self._scores)
            rows = list(self._scores)[max(first - oldest, 0) : max(last - oldest, 1)]
            if rows:
                heard.append(self._named(np.mean(rows, axis=0), start_s, end_s))
        return heard

    def _named(self, evidence: NDArray[np.float32], start_s: float, end_s: float) -> Heard:
        share = np.exp(evidence - evidence.max())
        best = int(share.argmax())
        return Heard(self.spec.classes[best], float(share[best] / share.sum()), start_s, end_s)
