import dataclasses
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.plain_training import plain_training
from rtae.errors import ModelFormatError, RtaeError
from rtae.train import loop
from rtae.train.checkpoint import load_checkpoint, save_checkpoint
from rtae.train.config import TrainConfig
from rtae.train.distributed import World
from rtae.train.loop import BEST, LAST, Trainer, learning_rate
from rtae.train.session import Folders, make_trainer

ALONE = World(0, 1, torch.device("cpu"))


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([value.reshape(-1) for value in trainer.net.state_dict().values()])


def test_training_lowers_the_loss_and_keeps_the_best_weights(trainer: Trainer) -> None:
    trainer.steps = 40
    trainer.config = dataclasses.replace(trainer.config, optim=dataclasses.replace(trainer.config.optim, steps=40))
    before = trainer.validate()["total"]
    trainer.run()
    assert trainer.step == 40
    assert trainer.best < before
    assert {LAST, BEST} <= {path.name for path in trainer.folder.iterdir()}


def test_the_quick_training_learns_as_the_plain_one_does(config: TrainConfig, folders: Folders, tmp_path: Path) -> None:
    def curve(name: str, **optim: object) -> np.ndarray:
        changed = dataclasses.replace(config.optim, steps=60, validate_every=60, **optim)
        trainer = make_trainer(dataclasses.replace(config, optim=changed), folders, tmp_path / name, ALONE)
        batches = (trainer.task.batch(step, 0, changed.batch) for step in range(changed.steps))
        return np.array([trainer.train_step(batch)["total"] for batch in batches])

    quick = curve("quick")
    with plain_training():
        plain = curve("plain", bf16=False)
    assert plain[-10:].mean() < 0.8 * plain[:10].mean()
    assert not np.array_equal(quick, plain)
    np.testing.assert_allclose(quick, plain, rtol=0.02)


def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(
    config: TrainConfig, folders: Folders, tmp_path: Path
) -> None:
    whole = make_trainer(config, folders, tmp_path / "whole", ALONE)
    whole.run()
    begun = make_trainer(config, folders, tmp_path / "parts", ALONE)
    for step in range(4):
        begun.train_step(begun.task.batch(step, 0, config.optim.batch))
    begun.save(LAST)
    resumed = make_trainer(config, folders, tmp_path / "parts", ALONE)
    assert not torch.equal(weights(resumed), weights(begun))
    resumed.resume(tmp_path / "parts" / LAST)
    resumed.run()
    assert resumed.step == whole.step == config.optim.steps
    assert torch.equal(weights(resumed), weights(whole))


def test_a_checkpoint_of_another_configuration_is_refused_by_name(
    trainer: Trainer, config: TrainConfig, folders: Folders, tmp_path: Path
) -> None:
    trainer.save(LAST)
    other = dataclasses.replace(config, net=dataclasses.replace(config.net, channels=8))
    with pytest.raises(ModelFormatError, match=r"net.channels = 4, the config says 8"):
        make_trainer(other, folders, tmp_path / "other", ALONE).resume(trainer.folder / LAST)


