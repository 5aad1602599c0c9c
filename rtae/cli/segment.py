"""``rtae segment``: find speech and sounds in a recording."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rtae.audio import AudioReader
from rtae.errors import AudioFileError, ParameterError
from rtae.segment import Segment, SoundSegmenter, SpeechSegmenter, apart_from_speech, segment_blocks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="sound file: wav, flac, ogg, opus, mp3, ...")
    parser.add_argument("-m", "--model", default="denoise", metavar="NAME", help="denoiser that listens (%(default)s)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--audacity", action="store_true", help="print labels that Audacity imports")
    form.add_argument("--rttm", action="store_true", help="print RTTM, as tools for speakers read it")


def run(arguments: argparse.Namespace) -> int:
    """Find the segments and print them."""
    with AudioReader(arguments.file) as reader:
        form = {"sample_rate": reader.sample_rate, "channels": reader.channels}
        try:
            listeners = (SpeechSegmenter(arguments.model, **form), SoundSegmenter(**form))
        except ParameterError as error:
            raise AudioFileError(f"cannot segment '{reader.path}': {error}") from None
        found = apart_from_speech(segment_blocks(reader.blocks(), listeners))
    if arguments.json:
        print(json.dumps({"file": arguments.file, "segments": [_facts(one) for one in found]}))
        return 0
    write = _audacity if arguments.audacity else _rttm if arguments.rttm else _text
    for line in write(found, Path(arguments.file).stem):
        print(line)
    return 0


def _facts(segment: Segment) -> dict[str, object]:
    return {"label": segment.label, "start_s": round(segment.start_s, 4), "end_s": round(segment.end_s, 4)}


def _text(segments: Sequence[Segment], name: str) -> list[str]:
    return [f"{one.start_s:9.2f} {one.end_s:9.2f}  {one.label}" for one in segments]


def _audacity(segments: Sequence[Segment], name: str) -> list[str]:
    return [f"{one.start_s:.6f}\t{one.end_s:.6f}\t{one.label}" for one in segments]


def _rttm(segments: Sequence[Segment], name: str) -> list[str]:
    """Lines of NIST's Rich Transcription Time Marked format; a name in it has no blanks."""
    recording = "_".join(name.split()) or "recording"
    kinds = {"speech": ("SPEAKER", "<NA>", "speech"), "sound": ("NON-SPEECH", "other", "<NA>")}
    lines = []
    for one in segments:
        kind, subtype, speaker = kinds[one.label]
        span = f"{one.start_s:.3f} {one.end_s - one.start_s:.3f}"
        lines.append(f"{kind} {recording} 1 {span} <NA> {subtype} {speaker} <NA> <NA>")
    return lines
