from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from rtae.train.config import TrainConfig, parse_config
from rtae.train.distributed import World
from rtae.train.loop import Trainer
from rtae.train.session import Folders, make_trainer

TINY = {
    "name": "tiny",
    "data": {"segment_s": 0.4},
    "net": {
        "hop": 128,
        "synthesis": 192,
        "fft": 256,
        "sample_rate": 16000,
        "bands": 32,
        "linear_bands": 16,
        "channels": 4,
        "bottleneck_channels": 8,
        "full_band": 8,
        "blocks": 1,
    },
    "loss": {"windows": [256]},
    "optim": {"batch": 4, "steps": 6, "validate_every": 3, "validation_batches": 1, "warmup_steps": 2},
}


def tiny(**tables: dict[str, object]) -> TrainConfig:
    """The tiny configuration with keys of some tables changed."""
    return parse_config(TINY | {name: {**TINY.get(name, {}), **keys} for name, keys in tables.items()})


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def config() -> TrainConfig:
    return parse_config(TINY)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A minute of stand-ins: modulated harmonics for speech, shaped noise, both written as files."""
    root = tmp_path_factory.mktemp("material")
    rng = np.random.default_rng(11)
    time = np.arange(3 * 16000) / 16000
    for speaker in range(10):
        (root / "speech").mkdir(exist_ok=True)
        tone = sum(np.sin(2 * np.pi * (110 + 13 * speaker) * k * time) / k for k in range(1, 12))
        syllables = np.maximum(0, np.sin(2 * np.pi * 2.3 * time + speaker)) ** 2
        soundfile.write(root / "speech" / f"speaker{speaker}-0.flac", 0.15 * tone * syllables, 16000)
        (root / "noise").mkdir(exist_ok=True)
        noise = 0.1 * rng.standard_normal(time.size)
        soundfile.write(root / "noise" / f"class{speaker}-0.flac", noise, 16000)
    return Folders(root / "speech", root / "noise", root / "cache")


@pytest.fixture
def trainer(config: TrainConfig, folders: Folders, tmp_path: Path) -> Trainer:
    return make_trainer(config, folders, tmp_path / "run", World(0, 1, torch.device("cpu")))
