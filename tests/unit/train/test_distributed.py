import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from rtae.train.distributed import World
from rtae.train.session import Folders, make_trainer

WORKER = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from tests.unit.train.conftest import TINY
from rtae.train.config import parse_config
from rtae.train.distributed import average_gradients, join_world, leave_world
from rtae.train.session import Folders, make_trainer
torch.set_num_threads(1)
root, output = Path(sys.argv[1]), Path(sys.argv[2])
TINY["optim"]["bf16"] = False
world = join_world()
trainer = make_trainer(parse_config(TINY), Folders(root / "speech", root / "noise", root / "cache"), output, world)
count = 4 // world.size
trainer.task.terms(trainer.net, trainer.task.batch(0, world.rank * count, count))["total"].backward()
average_gradients(list(trainer.net.parameters()))
if world.leads:
    save_file({name: item.grad for name, item in trainer.net.named_parameters()}, output / "gradients.safetensors")
leave_world()
"""


def gradients(folders: Folders, output: Path, processes: int) -> dict[str, torch.Tensor]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    root = Path(__file__).parents[3]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folders.speech.parent), str(output)],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": str(root)},
        )
        for rank in range(processes)
    ]
    assert [process.wait(timeout=300) for process in started] == [0] * processes
    return load_file(output / "gradients.safetensors")


def test_two_processes_have_the_gradient_of_one_with_both_batches(folders: Folders, tmp_path: Path, config) -> None:
    make_trainer(config, folders, tmp_path / "warm", World(0, 1, torch.device("cpu")))  # decodes the recordings once
    one = gradients(folders, tmp_path / "one", 1)
    two = gradients(folders, tmp_path / "two", 2)
    assert one.keys() == two.keys() and len(one) > 20
    flat_one, flat_two = (torch.cat([g[key].reshape(-1) for key in sorted(g)]) for g in (one, two))
    assert flat_one.norm() > 1e-3
    assert (flat_one - flat_two).norm() / flat_one.norm() < 1e-5
