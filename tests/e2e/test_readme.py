"""What the README shows works: Python is run, commands are at least understood."""

import functools
import importlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtae
from rtae import cli
from rtae.live import FileBackend, LiveStream

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^( *)```(\w+)\n(.*?)^\1```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
PYTHON = [text for _, language, text in BLOCKS if language == "python"]
COMMANDS = [
    line.strip().removeprefix("$ ").partition("#")[0].strip()
    for _, language, text in BLOCKS
    if language == "console"
    for line in text.splitlines()
]
RTAE = [shlex.split(line) for line in COMMANDS if line.startswith("rtae ")]
CLIP = ROOT / "tests" / "data" / "full-band-minus-2dB-noisy.flac"


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files the README speaks of."""
    monkeypatch.chdir(tmp_path)
    audio, rate = soundfile.read(CLIP)
    for name in ("noisy.wav", "a.wav", "b.mp3", "c.ogg", "interview.flac"):
        soundfile.write(name, audio[:rate], rate)
    return tmp_path


def test_there_is_something_to_test():
    assert len(PYTHON) == 3
    assert len(RTAE) >= 8


@pytest.mark.parametrize("code", PYTHON, ids=[code.splitlines()[-1][:30] for code in PYTHON])
def test_python_runs(workplace, monkeypatch, code):
    audio = np.zeros((48_000, 1), np.float32)
    if "LiveStream" in code:  # no hardware here: the same class on the file clock
        backend = FileBackend(audio, 48_000, realtime=False)
        monkeypatch.setattr(rtae, "LiveStream", functools.partial(LiveStream, backend=backend), raising=False)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    if "clean" in names:
        assert names["clean"].shape == (480 + 64 + 1 + 1024, 1)
    if "noisy" in names:
        assert soundfile.info("clean.wav").frames == len(names["noisy"]) > 0


def test_embedding_takes_ten_lines():
    lines = [line for line in PYTHON[0].splitlines() if line.strip()]
    assert len(lines) <= 10


@pytest.mark.parametrize("words", [words for words in RTAE if words[1] == "denoise"], ids=" ".join)
def test_denoise_command_runs(workplace, words):
    assert words[0] == "rtae"
    assert cli.main(words[1:]) == 0
    output = workplace / words[words.index("-o") + 1]
    written = list(output.iterdir()) if output.is_dir() else [output]
    assert written and all(soundfile.info(path).frames == 48_000 for path in written)


@pytest.mark.parametrize("words", [words for words in RTAE if words[1] != "denoise"], ids=" ".join)
def test_other_command_is_understood(monkeypatch, words):
    assert words[0] == "rtae"
    module = importlib.import_module(cli.COMMANDS[words[1]][0])
    monkeypatch.setattr(module, "run", lambda arguments: 0)
    assert cli.main(words[1:]) == 0


def test_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {words[1] for words in map(shlex.split, COMMANDS) if words[0] == "make"}
    assert named and named <= set(targets)


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
