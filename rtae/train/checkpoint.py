"""Checkpoints: one safetensors file with a JSON header, written beside and renamed, never a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rtae.atomic import AtomicFile
from rtae.errors import ModelFormatError, RtaeError

FACTS = "rtae"


def save_checkpoint(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write ``tensors`` and the JSON ``facts`` to ``path``; what was there stays until the new file is complete.

    Raises
    ------
    RtaeError
        If the file cannot be written, for instance because the disk is full; the previous checkpoint is untouched.
    """
    try:
        with AtomicFile(path) as part:
            mode = part.stat().st_mode
            save_file({name: value.contiguous() for name, value in tensors.items()}, part, {FACTS: json.dumps(facts)})
            part.chmod(mode)  # safetensors made another file of it, for its owner alone
    except (OSError, SafetensorError) as error:
        raise RtaeError(
            f"cannot write checkpoint {path} ({error}); the previous one is kept: free some space"
        ) from None


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and facts of a checkpoint or of a file of weights.

    Raises
    ------
    ModelFormatError
        If the file is missing, damaged, or not one of rtae's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts
    except FileNotFoundError:
        raise ModelFormatError(f"no checkpoint at {path}") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ModelFormatError(f"{path} is not a checkpoint of rtae ({error})") from None
