"""``rtae listen``: name the words in recordings. Those of a microphone are named by ``rtae live --events``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable

from rtae.audio import AudioReader
from rtae.errors import AudioFileError, ParameterError
from rtae.listen import Heard, Listener


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="sound file: wav, flac, ogg, opus, mp3, ...")
    parser.add_argument(
        "-c", "--classifier", default="words", metavar="NAME", help="classifier: a shipped one or a file (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each word")


def run(arguments: argparse.Namespace) -> int:
    """Listen and print."""
    with AudioReader(arguments.file) as reader:
        try:
            listener = Listener(arguments.classifier, sample_rate=reader.sample_rate, channels=reader.channels)
        except ParameterError as error:
            raise AudioFileError(f"cannot listen to '{reader.path}': {error}") from None
        for block in reader.blocks():
            _print(listener.process(block), as_json=arguments.json)
        _print(listener.flush(), as_json=arguments.json)
    return 0


def _print(words: Iterable[Heard], *, as_json: bool) -> None:
    for heard in words:
        print(json.dumps(facts(heard)) if as_json else text(heard), flush=True)


def text(heard: Heard) -> str:
    """Return a line that tells a person what was heard, and when."""
    return f"{heard.start_s:9.2f} {heard.end_s:9.2f}  {heard.label}  {100 * heard.probability:.0f} %"


def facts(heard: Heard) -> dict[str, object]:
    """Return what was heard, as JSON has it."""
    return {
        "label": heard.label,
        "probability": round(heard.probability, 4),
        "start_s": round(heard.start_s, 4),
        "end_s": round(heard.end_s, 4),
    }
