"""The commands that need torch say how to get it."""

from __future__ import annotations

import importlib.util

from rtae.errors import MissingDependencyError


def need_torch() -> None:
    """Raise :class:`MissingDependencyError` unless everything of the extra ``train`` is there."""
    for name in ("torch", "onnx", "onnxscript", "safetensors", "tensorboard", "matplotlib", "pyroomacoustics"):
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(f"training needs {name}: pip install 'rtae[train]'")
