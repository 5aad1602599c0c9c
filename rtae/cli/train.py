"""``rtae train``: train a model or a classifier, adapt one to a room, search for a size, or show the training data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rtae.atomic import AtomicFile
from rtae.cli.torch_extra import need_torch
from rtae.errors import ParameterError

if TYPE_CHECKING:
    from rtae.train.config import TrainConfig
    from rtae.train.session import Folders

CACHE = Path.home() / ".cache" / "rtae"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="name of a shipped configuration, or a .toml file")
    parser.add_argument("--speech", type=Path, metavar="DIR", help="clean speech (by default a few bundled minutes)")
    parser.add_argument("--noise", type=Path, metavar="DIR", help="noise without speech", required=True)
    parser.add_argument(
        "--sounds", type=Path, metavar="DIR", help="for a classifier (CONFIG heads/...): CLASS/SPEAKER-TAKE.wav"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="checkpoints and log (runs/NAME)")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help=f"decoded recordings ({CACHE})")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="shorten the schedule to this time")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="continue from the output folder's last checkpoint")
    start.add_argument("--from", dest="weights", metavar="WEIGHTS", help="start from a shipped model or a checkpoint")
    start.add_argument("--search", type=int, metavar="TRIALS", help="try network sizes, --budget minutes each and fold")
    start.add_argument("--show-data", type=Path, metavar="DIR", help="write a page of what the network will hear")
    parser.add_argument(
        "--folds", type=int, default=1, metavar="N", help="with --search: folds of cross-validation (1)"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads a process (1)")


def run(arguments: argparse.Namespace) -> int:
    """Train as asked."""
    need_torch()
    from rtae.train.loop import prepare_process
    from rtae.train.session import Folders, bundled_speech

    if arguments.budget is not None and arguments.budget <= 0:
        raise ParameterError(f"--budget is {arguments.budget}; give minutes above 0")
    for option in ("search", "folds", "threads"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise ParameterError(f"--{option} is {value}; give 1 or more")
    prepare_process(arguments.threads)
    if arguments.sounds or (arguments.config or "").startswith("heads/"):
        return _classifier(arguments)
    folders = Folders(arguments.speech or bundled_speech(), arguments.noise, arguments.cache)
    config = _config(arguments)
    output = arguments.output or Path("runs") / config.name
    if arguments.show_data:
        from rtae.train.showcase import write_showcase

        print(write_showcase(config, folders, arguments.show_data))
        return 0
    if arguments.search:
        return _search(arguments, config, folders, output)
    return _train(arguments, config, folders, output)


def _config(arguments: argparse.Namespace) -> TrainConfig:
    from rtae.train.session import find_config, fine_tuning

    if arguments.config:
        return find_config(arguments.config)
    if not arguments.weights:
        raise ParameterError("give a CONFIG to train, or --from WEIGHTS to adapt a model")
    return fine_tuning(arguments.weights)


def _train(arguments: argparse.Namespace, config: TrainConfig, folders: Folders, output: Path) -> int:
    from rtae.train.checkpoint import load_checkpoint
    from rtae.train.distributed import join_world, leave_world
    from rtae.train.loop import LAST
    from rtae.train.session import find_weights, make_trainer

    if (output / LAST).exists() and not arguments.resume:
        raise ParameterError(f"{output} holds a training; --resume continues it, -o writes elsewhere")
    world = join_world()
    try:
        trainer = make_trainer(config, folders, output, world)
        if arguments.resume:
            trainer.resume(output / LAST)
        elif arguments.weights:
            trainer.load_weights(load_checkpoint(find_weights(arguments.weights))[0])
        trainer.run(arguments.budget)
    finally:
        leave_world()
    if world.leads:
        print(f"{trainer.seconds / 3600:.2f} hours of audio; best validation loss {trainer.best:.4f}; "
              f"next: {_next_step(config, output / 'best.safetensors')}")  # fmt: skip
    return 0


def _next_step(config: TrainConfig, best: Path) -> str:
    """Return how the network becomes a model, and a codec is heard."""
    if config.codec is None:
        return f"rtae export {best} -o {config.name}.onnx"
    export, model = f"rtae export {best} -o models/", f"models/{config.name}"
    if config.codec.bottleneck == "gaussian":
        hear = f"python examples/vae/vae.py -m {model} reconstruct speech.wav -o again.wav"
    elif config.codec.part == "encoder":
        return f"{export} (the encoder alone; it goes with the decoder it was trained for)"
    else:
        hear = f"rtae encode speech.wav speech.rtae -m {model} && rtae decode speech.rtae again.wav -m {model}"
    return f"{export}\nthen hear it: {hear}"


NOT_FOR_CLASSIFIERS = ("speech", "budget", "resume", "weights", "search", "show_data")


def _classifier(arguments: argparse.Namespace) -> int:
    from rtae.train.head_session import find_head_config, save_head, train_classifier
    from rtae.train.loop import LAST

    if not arguments.sounds or not arguments.config:
        raise ParameterError(
            "a classifier takes a CONFIG, as heads/recurrent, and --sounds with a folder for each class"
        )
    for option in NOT_FOR_CLASSIFIERS:
        if getattr(arguments, option):
            name = {"weights": "from"}.get(option, option.replace("_", "-"))
            raise ParameterError(f"--{name} is not for classifiers; leave it out")
    config = find_head_config(arguments.config)
    output = arguments.output or Path("runs") / config.kind
    if (output / LAST).exists():
        raise ParameterError(f"{output} holds a training; -o writes elsewhere")
    trained = train_classifier(config, arguments.sounds, arguments.noise)
    output.mkdir(parents=True, exist_ok=True)
    save_head(output / LAST, trained)
    print(f"{len(trained.classes)} classes; right on speakers and noises never heard, and (to compare configurations) "
          "on speakers held out beside them:")  # fmt: skip
    for name, share in trained.test.items():
        print(f"{name:6} {100 * share:5.1f} %  ({100 * trained.validation[name]:.1f} %)")
    print(f"next: rtae export {output / LAST} -o {output.name}.onnx")
    return 0


def _search(arguments: argparse.Namespace, config: TrainConfig, folders: Folders, output: Path) -> int:
    from rtae.train.search import search

    trials = search(config, folders, output, arguments.search, arguments.budget or 5.0, arguments.folds)
    rows = [["validation", *trials[0].choice, "parameters", "us a hop"]]
    rows.append(["---"] * len(rows[0]))
    for trial in sorted(trials, key=lambda item: item.score):
        score = f"{trial.score:.4f} ± {trial.spread:.4f}"
        rows.append([score, *map(str, trial.choice.values()), str(trial.parameters), f"{trial.microseconds:.0f}"])
    for row in rows:
        print("|", " | ".join(row), "|")
    best = min(trials, key=lambda item: item.score)
    path = output / "best.toml"
    with AtomicFile(path) as part:
        part.write_text(best.toml(config), encoding="utf-8")
    print(f"the best choice is in {path}")
    return 0
