"""The report for people: one HTML file with players, pictures and what they mean."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from rtae.analysis.framing import finite
from rtae.analysis.pictures import (
    COMPARISON_SIZE,
    SCALOGRAM_SIZE,
    TIMELINE_SIZE,
    clock,
    draw_comparison,
    draw_scalogram,
    draw_timeline,
    tops_db,
)
from rtae.analysis.recording import Analysis
from rtae.analysis.tables import summary_rows, write_text
from rtae.audio import AudioReader, AudioWriter
from rtae.page import page, picture, table

PLAYED_S = 60.0
"""Most of a recording that a report plays."""

PLAYED_CHANNELS = 2

_STYLE = """
figure { margin: 0; position: relative; cursor: pointer }
figure i { position: absolute; top: 0; bottom: 0; width: 2px; background: #d22; pointer-events: none; display: none }
audio { width: 100% }
"""

_SCRIPT = """<script>
for (const figure of document.querySelectorAll("figure")) {
  const player = document.getElementById(figure.dataset.player), line = figure.querySelector("i")
  const left = +figure.dataset.left, right = +figure.dataset.right, length = +figure.dataset.seconds
  const show = () => {
    line.style.display = "block"
    line.style.left = 100 * (left + (right - left) * player.currentTime / length) + "%"
    if (!player.paused) requestAnimationFrame(show)
  }
  for (const event of ["play", "seeked", "pause"]) player.addEventListener(event, show)
  figure.addEventListener("click", event => {
    const share = (event.offsetX / figure.clientWidth - left) / (right - left)
    player.currentTime = Math.max(0, Math.min(share * length, player.duration || 0))
  })
}
</script>"""

_TIMELINE = """From top to bottom, over the same time: the waveform (pale: the highest peaks, dark: the RMS level); the
spectrogram, where bright is loud and high is treble; the same in mel bands, which are spaced as the ear spaces pitch;
the spectral centroid, which rises as a sound gets brighter, with the bandwidth around it and the roll-off, below which
85 % of the spectrum lie; and how often the wave changes its sign, which is high for hiss and low for hum. Click to
jump."""

_WAVELETS = """Wavelets look at each pitch for as many periods: low notes are told apart in pitch, clicks and consonants
in time. A line is a tone, equal steps upwards are equal intervals."""

_CHANGE = """The upper picture shows how loud both versions are over time, the middle one over pitch. Below, blue has
become softer and red louder; a good noise suppressor is blue in pauses and between the harmonics, and white where the
voice is."""


def to_html(analyses: Sequence[Analysis], *, compare: bool = False) -> str:
    """Return the report.

    Parameters
    ----------
    analyses : sequence of Analysis
        The recordings, in their order.
    compare : bool, optional
        The two of them are one recording before and after something was done to it.

    Raises
    ------
    AudioFileError
        If a recording can no longer be read.
    MissingDependencyError
        If matplotlib or PyWavelets is not installed.
    """
    names = [_name(analysis) for analysis in analyses]
    titles = [f"{side}: {name}" for side, name in zip(("Before", "After"), names, strict=True)] if compare else names
    parts = [f"<h1>{'Before and after' if compare else 'Sound analysis'}</h1>"]
    heading = ["before", "after", "change"] if compare else names
    parts.append(table(["", *heading], summary_rows(analyses, compare=compare)))
    if compare:
        parts += [
            _playing(analysis, index, title)
            for index, (analysis, title) in enumerate(zip(analyses, titles, strict=True))
        ]
        before, after = analyses
        drawn = picture(
            "Before and after",
            lambda figure: draw_comparison(figure, before, after),
            size=COMPARISON_SIZE,
            extra="analysis",
        )
        parts.append(f"<h2>What has changed</h2><p>{_CHANGE}</p>{drawn}")
    for index, (analysis, title) in enumerate(zip(analyses, titles, strict=True)):
        parts.append(f"<h2>{escape(title)}</h2><p>{escape(_format(analysis))}</p>")
        if not compare:
            parts.append(_playing(analysis, index, ""))
        parts += _pictures(analysis, index, tops_db(analyses[0]) if compare else None)
    return page("rtae: before and after" if compare else "rtae: sound analysis", [*parts, _SCRIPT], style=_STYLE)


def write_html(path: Path, analyses: Sequence[Analysis], *, compare: bool) -> None:
    """Write the report of :func:`to_html`.

    Raises
    ------
    AudioFileError
        If the file cannot be written, besides what :func:`to_html` raises.
    """
    text = to_html(analyses, compare=compare)
    write_text(path, lambda file: file.write(text))


def _pictures(analysis: Analysis, index: int, tops: tuple[float, float] | None) -> list[str]:
    span: list[float] = []

    def timeline(figure: Any) -> None:
        span.extend(draw_timeline(figure, analysis, tops))

    name = _name(analysis)
    line = picture(f"Time line of {name}", timeline, size=TIMELINE_SIZE, extra="analysis")
    waves = picture(
        f"Scalogram of {name}", lambda figure: draw_scalogram(figure, analysis), size=SCALOGRAM_SIZE, extra="analysis"
    )
    seconds = analysis.samples / analysis.sample_rate
    notes = ["" if len(analysis.section) == analysis.samples else "The loudest part.", "" if index else _WAVELETS]
    return [
        f"<p>{_TIMELINE}</p>" if index == 0 else "",
        f'<figure data-player="player{index}" data-left="{span[0]:.5f}" data-right="{span[1]:.5f}" '
        f'data-seconds="{seconds:.6f}">{line}<i></i></figure>',
        f"<p>{' '.join(notes)}</p>{waves}",
    ]


def _name(analysis: Analysis) -> str:
    return Path(analysis.path).name


def _format(analysis: Analysis) -> str:
    channels = "1 channel" if analysis.channels == 1 else f"{analysis.channels} channels"
    together = "" if analysis.channels == 1 else "; pictures show them together"
    return f"{analysis.sample_rate} Hz, {channels}, {analysis.samples} samples{together}"


def _playing(analysis: Analysis, index: int, title: str) -> str:
    notes = [title] if title else []
    if analysis.samples > PLAYED_S * analysis.sample_rate:
        notes.append(f"the first {clock(PLAYED_S, hours=False)} min")
    if analysis.channels > PLAYED_CHANNELS:
        notes.append(f"channels 1 to {PLAYED_CHANNELS}")
    sound = base64.b64encode(_flac(analysis.path)).decode()
    heard = f"{escape(', '.join(notes))}<br>" if notes else ""
    return f'<p>{heard}<audio id="player{index}" controls src="data:audio/flac;base64,{sound}"></audio></p>'


def _flac(path: str | os.PathLike[str]) -> bytes:
    """Return the opening of a recording as a sound file every browser plays."""
    with tempfile.TemporaryDirectory() as folder, AudioReader(path) as reader:
        target = Path(folder) / "opening.flac"
        left = round(PLAYED_S * reader.sample_rate)
        with AudioWriter(
            target, sample_rate=reader.sample_rate, channels=min(reader.channels, PLAYED_CHANNELS), format="FLAC",
            subtype="PCM_16",
        ) as writer:  # fmt: skip
            for block in reader.blocks():
                writer.write(finite(block[:left, :PLAYED_CHANNELS]))
                left -= len(block)
                if left <= 0:
                    break
        return target.read_bytes()
