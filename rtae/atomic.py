"""Files that appear whole or not at all: written beside the final name, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import weakref
from pathlib import Path
from types import TracebackType


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


class AtomicFile:
    """A place to write to beside `path`, in the same folder, that takes the name `path` when it is committed.

    As a context manager it gives the temporary path, commits when left normally and discards when left by an exception
    (Ctrl-C included), so that an older file of that name stays as it was.

    Parameters
    ----------
    path : path-like
        The final name. A link is followed, and stays a link.

    Attributes
    ----------
    temporary : Path
        Where to write; the file exists and is empty at first.

    Raises
    ------
    OSError
        If the folder is missing or not writable, or `path` is something else than a regular file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._target = Path(path).resolve()
        if self._target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", os.fspath(path))
        if self._target.exists() and not self._target.is_file():
            raise OSError(errno.EINVAL, "it exists and is no regular file", os.fspath(path))
        if not self._target.parent.exists():
            raise FileNotFoundError(errno.ENOENT, f"folder '{self._target.parent}' does not exist", os.fspath(path))
        self.temporary = self._target.parent / f".rtae-{secrets.token_hex(6)}.part"
        # Ctrl-C may come before anybody has the object in hand.
        self._discard = weakref.finalize(self, _remove, self.temporary)
        self.temporary.touch(exist_ok=False)

    def commit(self) -> None:
        """Put the file in place. Raises OSError if the disk did not take all of it."""
        with self.temporary.open("rb+") as file:
            os.fsync(file.fileno())
        self.temporary.replace(self._target)

    def discard(self) -> None:
        """Remove what was written. Does nothing after :meth:`commit`."""
        self._discard()

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.discard()
