"""Listening pages: what goes in and what comes out, to be heard and seen, one folder with clips, pictures and index.md.

python benchmarks/listening.py denoise PAIRS --index index.csv -o docs/listening/denoise
python benchmarks/listening.py codec PAIRS encoder.onnx decoder.onnx --index index.csv -o docs/listening/codec

PAIRS holds clean/ and noisy/; the index names for each file its source and for each source its licence (columns file,
source, licence). What was written by hand below the page's last heading stays when it is made again.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from rtae.atomic import AtomicFile
from rtae.cli import message
from rtae.cli.demo import RECORDING
from rtae.errors import ParameterError, RtaeError
from rtae.evaluate import environment
from rtae.evaluate.codecs import Coded, ModelCodec
from rtae.evaluate.metrics import METRICS, score
from rtae.evaluate.pairs import Pair, read_pairs
from rtae.evaluate.report import markdown_table, measure_heading, measure_number
from rtae.evaluate.resampling import resample
from rtae.evaluate.systems import ModelSystem, stream
from rtae.model import Model
from rtae.train.pictures import spectrogram_figure

CLIP_HZ = 48_000
CLIP_KBPS = 48
"""Bit rate of the clips, Ogg Opus; libsndfile's compression level goes from 256 kbps at 0 to 6 at 1."""
CODEC_KBPS = (3, 6, 9)
MEASURES = ("pesq_wb", "estoi")
REMARKS = "## What is to be heard"

Signal = np.ndarray


@dataclass(frozen=True)
class Item:
    """One recording of a page: its versions by name, what they are held against, and where it is from."""

    name: str
    signals: Mapping[str, Signal]
    sample_rate: int
    clean: Signal | None
    source: str


