"""The TensorBoard log of a training."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from rtae.errors import RtaeError


class TrainingLog:
    """Curves, sounds and pictures for TensorBoard; the methods are those of torch's ``SummaryWriter``.

    Raises
    ------
    RtaeError
        From every method, if the log cannot be written, for instance because the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unhandled, threading.excepthook = threading.excepthook, self._in_a_thread
        self._writer: Any = self._told(SummaryWriter, str(folder))

    def add_scalar(self, *arguments: Any) -> None:
        """Add a point of a curve."""
        self._told(self._writer.add_scalar, *arguments)

    def add_audio(self, *arguments: Any) -> None:
        """Add a sound."""
        self._told(self._writer.add_audio, *arguments)

    def add_figure(self, *arguments: Any) -> None:
        """Add a picture."""
        self._told(self._writer.add_figure, *arguments)

    def close(self) -> None:
        """Write what is not written yet."""
        self._told(self._writer.close)
        threading.excepthook = self._unhandled

    def _in_a_thread(self, found: threading.ExceptHookArgs) -> None:
        """Leave out the traceback of the thread that writes: what it met comes out of the next method as well."""
        if not (isinstance(found.exc_value, OSError) and type(found.thread).__name__ == "_AsyncWriterThread"):
            self._unhandled(found)

    def _told(self, write: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return write(*arguments)
        except OSError as error:
            raise RtaeError(
                f"cannot write the log in {self._folder} ({error.strerror}); the last checkpoint is kept: free some "
                "space and --resume"
            ) from None
