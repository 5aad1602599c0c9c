"""Single key presses from the terminal, without Enter; the terminal is put back whatever happens."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any, Self

_POLL_S = 0.02


class Keys:
    """Context manager that reads single keys from standard input, if that is a terminal."""

    def __init__(self) -> None:
        self._saved: Any = None
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Switch off line input and echo."""
        if not sys.stdin.isatty():
            return self
        self._descriptor = sys.stdin.fileno()
        if os.name != "nt":
            import termios
            import tty

            self._saved = termios.tcgetattr(self._descriptor)
            # Not raw mode: Ctrl-C and Ctrl-Z must keep their meaning.
            tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the terminal back."""
        if self._saved is not None:
            import termios

            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)
            self._saved = None

    def wait(self, timeout_s: float) -> str:
        """Return the keys pressed within a time, "" if there were none or this is no terminal."""
        if self._descriptor < 0:
            time.sleep(timeout_s)
            return ""
        if os.name == "nt":
            return _windows_keys(timeout_s)
        import select

        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        return os.read(self._descriptor, 64).decode(errors="replace") if ready else ""


def _windows_keys(timeout_s: float) -> str:
    import msvcrt

    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
            return str(msvcrt.getwch())  # type: ignore[attr-defined,unused-ignore]
        time.sleep(_POLL_S)
    return ""
