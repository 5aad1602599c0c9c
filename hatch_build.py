"""Build hook: the models and their README, and nothing else of ``models/``, travel inside the wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ModelsBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Maps ``models/*.onnx`` to ``rtae/models/``; training weights stay out."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel; an editable install finds them in the repository."""
        if version == "editable":
            return
        folder = Path(self.root) / "models"
        for path in sorted([*folder.glob("*.onnx"), *folder.glob("README.md")]):
            build_data["force_include"][str(path)] = f"rtae/models/{path.name}"
