"""The machine's part in a measurement: memory of this process."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mib() -> float | None:
    """Resident memory of this process in MiB; None where the system does not tell (no /proc)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
