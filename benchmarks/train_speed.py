"""Throughput of the trainer: audio-seconds per second of the default denoiser, plain torch against ours.

python -m benchmarks.train_speed SPEECH NOISE [--config denoise-8ms] [--steps 8] [-o DIR]

Every variant runs in a process of its own, on the same examples from the same seed; the loss of the last step, of the
whole batch, stands beside the times, so that a fast variant which learns something else is seen. "plain" is the same
network as in ``plain_training.py``, in float32, with the allocator as it comes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

VARIANTS = {  # name: (plain, threads, processes)
    "plain, 1 thread": (True, 1, 1),
    "plain, 2 threads": (True, 2, 1),
    "1 thread": (False, 1, 1),
    "2 threads": (False, 2, 1),
    "2 processes": (False, 1, 2),
}


def work(arguments: argparse.Namespace) -> None:
    """Run one variant and print what it measured as JSON."""
    import torch

    from benchmarks.plain_training import plain_training
    from rtae.train.distributed import join_world, leave_world, summed
    from rtae.train.loop import prepare_process
    from rtae.train.session import Folders, find_config, make_trainer

    config = find_config(arguments.config)
    if arguments.plain:
        torch.set_num_threads(arguments.threads)
        config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, bf16=False))
    else:
        prepare_process(arguments.threads)
    world = join_world()
    folders = Folders(arguments.speech, arguments.noise, arguments.cache)
    with tempfile.TemporaryDirectory() as output, plain_training() if arguments.plain else nullcontext():
        trainer = make_trainer(config, folders, Path(output), world)
        count = config.optim.batch // world.size
        found, loading, cpu, began = [], 0.0, 0.0, 0.0
        for step in range(arguments.steps):
            if step == 2:  # the first ones warm caches and allocators
                loading, began, cpu = 0.0, time.perf_counter(), cpu_seconds()
            asked = time.perf_counter()
            batch = trainer.task.batch(step, world.rank * count, count)
            loading += time.perf_counter() - asked
            loss = torch.tensor(trainer.train_step(batch)["total"])
            found.append(float(summed(loss)) / world.size)
    wall, cpu = time.perf_counter() - began, cpu_seconds() - cpu
    audio = (arguments.steps - 2) * config.optim.batch * config.data.segment_s
    if world.leads:
        print(json.dumps({
            "audio_s_per_s": audio / wall,
            "audio_s_per_cpu_s": audio / cpu / world.size,
            "loading_share": loading / wall,
            "losses": found,
        }))  # fmt: skip
    leave_world()


def cpu_seconds() -> float:
    """Return the processor time this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(arguments: argparse.Namespace, name: str) -> dict[str, object]:
    """Run one variant in processes of its own."""
    plain, threads, processes = VARIANTS[name]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.train_speed", arguments.speech, arguments.noise, "--work"]
    command += ["--config", arguments.config, "--cache", arguments.cache, "--steps", str(arguments.steps)]
    command += ["--threads", str(threads), *(["--plain"] if plain else [])]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | world | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit(f"variant {name!r} failed")
    return json.loads(outputs[0].splitlines()[-1])


def main() -> None:
    """Measure every variant and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speech", type=Path)
    parser.add_argument("noise", type=Path)
    parser.add_argument("--config", default="denoise-8ms")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rtae")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("-o", "--output", type=Path)
    for hidden in ("--work", "--plain"):
        parser.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments)
        return
    results = {name: measure(arguments, name) for name in VARIANTS}
    plain = results["plain, 1 thread"]
    lines = [
        "| variant | audio s/s | audio s per CPU s | against plain | loading | loss at the last step |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        lines.append(
            f"| {name} | {result['audio_s_per_s']:.1f} | {result['audio_s_per_cpu_s']:.1f} "
            f"| {result['audio_s_per_s'] / plain['audio_s_per_s']:.2f} "
            f"| {100 * result['loading_share']:.1f} % | {result['losses'][-1]:.4f} |"
        )
    print("\n".join(lines))
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "train_speed.json").write_text(json.dumps(results, indent=1))
        (arguments.output / "train_speed.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
