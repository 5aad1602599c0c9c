"""Arrows of import point down only: the house of ``docs/architecture.md``, held by a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rtae"

FLOORS: list[set[str]] = [
    {"errors"},
    {"spec", "atomic", "lag", "ring", "drift", "resample", "page", "mel", "dnsmos"},
    {"reblock", "base", "processor", "model", "shipped"},
    {"denoise", "audio", "segment", "listen"},
    {"codec", "vae", "generate"},
    {"live", "bench", "evaluate", "train", "integrations", "analysis"},
    {"net"},
    {"cli"},
    {"__main__"},
]
"""Rooms from the ground up. A room may use those of its own floor, but see ``APART``."""

APART = FLOORS[5]
"""Rooms that know nothing of each other."""

ONLY_IN: dict[str, set[str]] = {
    "torch": {"train"},
    "safetensors": {"train"},
    "tensorboard": {"train"},
    "onnx": {"train"},
    "onnxscript": {"train"},
    "onnxruntime": {"model", "bench", "evaluate", "train"},
    "sounddevice": {"live", "bench"},
    "soundfile": {"audio", "evaluate", "train"},
    "rich": {"cli", "live", "bench", "evaluate"},
}
"""Packages with a price, and the rooms that may import them."""

LAZY = {"torch", "onnxruntime", "sounddevice", "soundfile"}
"""Of these, the ones to import inside functions outside ``train``: absent or slow, and not needed by every user."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Absolute names of the modules a tree imports, type-checking blocks left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative import"
            # "from rtae import x" may name a room or a public name; either way x says which.
            yield from (f"rtae.{alias.name}" for alias in node.names) if node.module == "rtae" else [str(node.module)]
        else:
            yield from imports(node)


def top_level_imports(tree: ast.Module) -> Iterator[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)

    def strip(node: ast.AST) -> ast.AST:
        for child in list(ast.iter_child_nodes(node)):
            if isinstance(child, functions):
                child.body = []
            else:
                strip(child)
        return node

    return imports(strip(tree))


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_has_its_floor() -> None:
    rooms = {room(path) for path in SOURCES} - {"__init__"}
    assert len(rooms) > 10
    assert not rooms - set.union(*FLOORS), "a new room: give it a floor in FLOORS"


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(PACKAGE)) for path in SOURCES])
def test_arrows_point_down(path: Path) -> None:
    here = room(path)
    tree = ast.parse(path.read_text())
    if here == "__init__":
        return
    floor = next((number for number, rooms in enumerate(FLOORS) if here in rooms), 0)
    for name in imports(tree):
        top, _, rest = name.partition(".")
        if top == "rtae" and rest:
            there = rest.partition(".")[0]
            if there == "__version__":
                continue
            assert any(there in rooms for rooms in FLOORS[: floor + 1]), f"{here} imports {name}, which is above it"
            if here in APART:
                assert there == here or there not in APART, f"{here} imports {name}: those rooms stay apart"
        elif top in ONLY_IN:
            assert here in ONLY_IN[top], f"{here} imports {top}"


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(PACKAGE)) for path in SOURCES])
def test_costly_packages_are_imported_where_they_are_used(path: Path) -> None:
    if room(path) == "train":
        return
    for name in top_level_imports(ast.parse(path.read_text())):
        assert name.partition(".")[0] not in LAZY, f"{path.name} imports {name} when it is itself imported"
