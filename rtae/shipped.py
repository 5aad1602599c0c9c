"""The models that come with rtae, found by name: :func:`available`, :func:`find`, :func:`load`."""

from __future__ import annotations

import os
from pathlib import Path

from rtae.errors import ModelNotFoundError
from rtae.model import Model

_PACKAGE = Path(__file__).resolve().parent
_FOLDERS = (_PACKAGE / "models", _PACKAGE.parent / "models")
"""Where the models live: inside an installed package, or beside it in the repository."""
OTHER_NAMES = {"denoise-8ms": "denoise"}
"""Names by which a shipped model is also found."""


def available() -> list[str]:
    """Return the names of the models that come with rtae, sorted."""
    return sorted(_shipped())


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the file of a model.

    Parameters
    ----------
    name_or_path : str or path-like
        Name of a shipped model, or the path of a model file. A string without a folder and without the ending
        ``.onnx`` is a name.

    Raises
    ------
    ModelNotFoundError
        If there is none; the message lists what there is.
    """
    text = os.fspath(name_or_path)
    text = OTHER_NAMES.get(text, text)
    shipped = _shipped()
    if text in shipped:
        return shipped[text]
    path = Path(text).expanduser()
    if path.is_file():
        return path
    listing = ", ".join(sorted(shipped)) or "none"
    raise ModelNotFoundError(f"no model {text!r}: neither a file nor a shipped model ({listing})")


def load(name_or_path: str | os.PathLike[str], *, streams: int = 1) -> Model:
    """Load a model by name or path, with the state of ``streams`` independent streams.

    Raises
    ------
    ModelNotFoundError
        If there is none of that name or path.
    ModelFormatError
        If the file is not an rtae model this version can run.
    """
    return Model(find(name_or_path), streams=streams)


def _shipped() -> dict[str, Path]:
    for folder in _FOLDERS:
        found = {path.stem: path for path in sorted(folder.glob("*.onnx"))}
        if found:
            return found
    return {}
