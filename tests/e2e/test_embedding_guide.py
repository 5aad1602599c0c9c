"""``docs/embedding.md``: every snippet is run, every name and link in it exists."""

import functools
import importlib
import re
import shlex
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import rtae
from rtae import cli, errors, shipped
from rtae.live import FileBackend, LiveStream

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "embedding.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def with_a_model(monkeypatch, build, tmp_path):
    """A model named "denoise" even before one is shipped."""
    if "denoise" not in shipped.available():
        (tmp_path / "denoise.onnx").write_bytes(build("compressor").read_bytes())
        monkeypatch.setattr(shipped, "_FOLDERS", (tmp_path,))


def test_there_is_something_to_test():
    assert len(SNIPPETS) == 9


@pytest.mark.parametrize("code", SNIPPETS, ids=[code.strip().splitlines()[-1][:40] for code in SNIPPETS])
def test_snippet_runs(with_a_model, monkeypatch, code):
    if 'input="USB"' in code:  # no hardware here: the same class on the file clock
        print("seed 3")
        noise = np.random.default_rng(3).uniform(-0.1, 0.1, (24_000, 1)).astype(np.float32)
        backend = FileBackend(noise, 48_000, realtime=False)
        monkeypatch.setattr(rtae, "LiveStream", functools.partial(LiveStream, backend=backend), raising=False)
    exec(compile(code, "embedding.md", "exec"), {})


def test_frozen_program_hands_over_to_the_engine(monkeypatch):
    (code,) = (code for code in SNIPPETS if "sys.argv" in code)
    engine = types.ModuleType("rtae.live.child")
    engine.main = lambda: 7
    monkeypatch.setitem(sys.modules, "rtae.live.child", engine)
    monkeypatch.setattr(sys, "argv", ["program", "-P", "-m", "rtae.live.child"])
    with pytest.raises(SystemExit) as stop:
        exec(compile(code, "embedding.md", "exec"), {})
    assert stop.value.code == 7


def test_commands_are_understood(monkeypatch):
    commands = [shlex.split(line) for line in re.findall(r"^\$ (rtae .*)$", PAGE, re.MULTILINE)]
    assert len(commands) == 2
    for words in commands:
        module = importlib.import_module(cli.COMMANDS[words[1]][0])
        monkeypatch.setattr(module, "run", lambda arguments: 0)
        assert cli.main(words[1:]) == 0


def test_table_of_errors_is_the_tree():
    table = dict(re.findall(r"^\| `(\w+Error)` \| `(\w+)` \|", PAGE, re.MULTILINE))
    assert len(table) == 7
    for name, builtin in table.items():
        kind = getattr(errors, name)
        assert issubclass(kind, rtae.RtaeError) and builtin in {base.__name__ for base in kind.__bases__}


def test_table_of_events_is_that_of_the_engine():
    from rtae.live import Event

    (table,) = re.findall(r"\| `event.kind` .*?\n\n", PAGE, re.DOTALL)
    rows = "".join(row.split("|")[1] for row in table.splitlines()[2:] if row)
    documented = set(re.findall(r"``(\w+)``", Event.__doc__))
    assert documented and set(re.findall(r"`(\w+)`", rows)) == documented


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
