"""``py.typed`` keeps its promise: pyright knows the type of everything public, and every docstring is there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rtae
import rtae.analysis
import rtae.codec
import rtae.errors
import rtae.live
import rtae.segment
from rtae.codec import files
from rtae.integrations.pcm import Adapter, PcmDenoiser
from rtae.listen import Heard, Listener

ROOT = Path(__file__).parents[2]
MORE = [Adapter, PcmDenoiser, Listener, Heard, files.encode, files.decode]
"""Public beside what ``__all__`` lists."""


@pytest.fixture(scope="module")
def report():
    words = [sys.executable, "-m", "pyright", "--verifytypes", "rtae", "--ignoreexternal", "--outputjson"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where pyright looks for packages' folder
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)["typeCompleteness"]


def public():
    """Full names of what is public: where each is defined."""
    modules = (rtae, rtae.live, rtae.codec, rtae.segment, rtae.analysis)
    things = [getattr(module, name) for module in modules for name in module.__all__ if name[0] != "_"]
    things = [thing for thing in things if hasattr(thing, "__qualname__")]  # constants have no home
    things += [kind for kind in vars(rtae.errors).values() if isinstance(kind, type)]
    return {f"{thing.__module__}.{thing.__qualname__}" for thing in [*things, *MORE]}


def test_the_type_of_everything_public_is_known(report):
    names = public()
    found = {symbol["name"]: symbol for symbol in report["symbols"] if symbol["isExported"]}
    assert len(names) > 50 and names - set(found) == set()
    theirs = [symbol for name, symbol in found.items() if any(f"{name}.".startswith(f"{one}.") for one in names)]
    assert len(theirs) > 150
    unknown = [symbol["name"] for symbol in theirs if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    assert unknown == []


def test_nothing_exported_is_without_a_docstring(report):
    missing = [name for name in report if name.startswith("missing") and report[name]]
    assert len([name for name in report if name.startswith("missing")]) == 3 and missing == []


def test_most_of_the_rest_is_known_too(report):
    print(report["completenessScore"])
    assert report["completenessScore"] > 0.8
