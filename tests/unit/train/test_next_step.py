"""What a finished training tells its user to do next is something the command line takes."""

import argparse
import importlib
import shlex
from pathlib import Path

import pytest

from rtae.cli import COMMANDS
from rtae.cli.train import _next_step
from rtae.train.session import find_config

BEST = Path("runs/mine/best.safetensors")


@pytest.mark.parametrize(
    ("config", "commands"),
    [
        ("denoise-8ms", ["export"]),
        ("codec", ["export", "encode", "decode"]),
        ("codec-adversarial", ["export", "encode", "decode"]),
        ("codec-denoise", ["export"]),
        ("vae", ["export", "vae.py"]),
    ],
)
def test_every_command_is_one(config: str, commands: list[str]) -> None:
    text = _next_step(find_config(config), BEST)
    lines = [line.rpartition(": ")[2].partition(" (")[0] for line in text.splitlines()]
    calls = [shlex.split(call) for line in lines for call in line.split("&&")]
    assert [Path(call[1]).name for call in calls] == commands
    for call in calls:
        if call[0] == "rtae":
            parser = argparse.ArgumentParser(exit_on_error=False)
            importlib.import_module(COMMANDS[call[1]][0]).add_arguments(parser)
            parser.parse_args(call[2:])
        else:
            assert call[0] == "python" and Path(__file__).parents[3].joinpath(call[1]).is_file()
    assert calls[0][2] == str(BEST)
