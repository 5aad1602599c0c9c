"""What fine-tuning brings: a shipped model before and after it was adapted to a room, on held-out parts of that room.

python -m benchmarks.fine_tuning SPEECH RECORDING... [--budget 10] [--elsewhere PAIRS] -o DIR

RECORDING are sounds of the room without speech, SPEECH is a folder of clean speech that neither the model nor the
speech in the package has (dev/clean of the pairs that ``rtae eval`` takes, for instance). The last third of every
recording is held out; the rest is the folder ``my-room`` of the command in docs/training.md, which is run as it stands
there. Held-out noise and speech are mixed at four ratios and go through ``rtae.evaluate``, both models in one run.
PAIRS show what the adaptation costs in other places.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.figure import Figure

from rtae.evaluate import environment
from rtae.evaluate.metrics import METRICS
from rtae.evaluate.pairs import Pair, read_pairs
from rtae.evaluate.report import markdown_table, measure_heading, measure_number
from rtae.evaluate.resampling import resample
from rtae.evaluate.results import SystemResult
from rtae.evaluate.run import evaluate
from rtae.evaluate.statistics import Estimate, bootstrap
from rtae.evaluate.systems import ModelSystem
from rtae.train.mix import active_rms

SNRS_DB = (-2.5, 2.5, 7.5, 12.5)
SPEECH_DBFS = -26.0
GAP_S = 0.1
"""Left out between the part that is trained on and the one that is held out."""
SHOWN = ("pesq_wb", "estoi", "si_sdr", "dnsmos_ovrl", "pause_noise_db")


def split_room(recordings: Sequence[Path], folder: Path) -> tuple[list[np.ndarray], int, float]:
    """Write the first two thirds of every recording into ``folder``; return the last ones, their rate and the seconds
    written."""
    folder.mkdir(parents=True)
    held, rates, seconds = [], set(), 0.0
    for number, path in enumerate(recordings):
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = audio.mean(axis=1)
        cut = 2 * len(mono) // 3
        soundfile.write(folder / f"room-{number}.flac", mono[:cut], rate)
        held.append(mono[cut + round(GAP_S * rate) :])
        rates.add(rate)
        seconds += cut / rate
    if len(rates) > 1:
        sys.exit(f"the recordings have the rates {sorted(rates)}; give recordings of one room and one microphone")
    return held, rates.pop(), seconds


def mix(speech_files: Sequence[Path], held: Sequence[np.ndarray], rate: int) -> list[Pair]:
    """Return every speech recording in a random part of the held-out noise; ratios take turns."""
    rng = np.random.default_rng(0)
    pairs = []
    for number, path in enumerate(speech_files):
        speech, speech_rate = soundfile.read(path, dtype="float32")
        noise = resample(held[number % len(held)], rate, speech_rate)
        if len(noise) <= len(speech):
            sys.exit(f"{path} is longer than the {len(noise) / speech_rate:.1f} s of held-out noise; record more")
        start = int(rng.integers(len(noise) - len(speech)))
        clean = speech * (10 ** (SPEECH_DBFS / 20) / active_rms(speech, speech_rate))
        noise = noise[start : start + len(speech)]
        snr_db = SNRS_DB[number % len(SNRS_DB)]
        noise = noise * (active_rms(clean, speech_rate) / active_rms(noise, speech_rate) * 10 ** (-snr_db / 20))
        pairs.append(Pair(path.stem, clean.astype(np.float32), (clean + noise).astype(np.float32), speech_rate))
    return pairs


def change(results: Sequence[SystemResult], name: str) -> Estimate | None:
    """Return the mean change from before to after, recording by recording."""
    before, after = results[1].scores, results[2].scores
    differences = [
        None if (old := before[key][name]) is None or (new := after[key][name]) is None else new - old for key in before
    ]
    return bootstrap(differences, 0)


def table(results: Sequence[SystemResult]) -> str:
    """Return means of the noisy input, before and after, and the change with its interval."""
    rows = []
    for name, metric in METRICS.items():
        found = change(results, name)
        means = [estimate for result in results if (estimate := result.means[name]) is not None]
        if found is None or len(means) < len(results):
            continue
        cells = [measure_number(estimate.mean, metric) for estimate in means]
        interval = " … ".join(measure_number(value, metric) for value in (found.low, found.high))
        rows.append([measure_heading(metric), *cells, measure_number(found.mean, metric), interval])
    return markdown_table(["measure", "noisy", "before", "after", "change", "95 % interval"], rows)


def picture(places: dict[str, list[SystemResult]]) -> Figure:
    """Draw the means of a few measures in every place, a row each, with the interval of the change in the title."""
    figure = Figure(figsize=(13, 3.4 * len(places)), layout="constrained")
    panels = figure.subplots(len(places), len(SHOWN), squeeze=False)
    for row, (place, results) in zip(panels, places.items(), strict=True):
        for panel, name in zip(row, SHOWN, strict=True):
            found, metric = change(results, name), METRICS[name]
            values = [0.0 if (estimate := result.means[name]) is None else estimate.mean for result in results]
            bars = panel.bar([result.name for result in results], values, color=["0.75", "#8da0cb", "#1b7837"])
            panel.bar_label(bars, [measure_number(value, metric) for value in values], padding=2, fontsize=9)
            panel.margins(y=0.15)
            panel.set_ylabel(measure_heading(metric).rstrip("↑↓ "))
            panel.spines[["top", "right"]].set_visible(False)
            if found is not None:
                low, mean, high = (measure_number(value, metric) for value in (found.low, found.mean, found.high))
                better = "higher" if metric.higher_is_better else "lower"
                panel.set_title(f"after - before: {mean}\n({low} to {high}; {better} is better)", fontsize=9)
        row[0].annotate(place, (-0.42, 0.5), xycoords="axes fraction", rotation=90, va="center", weight="bold")
    return figure


def rtae(*arguments: object) -> str:
    """Run a command of rtae, show what it says, and return it."""
    command = [sys.executable, "-m", "rtae", *map(str, arguments)]
    print("$ rtae", *arguments, flush=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(process.returncode)
    return "".join(lines)


def training_facts(said: str) -> str:
    """Return the steps taken and how quick they were, from what ``rtae train`` printed."""
    steps = re.findall(r"^step (\d+)  validation", said, re.MULTILINE)
    speeds = re.findall(r"([\d.]+) x real time", said)
    return f"{steps[-1]} steps" + (f" at {speeds[-1]} times real time" if speeds else "")


def main() -> None:
    """Split, adapt, evaluate; write the tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speech", type=Path, help="folder of clean speech, unknown to the model")
    parser.add_argument("recordings", type=Path, nargs="+", help="sounds of the room, without speech")
    parser.add_argument("--model", default="denoise", help="shipped model to adapt (denoise)")
    parser.add_argument("--budget", type=float, default=10.0, metavar="MINUTES")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--elsewhere", type=Path, metavar="PAIRS", help="also evaluate on pairs of other places")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rtae")
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder for everything")
    arguments = parser.parse_args()
    output: Path = arguments.output
    speech = sorted(path for path in arguments.speech.iterdir() if path.suffix in {".wav", ".flac", ".opus"})
    held, rate, seconds = split_room(arguments.recordings, output / "my-room")
    said = rtae(
        "train", "--from", arguments.model, "--noise", output / "my-room", "--budget", arguments.budget,
        "--threads", arguments.threads, "--cache", arguments.cache, "-o", output / "run",
    )  # fmt: skip
    rtae("export", output / "run" / "best.safetensors", "-o", output / "my-room.onnx", "--force")
    systems = [ModelSystem(arguments.model, "before"), ModelSystem(output / "my-room.onnx", "after")]
    with environment.one_thread():
        places = {"the room": evaluate(mix(speech, held, rate), systems)}
        if arguments.elsewhere:
            places["elsewhere"] = evaluate(read_pairs(arguments.elsewhere), systems)
    facts = f"{seconds:.0f} s of the room, {arguments.budget:g} minutes, {training_facts(said)}"
    page = [facts, *(f"## {place.capitalize()}\n\n{table(results)}" for place, results in places.items())]
    (output / "fine_tuning.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")
    document = {
        "room_seconds": seconds,
        "budget_minutes": arguments.budget,
        "training": said.splitlines(),
        "environment": environment.describe(),
        "places": {place: [dataclasses.asdict(result) for result in results] for place, results in places.items()},
    }
    (output / "fine_tuning.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    picture(places).savefig(output / "fine_tuning.png", dpi=90)
    print("\n\n".join(page))


if __name__ == "__main__":
    main()
