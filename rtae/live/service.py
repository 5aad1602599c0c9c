"""A systemd user unit that runs ``rtae mic`` at login."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rtae.atomic import AtomicFile
from rtae.errors import ParameterError

UNIT = "rtae-mic.service"

_TEMPLATE = """\
[Unit]
Description=rtae microphone: the microphone without its noise
After=pipewire-pulse.service pulseaudio.service

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
"""


def unit_path() -> Path:
    """Return where the unit is kept, whether it exists or not."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "systemd" / "user" / UNIT


def install(arguments: Sequence[str]) -> str:
    """Write the unit, switch it on and start it; return what was done, for a person.

    Parameters
    ----------
    arguments : sequence of str
        Arguments of ``rtae mic`` to run with.

    Raises
    ------
    ParameterError
        If this system has no systemd, or the unit cannot be written.
    """
    _check()
    path = unit_path()
    command = " ".join(map(_quoted, (sys.executable, "-m", "rtae", "mic", *arguments)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with AtomicFile(path) as beside:
            beside.write_text(_TEMPLATE.format(command=command), encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"cannot write '{path}': {error.strerror}") from None
    done = f"wrote {path}"
    if _systemctl("daemon-reload") and _systemctl("enable", "--now", UNIT):
        return f"{done}; {UNIT} runs now and at every login"
    return f"{done}; switch it on with 'systemctl --user enable --now {UNIT}' from a desktop session"


def uninstall() -> str:
    """Switch the unit off and remove it; return what was done, for a person.

    Raises
    ------
    ParameterError
        If the unit cannot be removed.
    """
    path = unit_path()
    if not path.exists():
        return f"nothing to do: there is no {path}"
    _systemctl("disable", "--now", UNIT)
    try:
        path.unlink()
    except OSError as error:
        raise ParameterError(f"cannot remove '{path}': {error.strerror}") from None
    _systemctl("daemon-reload")
    return f"removed {path}"


def _quoted(word: str) -> str:
    """Quote for systemd, whose rules are not a shell's: quotes around a whole word only, escapes, % and $ doubled."""
    word = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%$+=:,./-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check() -> None:
    if not sys.platform.startswith("linux"):
        raise ParameterError(f"--install-service writes a systemd unit, which {sys.platform} does not have")


def _systemctl(*words: str) -> bool:
    program = shutil.which("systemctl")
    return program is not None and subprocess.run([program, "--user", *words], capture_output=True).returncode == 0
