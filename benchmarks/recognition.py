"""What small classifiers recognise, from log-mel bands and from what a codec makes of the sound.

    python -m benchmarks.recognition words WORDS NOISE --cache DIR -o docs/pictures/words
    python -m benchmarks.recognition events NOISE NOISE --cache DIR -o docs/pictures/events

WORDS is a folder with a folder for each word, NOISE one of noises with the events ``esc10--CLASS-NUMBER`` among them.
With --encoder, --codec (a checkpoint) and --vae the codec's latents, its codes and a VAE's latents are inputs as well.
Each head is trained three times. Of the words' speakers a fifth is held out for the table, and a sixth of the others to
compare heads on; of the events another file of each class is held out each time, and nothing is compared.
Features and results are kept in the cache, where a run that was interrupted goes on. Prints the table; with -o writes
OUT.json and OUT.png.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rtae.bench.hops import noise as test_noise
from rtae.bench.hops import time_calls
from rtae.model import Model
from rtae.train.export_head import export_head, head_graph
from rtae.train.head_data import (
    codec_latents,
    denoised,
    load_events,
    load_noises,
    load_words,
    log_mel,
    quantised,
)
from rtae.train.head_session import LEVEL
from rtae.train.head_task import SNRS, Split, conditions, folds, held_out, variants
from rtae.train.head_training import Examples, confusion, macro_f1, predictions, train_head
from rtae.train.heads import HOP, SAMPLE_RATE, Head, head_configs
from rtae.train.loop import prepare_process
from rtae.train.nets import parameter_count

SEEDS = (1, 2, 3)
CONDITIONS = (*SNRS, *(f"{name}, denoised" for name in SNRS))
EVENT_CROP = 50
"""Frames of an event that a step of the training looks at: 1 s, as long as a word."""
HOPS_TIMED = 500

Audio = np.ndarray
Row = dict[str, Any]


def inputs(arguments: argparse.Namespace) -> dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Return each input's name, the name of what it is made from, and how."""
    found: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {"log-mel": ("audio", log_mel)}
    if arguments.encoder is not None:
        found["codec latents"] = ("audio", partial(codec_latents, arguments.encoder))
        if arguments.codec is not None:
            found["codes"] = ("codec latents", partial(quantised, arguments.codec))
    if arguments.vae is not None:
        found["VAE latents"] = ("audio", partial(codec_latents, arguments.vae))
    return found


