"""Build hook: the models, their weights and their README travel inside the wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ModelsBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Maps the files of ``models/`` to ``rtae/models/``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel; an editable install finds them in the repository."""
        if version == "editable":
            return
        folder = Path(self.root) / "models"
        for path in sorted(path for path in folder.iterdir() if path.suffix in {".onnx", ".safetensors", ".md"}):
            build_data["force_include"][str(path)] = f"rtae/models/{path.name}"
