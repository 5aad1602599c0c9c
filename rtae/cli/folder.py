"""The folder a command writes its report to."""

from __future__ import annotations

from pathlib import Path

from rtae.atomic import AtomicFile
from rtae.errors import ParameterError


def report_folder(name: str) -> Path:
    """Make the folder and prove that it can be written to: minutes from now is too late to learn that it cannot.

    Raises
    ------
    ParameterError
        If it cannot be made or written to.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        AtomicFile(folder / "report").discard()
    except OSError as error:
        raise ParameterError(f"cannot write to the folder {folder}: {error.strerror}; choose another") from None
    return folder
