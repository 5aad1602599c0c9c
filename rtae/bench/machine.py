"""The machine's part in a measurement: memory of this process, governor, load."""

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


def governor() -> str | None:
    """CPU frequency governor of the first core; None if there is none to see."""
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def load_average() -> float | None:
    """Return how many processes wanted to run, on average of a minute; None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