def test_a_full_disk_is_told_and_the_last_good_checkpoint_stays(trainer: Trainer) -> None:
    trainer.save(LAST)
    good = (trainer.folder / LAST).read_bytes()
    # the limit makes writes beyond it fail as a full disk does; in a process of its own, as it cannot be raised again
    code = (
        "import resource, signal, sys, torch; from pathlib import Path\n"
        "from rtae.errors import RtaeError\n"
        "from rtae.train.checkpoint import save_checkpoint\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try: save_checkpoint(Path(sys.argv[1]), {'net.x': torch.zeros(100000)}, {})\n"
        "except RtaeError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(trainer.folder / LAST)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "the previous one is kept" in said
    assert (trainer.folder / LAST).read_bytes() == good
    assert [path.name for path in trainer.folder.glob("*.part")] == []


def test_a_log_for_which_there_is_no_room_is_told(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from rtae.errors import RtaeError\n"
        "from rtae.train.log import TrainingLog\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try:\n"
        "    log = TrainingLog(Path(sys.argv[1]))\n"
        "    for step in range(1000): log.add_scalar('loss', 1.0, step)\n"
        "    log.close()\n"
        "except RtaeError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path / "log")], capture_output=True, text=True)
    assert f"cannot write the log in {tmp_path / 'log'}" in said.stdout and "--resume" in said.stdout
    assert "Traceback" not in said.stderr


def test_killed_while_it_writes_a_trainer_leaves_the_last_checkpoint_whole(trainer: Trainer) -> None:
    trainer.save(LAST)
    path = trainer.folder / LAST
    code = (
        "import os, sys, torch; from pathlib import Path\n"
        "import rtae.train.checkpoint as c\n"
        "real = c.save_file\n"
        "def dies(tensors, part, facts):\n"
        "    real(tensors, part, facts); os.truncate(part, 100); os.kill(os.getpid(), 9)\n"
        "c.save_file = dies\n"
        "c.save_checkpoint(Path(sys.argv[1]), {'net.x': torch.zeros(1000)}, {})\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    _, facts = load_checkpoint(path)
    assert facts["step"] == 0


def test_killed_at_any_step_a_training_loses_at_most_the_interval_between_checkpoints(
    config: TrainConfig, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock)
    optim = dataclasses.replace(config.optim, steps=20, validate_every=7, checkpoint_minutes=0.5)
    trainer = make_trainer(dataclasses.replace(config, optim=optim), folders, tmp_path, ALONE)
    original = trainer.train_step
    kept: list[int] = []

    def ten_seconds(batch: loop.Batch) -> dict[str, float]:
        nonlocal clock
        clock += 10
        if (tmp_path / LAST).exists():  # a kill here would leave just this
            kept.append(load_checkpoint(tmp_path / LAST)[1]["step"])
            assert trainer.step - kept[-1] <= 3
        else:
            assert trainer.step <= 4
        return original(batch)

    monkeypatch.setattr(trainer, "train_step", ten_seconds)
    trainer.run()
    assert sorted(set(kept)) == [4, 8, 12, 16]
    assert load_checkpoint(tmp_path / LAST)[1]["step"] == 20


def test_killed_while_it_saves_over_and_over_a_trainer_leaves_a_whole_checkpoint(
    trainer: Trainer, config: TrainConfig
) -> None:
    trainer.train_step(trainer.task.batch(0, 0, config.optim.batch))
    trainer.save(LAST)
    path = trainer.folder / LAST
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from rtae.train.checkpoint import load_checkpoint, save_checkpoint\n"
        "tensors, facts = load_checkpoint(Path(sys.argv[1]))\n"
        "while True: save_checkpoint(Path(sys.argv[1]), tensors, facts); print('saved', flush=True)\n"
    )
    rng = random.Random(5)
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        for _ in range(20 + rng.randrange(20)):
            assert process.stdout is not None and process.stdout.readline() == "saved\n"
        process.kill()
    assert process.returncode == -9
    step = trainer.step
    trainer.resume(path)
    assert trainer.step == step == 1


def test_a_checkpoint_has_the_permissions_of_other_files(trainer: Trainer) -> None:
    trainer.save(LAST)
    (trainer.folder / "other").touch()
    modes = [(trainer.folder / name).stat().st_mode for name in (LAST, "other")]
    assert oct(modes[0]) == oct(modes[1])


def test_a_key_that_an_older_checkpoint_lacks_had_its_default(trainer: Trainer, config: TrainConfig) -> None:
    trainer.save(LAST)
    tensors, facts = load_checkpoint(trainer.folder / LAST)
    del facts["config"]["net"]["floor"], facts["config"]["loss"]["estoi_weight"]
    facts["config"]["optim"]["compile"] = True  # a key of former days
    save_checkpoint(trainer.folder / LAST, tensors, facts)
    trainer.resume(trainer.folder / LAST)
    trainer.config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, estoi_weight=0.5))
    with pytest.raises(ModelFormatError, match=r"loss.estoi_weight = 0.0, the config says 0.5"):
        trainer.resume(trainer.folder / LAST)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 100])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ModelFormatError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")
    with pytest.raises(ModelFormatError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_weights_of_another_network_are_refused(trainer: Trainer, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "w.safetensors", {"average.x": torch.zeros(3)}, {"config": {}})
    with pytest.raises(ModelFormatError, match="another network"):
        trainer.load_weights(load_checkpoint(tmp_path / "w.safetensors")[0])


def test_a_gradient_that_is_not_finite_stops_the_training(trainer: Trainer, config: TrainConfig) -> None:
    noisy, clean = trainer.task.batch(0, 0, config.optim.batch)
    with pytest.raises(RtaeError, match="not finite"):
        trainer.train_step((noisy, clean * float("nan")))


def test_the_patience_ends_a_training_that_does_not_improve(trainer: Trainer) -> None:
    optim = dataclasses.replace(trainer.config.optim, steps=30, patience=2)
    trainer.config = dataclasses.replace(trainer.config, optim=optim)
    trainer.steps = 30
    trainer.best = 0.0
    trainer.run()
    assert trainer.step == 6


def test_the_learning_rate_warms_up_and_ends_low(config: TrainConfig) -> None:
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(config.optim.learning_rate / 2, rel=0.01)
    assert max(rates) == pytest.approx(config.optim.learning_rate, rel=0.01)
    assert rates[-1] < 0.01 * config.optim.learning_rate
    assert rates[5:] == sorted(rates[5:], reverse=True)
