import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file

from rtae.train.distributed import World, average_gradients
from rtae.train.loop import Trainer
from rtae.train.session import Folders, make_trainer
from tests.unit.train.conftest import tiny
from tests.unit.train.test_codec import SIZES

ADVERSARY = {"adversarial_weight": 0.1, "feature_weight": 0.2}
FULL = {"optim": {"bf16": False}}
CASES = {
    "denoiser": FULL,
    "every loss of a denoiser": FULL
    | {
        "loss": ADVERSARY
        | {"si_sdr_weight": 0.1, "estoi_weight": 0.1, "dnsmos_weight": 0.1, "discriminator_windows": [256]}
    },
    "codec": FULL | {"codec": SIZES | ADVERSARY | {"continuous_steps": 0}},
    "variational codec": FULL | {"codec": SIZES | {"bottleneck": "gaussian"}},
}

WORKER = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from tests.unit.train import test_distributed as ours
from rtae.train.distributed import join_world, leave_world
torch.set_num_threads(1)
world = join_world()
for name, case in json.loads(sys.argv[1]).items():
    found = ours.two_steps(case, Path(sys.argv[2]), Path(sys.argv[3]), world)
    save_file(found, Path(sys.argv[3]) / f"{name}-{world.rank}.safetensors")
leave_world()
"""


@patch.object(torch.Tensor, "float", torch.Tensor.double)
def two_steps(case: dict[str, object], root: Path, output: Path, world: World) -> dict[str, torch.Tensor]:
    """Return the gradients of a first batch, and what the network is after two steps.

    Every computation is in double precision: in single precision kernels for half of a batch and for the whole
    are up to 1e-4 apart, by processor, and a wrong weight of a small term would hide in that.
    """
    folders = Folders(root / "speech", root / "noise", root / "cache")
    trainer = make_trainer(tiny(**case), folders, output / "run", world)
    for module in (trainer.net, trainer.average, trainer.task.loss):
        module.double()
    drawn = trainer.task.batch
    trainer.task.batch = lambda *place: tuple(part.double() for part in drawn(*place))
    own = slice(world.rank * 4 // world.size, (world.rank + 1) * 4 // world.size)

    def batch(step: int) -> tuple[torch.Tensor, ...]:
        return trainer.task.batch(step, own.start, own.stop - own.start)

    kept = {name: value.clone() for name, value in trainer.net.state_dict().items()}
    trainer.net.train()
    trainer.task.terms(trainer.net, batch(0))["total"].backward()
    average_gradients(list(trainer.net.parameters()))
    found = {f"gradient.{n}": p.grad.clone() for n, p in trainer.net.named_parameters() if p.grad is not None}
    trainer.net.load_state_dict(kept)
    for step in (0, 1):
        trainer.train_step(batch(step))
    return found | {f"net.{name}": value.clone() for name, value in trainer.net.state_dict().items()}


def start_two(code: str, *arguments: str) -> list[subprocess.Popen[bytes]]:
    """Start ``code`` in two processes that train together."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    root = str(Path(__file__).parents[3])
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": root},
        )
        for rank in range(2)
    ]


@pytest.fixture(scope="module")
def apart(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes with half of the batch each come to, in every case."""
    output = tmp_path_factory.mktemp("apart")
    alone = World(0, 1, torch.device("cpu"))
    for name, case in CASES.items():  # decodes the recordings once
        make_trainer(tiny(**case), folders, output / name, alone)
    started = start_two(WORKER, json.dumps(CASES), str(folders.speech.parent), str(output))
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    return output


def flat(tensors: dict[str, torch.Tensor], start: str) -> torch.Tensor:
    found = [tensors[key].reshape(-1).double() for key in sorted(tensors) if key.startswith(start)]
    return torch.cat([torch.zeros(0), *found])


@pytest.mark.parametrize("name", CASES)
def test_two_processes_do_what_one_does_with_both_batches(
    name: str, apart: Path, folders: Folders, tmp_path: Path
) -> None:
    first, second = (load_file(apart / f"{name}-{rank}.safetensors") for rank in (0, 1))
    alone = World(0, 1, torch.device("cpu"))
    one = two_steps(CASES[name], folders.speech.parent, tmp_path, alone)
    assert one.keys() == first.keys() == second.keys() and len(one) > 40
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    gradient = flat(one, "gradient.")
    assert gradient.norm() > 1e-3
    difference = (gradient - flat(first, "gradient.")).norm() / gradient.norm()
    assert difference < 1e-10
    for part in ("net.codec.bottleneck.codebooks", "net."):  # the first is what the moving averages of a codec come to
        after = flat(one, part)
        assert name != "codec" or after.norm() > 0.1
        assert (after - flat(first, part)).norm() <= 1e-3 * after.norm()


UNEQUAL = """
import sys
from pathlib import Path
import torch
from rtae.train import loop
from rtae.train.distributed import join_world, leave_world
from rtae.train.session import Folders, make_trainer
from tests.unit.train.conftest import tiny
torch.set_num_threads(1)
world = join_world()
clock = iter(range(0, 10**6, 3 + world.rank))  # the second process takes a third longer
loop.time.monotonic = lambda: next(clock)
root, output = map(Path, sys.argv[1:])
config = tiny(optim={"steps": 1000, "validate_every": 1000})
trainer = make_trainer(config, Folders(root / "speech", root / "noise", root / "cache"), output / "run", world)
trainer.run(budget_minutes=4)
(output / str(world.rank)).write_text(f"{trainer.step} of {trainer.steps}")
leave_world()
threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
(output / f"threads-{world.rank}").write_text(" ".join(name for name in threads if "gloo" in name))
"""


def test_with_a_budget_processes_agree_on_the_schedule(trainer: Trainer, folders: Folders, tmp_path: Path) -> None:
    """``trainer`` has decoded the recordings before."""
    started = start_two(UNEQUAL, str(folders.speech.parent), str(tmp_path))
    assert [process.wait(timeout=100) for process in started] == [0, 0]
    first, second = ((tmp_path / str(rank)).read_text() for rank in range(2))
    assert first == second
    assert 20 <= int(first.split()[0]) <= int(first.split()[2]) < 1000
    for rank in range(2):  # one that ends later than Python aborts the process
        assert (tmp_path / f"threads-{rank}").read_text() == ""
