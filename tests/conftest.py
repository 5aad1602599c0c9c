"""Fixtures every test can use: built models, by name."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import models
from tests.models import Build

ALONE = ("e2e/live", "unit/live", "e2e/test_stress.py", "e2e/test_bench.py", "e2e/test_embedding_resources.py",
         "e2e/test_embedding_threads.py", "e2e/test_example_desktop.py", "unit/bench/test_bench_stress.py")  # fmt: skip
"""Tests that run against the clock, as a whole folder or file."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what must not run beside other tests."""
    root = Path(__file__).parent
    for item in items:
        if item.path.relative_to(root).as_posix().startswith(ALONE):
            item.add_marker(pytest.mark.alone)


def pytest_configure() -> None:
    """Let programs under test hear Ctrl-C also where the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build("delay", samples=192)`` writes that model of :mod:`tests.models` once and returns its path."""
    folder = tmp_path_factory.mktemp("models")

    def build(name: str, **options: object) -> Path:
        parts = [name, *(f"{key}={value}" for key, value in sorted(options.items()))]
        path = folder / f"{'-'.join(parts)}.onnx"
        return path if path.exists() else getattr(models, name)(path, **options)

    return build
