from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rtae import shipped
from rtae.errors import ModelFormatError, ModelNotFoundError
from tests.models import Build


@pytest.fixture
def folders(tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A package folder without models and a repository folder with two."""
    package, repository = tmp_path / "package", tmp_path / "repository"
    repository.mkdir()
    shutil.copy(build("identity"), repository / "denoise.onnx")
    shutil.copy(build("gain"), repository / "another.onnx")
    (repository / "README.md").touch()
    monkeypatch.setattr(shipped, "_FOLDERS", (package, repository))
    return package, repository


def test_names_are_listed_and_found(folders: tuple[Path, Path]) -> None:
    assert shipped.available() == ["another", "denoise"]
    assert shipped.find("denoise") == shipped.find("denoise-8ms") == folders[1] / "denoise.onnx"
    model = shipped.load("denoise", streams=3)
    assert (model.spec.name, model.streams) == ("identity", 3)


def test_an_installed_package_comes_first(folders: tuple[Path, Path], build: Build) -> None:
    folders[0].mkdir()
    shutil.copy(build("delay"), folders[0] / "denoise.onnx")
    assert shipped.available() == ["denoise"]
    assert shipped.load("denoise").spec.name == "delay"


def test_paths_are_taken_as_they_are(
    folders: tuple[Path, Path], tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(build("gain"), tmp_path / "mine.onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("mine.onnx", "./mine.onnx", "~/mine.onnx", tmp_path / "mine.onnx"):
        assert shipped.load(path).spec.name == "gain"


def test_a_shipped_name_wins_over_a_file_beside(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "denoise").touch()
    assert shipped.find("denoise") == folders[1] / "denoise.onnx"
    with pytest.raises(ModelFormatError, match="empty"):
        shipped.load("./denoise")


@pytest.mark.parametrize("name", ["denoize", "", "models/denoise", ".", "/nowhere/x.onnx"])
def test_an_unknown_name_lists_what_exists(folders: tuple[Path, Path], name: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"\(another, denoise\)"):
        shipped.find(name)


def test_without_any_model_the_message_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "_FOLDERS", (tmp_path,))
    assert shipped.available() == []
    with pytest.raises(ModelNotFoundError, match=r"\(none\)"):
        shipped.find("denoise")
