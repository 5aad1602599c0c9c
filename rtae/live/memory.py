"""Memory that two processes see and that nobody has to clean up: it has no name and vanishes with its last user."""

from __future__ import annotations

import mmap
import os
import tempfile
import uuid


class SharedMemory:
    """Zeroed memory to share with a child process.

    On POSIX it is an unlinked file whose descriptor the child inherits; on Windows a named mapping of the page file,
    which the system removes with its last handle.

    Parameters
    ----------
    size : int
        Bytes.
    token : str, optional
        The :attr:`token` of the memory to join; new memory if left out.

    Attributes
    ----------
    token : str
        What a child needs to join, beside :attr:`descriptors`.
    descriptors : tuple of int
        File descriptors the child must inherit.
    """

    def __init__(self, size: int, token: str = "") -> None:
        self.descriptors: tuple[int, ...] = ()
        if os.name == "nt":
            self.token = token or f"rtae-{uuid.uuid4().hex}"
            self._map = mmap.mmap(-1, size, tagname=self.token)  # type: ignore[call-arg,unused-ignore]
        else:
            if token:
                descriptor = int(token)
            else:
                with tempfile.TemporaryFile() as file:
                    descriptor = os.dup(file.fileno())
                os.truncate(descriptor, size)
            self.token = str(descriptor)
            self.descriptors = (descriptor,)
            self._map = mmap.mmap(descriptor, size)
        self.view = memoryview(self._map)

    def close(self) -> None:
        """Give back the descriptors; arrays over the memory stay usable."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()
