"""Streaming real-time audio: low-latency denoising through self-describing ONNX models.

>>> import rtae
>>> denoiser = rtae.load("denoise", sample_rate=48_000)
>>> clean = denoiser.process(block)                         # doctest: +SKIP
>>> clean = rtae.denoise(recording, 44_100)                 # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Not lazy: the function must take the place of the module of its name after that is imported. onnxruntime is only
# imported when a model is opened.
from rtae.denoise import Denoiser, denoise
from rtae.errors import RtaeError
from rtae.processor import Processor
from rtae.spec import ModelSpec

if TYPE_CHECKING:
    from rtae.live.devices import devices
    from rtae.live.stream import LiveStream

__version__ = "0.1.0"

__all__ = [
    "Denoiser",
    "LiveStream",
    "ModelSpec",
    "Processor",
    "RtaeError",
    "__version__",
    "denoise",
    "devices",
    "load",
]

_LAZY = {"LiveStream": "rtae.live", "devices": "rtae.live"}


def load(model: str | os.PathLike[str] = "denoise", **options: Any) -> Denoiser:
    """Return a processor for a model, by the name of a shipped one or the path of a file.

    Parameters
    ----------
    model : str or path-like, optional
        Name or path.
    **options
        Parameters of :class:`Denoiser`: sample_rate, channels, linked, block_size, attenuation_limit_db.

    Raises
    ------
    ModelNotFoundError
        If there is no such model; the message lists what there is.
    ModelFormatError
        If the file is not a model this version can run.
    ParameterError
        If an option is out of range.
    """
    return Denoiser(model, **options)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rtae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
