"""A page that shows what a network will hear: examples of the augmentation as pictures and sounds."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import numpy as np
import soundfile

from rtae.atomic import AtomicFile
from rtae.train.config import TrainConfig
from rtae.train.mix import Mixer
from rtae.train.pictures import spectrogram_figure
from rtae.train.session import Folders, open_material

EXAMPLES = 12


def write_showcase(config: TrainConfig, folders: Folders, output: Path) -> Path:
    """Write ``index.html`` with everything inside into ``output`` and return its path."""
    training, _ = open_material(config, folders)
    mixer = Mixer(training, config.data, config.optim.seed)
    parts = [_section(mixer, number) for number in range(EXAMPLES)]
    output.mkdir(parents=True, exist_ok=True)
    path = output / "index.html"
    page = _PAGE.format(name=config.name, rate=mixer.sample_rate, body="\n".join(parts))
    with AtomicFile(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def _section(mixer: Mixer, number: int) -> str:
    example = mixer.example(number)
    signals = {"noisy": example.noisy, "clean": example.clean}
    picture = io.BytesIO()
    spectrogram_figure(signals, mixer.sample_rate).savefig(picture, format="png", dpi=70)
    players = "".join(
        f"<figure><figcaption>{name}</figcaption>{_player(mixer, x)}</figure>" for name, x in signals.items()
    )
    level_db, noise_db = _level_db(example.noisy), _level_db(example.noisy - example.clean)
    return (
        f"<section><h2>Example {number}</h2><p>{html.escape(', '.join(example.done))}</p>"
        f"<p>level {level_db:.0f} dBFS, removed part {noise_db:.0f} dBFS</p>"
        f'<img alt="spectrograms of example {number}" src="data:image/png;base64,{_text(picture)}">{players}</section>'
    )


def _player(mixer: Mixer, signal: np.ndarray) -> str:
    sound = io.BytesIO()
    soundfile.write(sound, signal, mixer.sample_rate, format="FLAC", subtype="PCM_16")
    return f'<audio controls preload="none" src="data:audio/flac;base64,{_text(sound)}"></audio>'


def _text(file: io.BytesIO) -> str:
    return base64.b64encode(file.getvalue()).decode()


def _level_db(signal: np.ndarray) -> float:
    return float(10 * np.log10(np.square(signal).mean() + 1e-12))


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Training data of {name}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }}
img {{ width: 100% }} figure {{ display: inline-block; margin: 0 1rem 1rem 0 }}
</style>
<h1>Training data of {name}</h1>
<p>Examples as the network hears them, at {rate} Hz: noisy above, what it should return below.</p>
{body}
</html>
"""
