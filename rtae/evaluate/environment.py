"""Where and with what a result was measured."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from rtae.evaluate.optional import require

PACKAGES = (
    "rtae",
    "numpy",
    "scipy",
    "onnxruntime",
    "pesq",
    "pystoi",
    "speechmos",
    "pyrnnoise",
    "webrtc-noise-gain",
    "av",
    "ai-edge-litert",
)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Restrict numerical libraries to one thread for a while; the sessions of onnxruntime always are.

    Raises
    ------
    MissingDependencyError
        If threadpoolctl is not installed: the libraries read their environment variables only when they are loaded.
    """
    with require("threadpoolctl").threadpool_limits(limits=1):
        yield


def describe() -> dict[str, object]:
    """Describe machine, versions and revision.

    Returns
    -------
    dict
        Ready for JSON; a package that is not installed has the version None, and so has what the system does not tell:
        the ``governor`` of the first core's frequency, the ``load_average`` of the last minute.
    """
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": 1,
        "governor": _governor(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _governor() -> str | None:
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Revision of the sources this runs from, with a plus sign if they were changed; None outside their repository."""
    # An installed package may lie in a folder of somebody else's repository: only one that tracks this file counts.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return _git("describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*")


def _git(*arguments: str) -> str | None:
    folder = str(Path(__file__).resolve().parent)
    try:
        shown = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return shown.stdout.strip() if shown.returncode == 0 else None
