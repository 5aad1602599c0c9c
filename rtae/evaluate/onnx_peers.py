"""Streaming of published ONNX denoisers whose files hold a network only: the transform is done here.

Written after the layouts of the files: names, shapes and order of their inputs and outputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtae.errors import ModelFormatError, ModelNotFoundError

FloatArray = npt.NDArray[np.float32]

BLOCK = 512


class SpectralModel:
    """A network from one spectral frame to the next, as GTCRN and UL-UNAS publish their streaming versions.

    Layout: the first input and output are spectra of shape (1, 257, 1, 2), real and imaginary part last; the others
    are caches, zero at the start, each output fed back to the input of the same position. 16 kHz, 512-point frames,
    hop 256.

    Parameters
    ----------
    name : str
        Name in the tables.
    path : Path
        The ONNX file.
    window : ndarray, shape (512,)
        Window of analysis and synthesis; the overlapping frames are divided by the sum of its squares.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If the file is missing or of another layout.
    """

    sample_rate = 16_000
    hop = 256
    delay = BLOCK - hop

    def __init__(self, name: str, path: Path, window: npt.NDArray[np.float64]) -> None:
        self.name = name
        self._session = _open(path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shapes = [list(item.shape) for item in inputs], [list(item.shape) for item in outputs]
        frame = [1, BLOCK // 2 + 1, 1, 2]
        if shapes[0] != shapes[1] or shapes[0][0] != frame or not _all_fixed(shapes[0]):
            raise ModelFormatError(
                f"{path} is not of {name}'s streaming layout: expected a frame {frame} and caches in and out, found "
                f"{shapes[0]} and {shapes[1]}; take the file its authors export for streaming"
            )
        self._names = [item.name for item in inputs]
        overlap = np.square(window).reshape(2, self.hop).sum(axis=0)
        self._analysis = window.astype(np.float32)
        self._synthesis = (window / np.tile(overlap, 2)).astype(np.float32)
        self._cache_shapes = shapes[0][1:]
        self.reset()

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._caches = [np.zeros(shape, np.float32) for shape in self._cache_shapes]
        self._recent = np.zeros(BLOCK, np.float32)
        self._tail = np.zeros(self.hop, np.float32)

    def step(self, audio: FloatArray) -> FloatArray:
        """Denoise the next 16 ms."""
        self._recent = np.concatenate([self._recent[self.hop :], audio])
        spectrum = np.fft.rfft(self._recent * self._analysis).astype(np.complex64)
        frame = spectrum.view(np.float32).reshape(1, -1, 1, 2)
        result, *self._caches = self._session.run(None, dict(zip(self._names, [frame, *self._caches], strict=True)))
        enhanced = np.ascontiguousarray(result[0, :, 0]).view(np.complex64)[:, 0]
        block = np.fft.irfft(enhanced).astype(np.float32) * self._synthesis
        output: FloatArray = self._tail + block[: self.hop]
        self._tail = block[self.hop :]
        return output


class Dtln:
    """DTLN (Westhausen and Meyer 2020): two networks, the first on magnitudes, the second on learned features.

    Layout: network 1 takes a magnitude (1, 1, 257) and gives a mask, network 2 takes a block (1, 1, 512) and gives
    one; both carry an LSTM state as second input and output. 16 kHz, blocks of 512 every 128 samples.

    Parameters
    ----------
    magnitude_path, block_path : Path
        The two ONNX files.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If a file is missing or of another layout.
    """

    name = "dtln"
    sample_rate = 16_000
    hop = 128
    delay = BLOCK - hop

    def __init__(self, magnitude_path: Path, block_path: Path) -> None:
        self._networks = []
        for path, width in ((magnitude_path, BLOCK // 2 + 1), (block_path, BLOCK)):
            session = _open(path)
            inputs, outputs = session.get_inputs(), session.get_outputs()
            shapes = [list(item.shape) for item in (*inputs, *outputs)]
            if len(shapes) != 4 or shapes[0] != [1, 1, width] or shapes[:2] != shapes[2:] or not _all_fixed(shapes):
                raise ModelFormatError(
                    f"{path} is not of DTLN's layout: expected {[1, 1, width]} and a state in and out, found {shapes}; "
                    "give model_1.onnx,model_2.onnx in this order"
                )
            self._networks.append((session, [item.name for item in inputs], shapes[1]))
        self.reset()

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._states = [np.zeros(shape, np.float32) for _, _, shape in self._networks]
        self._recent = np.zeros(BLOCK, np.float32)
        self._overlap = np.zeros(BLOCK, np.float32)

    def step(self, audio: FloatArray) -> FloatArray:
        """Denoise the next 8 ms."""
        self._recent = np.concatenate([self._recent[self.hop :], audio])
        spectrum = np.fft.rfft(self._recent)
        mask = self._run(0, np.abs(spectrum))
        block = self._run(1, np.fft.irfft(spectrum * mask))
        self._overlap = np.concatenate([self._overlap[self.hop :], np.zeros(self.hop, np.float32)]) + block
        return self._overlap[: self.hop]

    def _run(self, index: int, values: npt.NDArray[np.floating]) -> FloatArray:
        session, names, _ = self._networks[index]
        inputs = [values.astype(np.float32).reshape(1, 1, -1), self._states[index]]
        result, self._states[index] = session.run(None, dict(zip(names, inputs, strict=True)))
        return np.asarray(result).reshape(-1)


def _all_fixed(shapes: list[list[Any]]) -> bool:
    return all(isinstance(size, int) for shape in shapes for size in shape)


def _open(path: Path) -> Any:
    import onnxruntime

    if not path.is_file():
        raise ModelNotFoundError(f"no model file {path}; rtae ships no other project's models, get it from its authors")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        reason = str(error).strip().partition("\n")[0]
        raise ModelFormatError(f"{path} is not a model onnxruntime can load ({reason}); download it again") from None