def main(argv: Sequence[str] | None = None) -> int:
    options = _arguments(argv)
    with environment.one_thread():
        pairs = read_pairs(options.pairs)
        sources = _sources(options.index)
        chosen = pairs[:: max(1, len(pairs) // options.count)][: options.count]
        missing = [pair.name for pair in chosen if pair.name not in sources]
        if missing:
            raise ParameterError(
                f"{options.index} does not name source and licence of {missing[0]}; it may not be published"
            )
        if options.page == "codec":
            title, about, items = _codec(options, chosen, sources)
        else:
            title, about, items = _denoiser(options, chosen, sources)
        _write(options.output, title, about, items)
    size = sum(path.stat().st_size for path in options.output.iterdir())
    print(f"{options.output / 'index.md'}: {len(items)} recordings, {size / 2**20:.2f} MiB")
    return 0


def _denoiser(
    options: argparse.Namespace, pairs: Sequence[Pair], sources: Mapping[str, str]
) -> tuple[str, str, list[Item]]:
    system = ModelSystem(options.model)

    def item(name: str, noisy: Signal, rate: int, clean: Signal | None, source: str) -> Item:
        enhanced = stream(system, noisy, rate).aligned
        signals = {"before": noisy, "after": enhanced, "removed": noisy - enhanced}
        return Item(name, signals, rate, clean, source)

    items = [item(pair.name, pair.noisy, pair.sample_rate, pair.clean, sources[pair.name]) for pair in pairs]
    assets = Path(__file__).parents[1] / "rtae" / "assets"
    bundled, rate = soundfile.read(assets / RECORDING, dtype="float32")
    source = "the recording of `rtae demo`, see [its sources](../../../rtae/assets/README.md)"
    items.append(item(Path(RECORDING).stem, bundled, rate, None, source))
    about = (
        f"The model `{system.name}`, {1e3 * (system.delay + system.hop) / system.sample_rate:g} ms of algorithmic "
        "latency, without an attenuation limit: before, after, and what was taken away."
    )
    return f"Listening: {system.name}", about, items


def _codec(
    options: argparse.Namespace, pairs: Sequence[Pair], sources: Mapping[str, str]
) -> tuple[str, str, list[Item]]:
    encoder, decoder = Model(options.encoder), Model(options.decoder)
    spec = encoder.spec
    stage_kbps = 1e-3 * spec.codebook_bits * spec.sample_rate / spec.hop
    codecs = {f"{kbps:g} kbps": ModelCodec(encoder, decoder, round(kbps / stage_kbps)) for kbps in options.kbps}
    items = []
    for pair in pairs:
        decoded = {name: stream(Coded(codec), pair.clean, pair.sample_rate).aligned for name, codec in codecs.items()}
        items.append(
            Item(pair.name, {"original": pair.clean, **decoded}, pair.sample_rate, pair.clean, sources[pair.name])
        )
    latency_ms = 1e3 * (spec.delay + decoder.spec.algorithmic_latency) / spec.sample_rate
    about = (
        f"Speech through `{spec.name}` and `{decoder.spec.name}`: {spec.sample_rate / 1e3:g} kHz inside, packets of "
        f"{spec.hop_ms:g} ms, {latency_ms:g} ms of algorithmic latency."
    )
    return "Listening: the codec", about, items


def _write(folder: Path, title: str, about: str, items: Sequence[Item]) -> None:
    page = folder / "index.md"
    remarks = ""
    if page.is_file():
        remarks = page.read_text(encoding="utf-8").partition(REMARKS)[2]
    parts = [
        f"# {title}",
        f"{about} Clips are Ogg Opus at {CLIP_KBPS} kbps; GitHub shows links, the built site players.",
    ]
    contents: dict[str, bytes] = {}
    for item in items:
        versions = list(item.signals)
        files = {version: f"{item.name}-{version.replace(' ', '')}.ogg" for version in versions}
        contents |= {files[version]: _clip(item.signals[version], item.sample_rate) for version in versions}
        picture = f"{item.name}.webp"
        contents[picture] = _picture(item)
        heading = ["", *versions]
        rows = [
            ["audio", *(f'<audio controls preload="none" src="{files[name]}"></audio>' for name in versions)],
            ["file", *(f"[{name}]({files[name]})" for name in versions)],
            *_scores(item),
        ]
        parts += [
            f"## {item.name}",
            f"![Spectrograms: {', '.join(versions)}]({picture})",
            markdown_table(heading, rows),
        ]
    sources = [f"- {item.name}: {item.source}" for item in items]
    parts += [
        "## Where the recordings are from",
        "\n".join(sources),
        REMARKS + (remarks or "\n\nNot listened to yet.\n"),
    ]
    contents["index.md"] = ("\n\n".join(parts).rstrip("\n") + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            with AtomicFile(folder / name) as beside:
                beside.write_bytes(content)
    except OSError as error:
        raise ParameterError(f"cannot write to {folder}: {error.strerror}; choose another -o") from None


def _scores(item: Item) -> list[list[str]]:
    if item.clean is None:
        return []
    scores = {name: score(item.clean, signal, item.sample_rate, MEASURES) for name, signal in item.signals.items()}
    rows = []
    for measure in MEASURES:
        values = [scores[name][measure] for name in item.signals if name != "removed"]
        cells = ["–" if value is None else measure_number(value, METRICS[measure]) for value in values]
        rows.append([measure_heading(METRICS[measure]), *cells, *[""] * (len(item.signals) - len(cells))])
    return rows


def _clip(signal: Signal, rate: int) -> bytes:
    clip = io.BytesIO()
    audio = np.clip(resample(signal, rate, CLIP_HZ), -1, 1)
    level = (256 - CLIP_KBPS) / (256 - 6)
    soundfile.write(clip, audio, CLIP_HZ, format="OGG", subtype="OPUS", compression_level=level)
    return clip.getvalue()


def _picture(item: Item) -> bytes:
    picture = io.BytesIO()
    figure = spectrogram_figure(item.signals, item.sample_rate)
    figure.savefig(picture, format="webp", dpi=90, pil_kwargs={"quality": 60})
    return picture.getvalue()


def _sources(path: Path) -> dict[str, str]:
    """Return for each recording its sources with their licences, as a sentence."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ParameterError(f"cannot read the index {path}: {error.strerror}") from None
    if not rows or not {"file", "source", "licence"} <= rows[0].keys():
        raise ParameterError(f"{path} is no index: it needs the columns file, source and licence")
    licences = {row["source"]: row["licence"] for row in rows if row["licence"]}
    found = {}
    for row in rows:
        parts = row["source"].split(" + ")
        if all(part in licences for part in parts):
            found[Path(row["file"]).stem] = ", ".join(
                f"[{part}](https://github.com/{part}) ({licences[part]})" for part in parts
            )
    return found


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pages = parser.add_subparsers(dest="page", required=True)
    for name, count in (("denoise", 10), ("codec", 6)):
        page = pages.add_parser(name)
        page.add_argument("pairs", help="folder with clean/ and noisy/ recordings of equal names")
        page.add_argument("--index", type=Path, required=True, metavar="FILE", help="sources and licences (.csv)")
        page.add_argument("--count", type=int, default=count, metavar="N", help="recordings (%(default)s)")
        page.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the page")
        if name == "denoise":
            page.add_argument("--model", default="denoise", help="shipped model or model file (%(default)s)")
        else:
            page.add_argument("encoder", type=Path, help="encoder file (.onnx)")
            page.add_argument("decoder", type=Path, help="decoder file (.onnx)")
            page.add_argument("--kbps", type=float, nargs="+", default=CODEC_KBPS, help="bit rates (3 6 9)")
    options = parser.parse_args(argv)
    if options.count < 1:
        raise ParameterError(f"--count is {options.count}; give at least 1")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtaeError as error:
        sys.exit(message(error))
