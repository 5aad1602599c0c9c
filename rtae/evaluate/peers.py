"""Other people's denoisers, to be measured side by side: RNNoise, WebRTC, and ONNX files by path.

None of them comes with rtae. RNNoise and WebRTC NS are PyPI packages; the rest are public model files.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtae.errors import ParameterError
from rtae.evaluate.onnx_peers import Dtln, SpectralModel
from rtae.evaluate.optional import require
from rtae.evaluate.systems import System

FloatArray = npt.NDArray[np.float32]

_WEBRTC_LEVEL = 2
_SQRT_HANN = np.sqrt(np.hanning(513)[:512])


class RNNoise:
    """RNNoise (Valin 2018) through the library in the PyPI package ``pyrnnoise``.

    Called directly: the package's own function rounds to 16 bits. RNNoise takes floats of 16-bit scale. The delay is
    that of version 0.2, measured: one frame of overlap-add and one that the network looks ahead.

    Raises
    ------
    MissingDependencyError
        If pyrnnoise is not installed or does not load.
    """

    name = "rnnoise"
    sample_rate = 48_000
    hop = 480
    delay = 960

    def __init__(self) -> None:
        binding = require("pyrnnoise.rnnoise")
        self._library = binding.lib
        self._state: Any = None
        self.reset()

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._destroy()
        self._state = ctypes.c_void_p(self._library.rnnoise_create(None))

    def step(self, audio: FloatArray) -> FloatArray:
        """Denoise the next 10 ms."""
        frame = audio * np.float32(32768.0)
        pointer = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self._library.rnnoise_process_frame(self._state, pointer, pointer)
        return frame * np.float32(1 / 32768.0)

    def _destroy(self) -> None:
        if self._state is not None:
            self._library.rnnoise_destroy(self._state)
            self._state = None

    def __del__(self) -> None:
        if hasattr(self, "_library"):
            self._destroy()


class WebRtcNs:
    """Noise suppression of WebRTC's audio processing through the PyPI package ``webrtc-noise-gain``.

    At level 2 of 4, which scores best in PESQ, ESTOI and SI-SDR; level 4 removes more noise and more speech. The delay
    was measured.

    Raises
    ------
    MissingDependencyError
        If the package is not installed or does not load.
    """

    name = "webrtc-ns"
    sample_rate = 16_000
    hop = 160
    delay = 96

    def __init__(self) -> None:
        self._module = require("webrtc_noise_gain")
        self.reset()

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._processor = self._module.AudioProcessor(0, _WEBRTC_LEVEL)

    def step(self, audio: FloatArray) -> FloatArray:
        """Denoise the next 10 ms."""
        frame = np.clip(audio * 32768.0, -32768, 32767).astype(np.int16)
        result = self._processor.Process10ms(frame.tobytes())
        return np.frombuffer(result.audio, np.int16).astype(np.float32) * np.float32(1 / 32768.0)


PEERS: dict[str, tuple[int, Callable[..., System]]] = {
    "rnnoise": (0, RNNoise),
    "webrtc-ns": (0, WebRtcNs),
    "gtcrn": (1, lambda path: SpectralModel("gtcrn", path, _SQRT_HANN)),
    # Its authors' script uses the plain Hann window; the square root scores higher, so that is what it gets.
    "ul-unas": (1, lambda path: SpectralModel("ul-unas", path, _SQRT_HANN)),
    "dtln": (2, Dtln),
}
"""Name -> (number of model files it needs, how to make it)."""


def make_peer(text: str) -> System:
    """Make a peer from its description on the command line.

    Parameters
    ----------
    text : str
        ``NAME``, ``NAME=PATH`` or ``NAME=PATH,PATH``: a name out of :data:`PEERS` with as many model files as it needs.

    Returns
    -------
    System
        Ready to stream.

    Raises
    ------
    ParameterError
        If the name is unknown or the number of files is wrong.
    MissingDependencyError
        If its package is not installed.
    ModelNotFoundError, ModelFormatError
        If a file is missing or not of the peer's layout.
    """
    name, _, rest = text.partition("=")
    files = [Path(part) for part in rest.split(",") if part]
    if name not in PEERS:
        raise ParameterError(f"unknown peer {name!r}; known: {', '.join(PEERS)}")
    needed, make = PEERS[name]
    if len(files) != needed:
        example = name + ("=" + ",".join(f"PATH{n + 1}.onnx" for n in range(needed)) if needed else "")
        raise ParameterError(f"peer {name!r} takes {needed} model files, got {len(files)}; write {example}")
    return make(*files)
