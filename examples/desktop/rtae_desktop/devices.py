"""Devices and models to choose from, looked up aside: both take longer than a window may stand still."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Signal

from rtae import shipped


def sound_devices() -> list[dict[str, Any]]:
    """Return the sound devices there are now.

    Another process looks: PortAudio never renews its list, and a sound library that hangs takes no window along.
    """
    words = [sys.executable, "-m", "rtae", "devices", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip().removeprefix("rtae: ") or "the devices could not be listed")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def denoisers() -> list[str]:
    """Return the names of the denoisers that come with rtae."""
    return [name for name in shipped.available() if shipped.load(name).spec.kind == "denoiser"]


class Lookup(QObject):
    """Calls a function in a thread and tells what it returned, one call at a time."""

    found = Signal(object)
    failed = Signal(str)

    def __init__(self, look: Callable[[], object]) -> None:
        super().__init__()
        self._look = look
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look, unless that is under way."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="lookup", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for what is under way."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self.found.emit(self._look())
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.failed.emit(str(error))
