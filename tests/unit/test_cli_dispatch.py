"""The dispatcher: what each kind of failure looks like to the shell."""

import argparse
import importlib
import subprocess
import sys
import types

import pytest

import rtae
from rtae import cli
from rtae.errors import AudioFileError


@pytest.fixture
def command(monkeypatch):
    """Register a command ``probe`` whose ``run`` is the given function."""

    def register(run):
        module = types.ModuleType("rtae_probe_command")
        module.add_arguments = lambda parser: parser.add_argument("--number", type=int)
        module.run = run
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "probe", (module.__name__, "a command of the tests"))

    return register


def raise_(error):
    raise error


def test_status_of_the_command_is_returned(command):
    command(lambda arguments: arguments.number)
    assert cli.main(["probe", "--number", "7"]) == 7


def test_own_error_is_one_line_on_stderr_and_status_2(command, capsys):
    command(lambda _: raise_(AudioFileError("cannot read 'a':\nno such file")))
    assert cli.main(["probe"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "rtae: cannot read 'a': no such file\n"
    assert captured.out == ""


def test_interrupt_is_status_130(command, capsys):
    command(lambda _: raise_(KeyboardInterrupt))
    assert cli.main(["probe"]) == 130
    assert capsys.readouterr().err == "rtae: interrupted\n"


def test_a_bug_is_not_hidden(command):
    command(lambda _: raise_(ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--nonsense"], ["probe", "--number", "x"]])
def test_wrong_usage_is_status_2(command, capsys, arguments):
    command(lambda _: 0)
    assert cli.main(arguments) == 2
    assert "usage: rtae" in capsys.readouterr().err


def test_help_lists_every_command_and_imports_none(command, capsys):
    command(lambda _: 0)
    assert cli.main(["--help"]) == 0
    listing = capsys.readouterr().out
    assert "a command of the tests" in listing
    for name in cli.COMMANDS:
        assert name in listing


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"rtae {rtae.__version__}\n"


def test_every_listed_command_has_its_module():
    assert cli.COMMANDS
    for path, summary in cli.COMMANDS.values():
        module = importlib.import_module(path)
        module.add_arguments(argparse.ArgumentParser())
        assert callable(module.run)
        assert summary and not summary.endswith(".")


def test_reader_that_leaves_early_causes_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "rtae", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() in (0, 141)
    process.stderr.close()
