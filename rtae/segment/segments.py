"""Segments of a whole recording: :func:`segment_blocks`, and :func:`apart_from_speech` for its sounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rtae.base import Frames
from rtae.segment.events import Event
from rtae.segment.sound import SoundSegmenter
from rtae.segment.speech import SpeechSegmenter

SHORTEST_SOUND_S = 0.1


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording.

    Attributes
    ----------
    label : str
        ``speech`` or ``sound``.
    start_s, end_s : float
        In seconds.
    """

    label: str
    start_s: float
    end_s: float


def segment_blocks(
    blocks: Iterable[Frames], segmenters: Iterable[SpeechSegmenter | SoundSegmenter]
) -> Iterator[Segment]:
    """Yield the segments of a recording that comes in blocks, each when it has ended.

    Parameters
    ----------
    blocks : iterable of ndarray, shape (n, channels)
        The recording.
    segmenters : iterable of SpeechSegmenter or SoundSegmenter
        What is looked for; fresh ones.
    """
    listeners = list(segmenters)
    began: dict[str, float] = {}

    def segments(events: Iterable[Event]) -> Iterator[Segment]:
        for event in events:
            label, _, edge = event.kind.rpartition("_")
            if edge == "start":
                began[label] = event.time_s
            else:
                yield Segment(label, began.pop(label), event.time_s)

    for block in blocks:
        for listener in listeners:
            yield from segments(listener.process(block))
    for listener in listeners:
        yield from segments(listener.flush())


def apart_from_speech(segments: Iterable[Segment]) -> list[Segment]:
    """Return the segments in order; of sounds, what lies outside of speech and is not shorter than 0.1 s."""
    found = sorted(segments, key=lambda one: one.start_s)
    speech = [one for one in found if one.label == "speech"]
    result = list(speech)
    for sound in found:
        if sound.label == "speech":
            continue
        start = sound.start_s
        for spoken in speech:
            if spoken.end_s <= start or spoken.start_s >= sound.end_s:
                continue
            result.append(Segment(sound.label, start, spoken.start_s))
            start = spoken.end_s
        result.append(Segment(sound.label, start, sound.end_s))
    kept = (one for one in result if one.label == "speech" or one.end_s - one.start_s >= SHORTEST_SOUND_S)
    return sorted(kept, key=lambda one: (one.start_s, one.label))