def cached(folder: Path, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return what ``make`` gives, from the cache if it is there."""
    path = folder / f"{name.replace(' ', '-').replace(',', '')}.npy"
    if not path.exists():
        began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, make())
        print(f"computed {path.name} in {time.monotonic() - began:.0f} s", flush=True)
    return np.load(path)


def microseconds(name: str, config: Any, features: int, classes: int, arguments: argparse.Namespace) -> Row:
    """Return the time of a frame of 20 ms in onnxruntime on one thread: the head alone, and with what feeds it."""
    import onnxruntime

    head = Head(config, features, classes).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(head_graph(head, features).SerializeToString(), options)
    state = {"state": head.initial_state(1).numpy()}
    alone = median_us(lambda frame: session.run(None, {"features": frame, **state}), features)
    if name == "log-mel":
        path = arguments.cache / "timed.onnx"
        export_head(head, path, "timed", tuple(map(str, range(classes))), {}, {})
        return {"head_us": alone, "whole_us": median_us(Model(path).classify_step, HOP)}
    encoder = Model(arguments.vae if name == "VAE latents" else arguments.encoder)
    step_us, hop_s = median_us(encoder.latents_step, encoder.spec.hop), encoder.spec.hop / encoder.spec.sample_rate
    return {"head_us": alone, "whole_us": alone + step_us * HOP / SAMPLE_RATE / hop_s}


def median_us(call: Callable[[np.ndarray], object], size: int) -> float:
    """Return the median time of a call on rows of noise."""
    return 1e3 * time_calls(call, list(test_noise(HOPS_TIMED, size)[:, np.newaxis]), 1.0).percentile_ms(50.0)


def main() -> None:
    """Run a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("words", "events"))
    parser.add_argument("sounds", type=Path)
    parser.add_argument("noise", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--codec", type=Path)
    parser.add_argument("--vae", type=Path)
    arguments = parser.parse_args()
    prepare_process(1)
    words = arguments.task == "words"
    sounds = (load_words if words else load_events)(arguments.sounds)
    splits = [held_out(sounds)] * len(SEEDS) if words else folds(sounds)
    assert len(splits) == len(SEEDS), "the events are cut into three files of each class"
    folder = arguments.cache / arguments.task

    # Every sound that some split needs, in every form: once.
    learnt, unseen = (
        np.unique(np.concatenate(part)) for part in zip(*((s.train, s.unseen) for s in splits), strict=True)
    )
    sets: dict[str, np.ndarray] = {}
    test_noises, noises = (load_noises(arguments.noise, test=test) for test in (True, False))
    for condition, make in conditions(sounds.audio[unseen], test_noises).items():
        plain = sets[condition] = cached(folder, f"audio {condition}", make)
        sets[f"{condition}, denoised"] = cached(folder, f"audio {condition}, denoised", partial(denoised, plain))
    for variant, make in variants(sounds.audio[learnt], noises).items():
        sets[f"train {variant}"] = cached(folder, f"audio train {variant}", make)
    features = {"audio": sets}
    rows: list[Row] = []
    for name, (source, function) in inputs(arguments).items():
        made = features[name] = {
            part: cached(folder, f"{name} {part}", partial(function, values))
            for part, values in features[source].items()
        }
        stacked = np.stack([values for part, values in made.items() if part.startswith("train")], axis=1)
        level = LEVEL if name == "log-mel" else 0.0
        for kind, config in head_configs().items():
            for seed, split in zip(SEEDS, splits, strict=True):
                path = folder / "results" / f"{name}-{kind}-{seed}.json".replace(" ", "-")
                if not path.exists():
                    chosen = np.searchsorted(learnt, split.train)
                    examples = Examples(stacked[chosen], sounds.labels[split.train])
                    crop = None if words else EVENT_CROP
                    began = time.monotonic()
                    head = train_head(config, examples, len(sounds.classes), seed=seed, crop=crop, level=level)
                    found = outcome(head, made, unseen, split, sounds.labels)
                    row = {"input": name, "head": kind, "seed": seed, "parameters": parameter_count(head), **found}
                    path.parent.mkdir(exist_ok=True)
                    path.write_text(json.dumps(row))
                    clean = row["test"]["clean"]["accuracy"]
                    print(f"{name}, {kind}, {seed}: {clean:.3f} in {time.monotonic() - began:.0f} s", flush=True)
                rows.append(json.loads(path.read_text()))
            times = microseconds(name, config, stacked.shape[3], len(sounds.classes), arguments)
            for row in rows[-len(SEEDS) :]:
                row |= times
    print(f"{len(learnt)} sounds to train on, {len(unseen)} to test and compare on\n{table(rows)}")
    if arguments.output:
        document = {"task": arguments.task, "classes": sounds.classes, "results": rows}
        arguments.output.with_suffix(".json").write_text(json.dumps(document) + "\n")
        draw(arguments.output.with_suffix(".png"), rows, sounds.classes)


def outcome(head: Head, made: dict[str, np.ndarray], unseen: np.ndarray, split: Split, labels: np.ndarray) -> Row:
    """Return what a head gets right in each condition: of the test and of what heads are compared on."""
    found: dict[str, Row] = {"test": {}, "validation": {}}
    for condition in CONDITIONS:
        for part, indices in (("test", split.test), ("validation", split.validation)):
            if len(indices):
                predicted = predictions(head, made[condition][np.searchsorted(unseen, indices)])
                matrix = confusion(predicted, labels[indices], head.out.out_features)
                accuracy = float(np.trace(matrix) / matrix.sum())
                found[part][condition] = {"accuracy": accuracy, "f1": macro_f1(matrix), "confusion": matrix.tolist()}
    return found


def values(
    rows: list[Row], pair: tuple[str, str], condition: str, measure: str = "accuracy", part: str = "test"
) -> Any:
    """Return a measure of an input and a head, one number a seed."""
    chosen = [row for row in rows if (row["input"], row["head"]) == pair]
    return np.array([row[part][condition][measure] for row in chosen])


def pairs(rows: list[Row]) -> list[tuple[str, str]]:
    """Return the inputs and heads there are, in order."""
    return list(dict.fromkeys((row["input"], row["head"]) for row in rows))


def score(rows: list[Row], pair: tuple[str, str]) -> float:
    """Return the mean over clean and noise by which heads are compared: on other speakers than the table's, if any."""
    part = "validation" if rows[0]["validation"] else "test"
    return float(np.mean([values(rows, pair, name, part=part) for name in SNRS]))


def table(rows: list[Row]) -> str:
    """Return accuracy, mean and spread over the seeds, as Markdown."""
    compared = bool(rows[0]["validation"])
    heading = ["input", "head", "parameters", "us: head", "with its input", *CONDITIONS, "F1, clean"]
    heading += ["compared by"] if compared else []
    lines = [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    for pair in pairs(rows):
        row = next(row for row in rows if (row["input"], row["head"]) == pair)
        cells = [*pair, str(row["parameters"]), f"{row['head_us']:.0f}", f"{row['whole_us']:.0f}"]
        for condition in CONDITIONS:
            found = 100 * values(rows, pair, condition)
            cells.append(f"{found.mean():.1f} ± {found.std(ddof=1):.1f}")
        cells.append(f"{values(rows, pair, 'clean', 'f1').mean():.3f}")
        cells += [f"{100 * score(rows, pair):.1f}"] if compared else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path: Path, rows: list[Row], classes: tuple[str, ...]) -> None:
    """Draw the accuracy of each input's best head, and the confusions of the best of all, clean and at 0 dB."""
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    bars, *matrices = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    names = list(dict.fromkeys(row["input"] for row in rows))
    best_of = {
        name: max((p for p in pairs(rows) if p[0] == name), key=lambda pair: score(rows, pair)) for name in names
    }
    for index, pair in enumerate(best_of.values()):
        found = np.array([values(rows, pair, condition) for condition in CONDITIONS]) * 100
        places = np.arange(len(CONDITIONS)) + (index - (len(names) - 1) / 2) * 0.8 / len(names)
        bars.bar(
            places,
            found.mean(axis=1),
            0.8 / len(names),
            yerr=found.std(axis=1, ddof=1),
            capsize=2,
            label=", ".join(pair),
        )
    bars.axhline(100 / len(classes), color="grey", linewidth=0.8, linestyle=":")
    bars.set_xticks(range(len(CONDITIONS)), [name.replace(", ", ",\n") for name in CONDITIONS], fontsize=8)
    bars.set(ylabel="right, % (mean and spread of 3 trainings)", ylim=(0, 100))
    bars.legend(fontsize=7, loc="upper right")
    best = max(best_of.values(), key=lambda pair: score(rows, pair))
    for axis, name in zip(matrices, ("clean", "0 dB"), strict=True):
        matrix = values(rows, best, name, "confusion").sum(axis=0)
        share = 100 * matrix / matrix.sum(axis=1, keepdims=True)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for row, column in np.argwhere(share >= 1):
            colour = "white" if share[row, column] > 60 else "black"
            axis.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour)
        axis.set_xticks(range(len(classes)), classes, rotation=90, fontsize=8)
        axis.set_yticks(range(len(classes)), classes, fontsize=8)
        axis.set_title(f"{', '.join(best)}: {name}, %", fontsize=9)
        axis.set_xlabel("taken for")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
