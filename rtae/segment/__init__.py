"""When somebody speaks and when something sounds, in streams and in recordings.

:class:`SpeechSegmenter` and :class:`SoundSegmenter` turn a value that rises and falls, the denoiser's speech
probability or the level above the background, into events by :class:`Hysteresis`; :func:`segment_blocks` pairs them to
segments.
"""

from rtae.segment.events import Event, Hysteresis
from rtae.segment.segments import Segment, apart_from_speech, segment_blocks
from rtae.segment.sound import SoundSegmenter
from rtae.segment.speech import SpeechSegmenter

__all__ = [
    "Event",
    "Hysteresis",
    "Segment",
    "SoundSegmenter",
    "SpeechSegmenter",
    "apart_from_speech",
    "segment_blocks",
]
