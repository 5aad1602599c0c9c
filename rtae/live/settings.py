"""Settings of ``rtae live`` and ``rtae mic`` that persist, in the place the platform has for them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtae.atomic import AtomicFile
from rtae.errors import ParameterError


@dataclass(frozen=True)
class Settings:
    """What a live stream is started with; None is the default.

    Attributes
    ----------
    input, output : str or None
        Devices, by name.
    model : str or None
        Model, by name or path.
    attenuation_limit_db : float or None
        Strength, None for unlimited.
    """

    input: str | None = None
    output: str | None = None
    model: str | None = None
    attenuation_limit_db: float | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "model"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ParameterError(f"{name} is {value!r}, expected a text or null")
        limit = self.attenuation_limit_db
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0.0 <= limit < math.inf
        ):
            raise ParameterError(f"attenuation_limit_db is {limit!r}, expected decibels from 0 up or null")


def settings_path() -> Path:
    """Return where the settings are kept, whether the file exists or not."""
    home = Path.home()
    if sys.platform == "win32":
        folder = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return folder / "rtae" / "settings.json"


def load_settings() -> Settings:
    """Return the saved settings, or the defaults if there are none.

    Raises
    ------
    ParameterError
        If the file cannot be read or understood.
    """
    path = settings_path()
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ParameterError("not a JSON object")
        known = {field.name for field in dataclasses.fields(Settings)}
        return Settings(**{name: value for name, value in data.items() if name in known})
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise ParameterError(f"cannot use the settings in '{path}': {error}; correct the file or delete it") from None


def save_settings(settings: Settings) -> None:
    """Save settings, whole or not at all.

    Raises
    ------
    ParameterError
        If the file cannot be written.
    """
    path = settings_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with AtomicFile(path) as beside:
            beside.write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"cannot save the settings to '{path}': {error.strerror}") from None
