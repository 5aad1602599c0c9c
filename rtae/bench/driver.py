"""A streaming ONNX file at work in the plainest way: :class:`Driver`, one ``session.run`` a frame.

It shares nothing with the run time of rtae, so that one can be held against the other.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rtae.bench.layout import Layout
from rtae.errors import ModelFormatError, ModelNotFoundError, ParameterError

Array = NDArray[Any]
Wave = NDArray[np.float32]


def open_session(
    path: str | os.PathLike[str],
    *,
    threads: int = 1,
    optimised: bool = True,
    flush_denormals: bool = True,
    profile: str | None = None,
    provider: str = "CPUExecutionProvider",
) -> Any:
    """Open any ONNX file.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If there is no such file, or onnxruntime cannot load it.
    """
    import onnxruntime

    if not Path(path).is_file():
        raise ModelNotFoundError(f"no model file {path}; name an .onnx file or a shipped model")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if flush_denormals:
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    try:
        return onnxruntime.InferenceSession(Path(path).read_bytes(), options, providers=[provider])
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        reason = str(error).strip().partition("\n")[0]
        raise ModelFormatError(f"onnxruntime cannot load {path} ({reason}); copy or export it again") from None


class Driver:
    """A session with the states of one or more rows.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Open model.
    layout : Layout
        How to drive it.
    rows : int, default 1
        Independent streams, the first axis of a frame.

    Raises
    ------
    ModelFormatError
        If the layout does not fit the file.
    """

    def __init__(self, session: Any, layout: Layout, *, rows: int = 1) -> None:
        self.session, self.layout, self.rows = session, layout, rows
        inputs = {item.name: item for item in session.get_inputs()}
        outputs = [item.name for item in session.get_outputs()]
        wanted = {layout.input, *(name for name, _ in layout.states), *layout.constants}
        made = [layout.output, *(name for _, name in layout.states)]
        if wanted != set(inputs) or not set(made) <= set(outputs):
            raise ModelFormatError(
                f"layout {layout.name!r} names inputs {sorted(wanted)} and outputs {made}; the file has "
                f"{sorted(inputs)} and {outputs}"
            )
        self._input, self._made = inputs[layout.input], made
        self.any_length = layout.frame == "wave" and not isinstance(self._input.shape[-1], int)
        self.batched = bool(self._input.shape) and not isinstance(self._input.shape[0], int)
        self._empty = {name: _zeros(inputs[name], rows) for name, _ in layout.states}
        self._feed: dict[str, Array] = {
            name: np.full(_shape(inputs[name], rows), value, _type(inputs[name]))
            for name, value in layout.constants.items()
        }
        self.reset()

    def reset(self) -> None:
        """Go back to the fresh state."""
        self._feed |= self._empty

    def step(self, frame: Array) -> Array:
        """Run one frame (rows, ...); return its output."""
        self._feed[self.layout.input] = frame
        result, *states = self.session.run(self._made, self._feed)
        for (name, _), state in zip(self.layout.states, states, strict=True):
            self._feed[name] = state
        return np.asarray(result)

    def state(self, name: str) -> Array:
        """Return a state by the name of its input."""
        return self._feed[name]

    def run(self, frames: Array) -> Array:
        """Reset and run frames of shape (n, rows, ...); return the outputs, stacked.

        Raises
        ------
        ModelFormatError
            If the model cannot run them.
        """
        self.reset()
        try:
            return np.stack([self.step(frame) for frame in frames])
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelFormatError(f"layout {self.layout.name!r} does not run: {reason}") from None

    def frames(self, signals: Wave) -> Array:
        """Cut signals (rows, samples) into frames (n, rows, ...), each ending a hop after the one before.

        Raises
        ------
        ParameterError
            If the signals have another number of rows.
        """
        layout = self.layout
        if len(signals) != self.rows:
            raise ParameterError(f"{len(signals)} signals for {self.rows} rows")
        count = signals.shape[1] // layout.hop
        padded = np.pad(signals[:, : count * layout.hop], ((0, 0), (layout.span - layout.hop, 0)))
        cut: Array = np.moveaxis(sliding_window_view(padded, layout.span, axis=1)[:, :: layout.hop], 1, 0)
        if layout.frame == "codes":
            # What a codec's decoder is fed matters little, as long as it is known and changes.
            width = int(self._input.shape[-1])
            spread = np.abs(cut[..., :1] * 1e4).astype(np.int64) + np.arange(width)
            kind = _type(self._input)
            return np.ascontiguousarray(
                spread % layout.codes if np.issubdtype(kind, np.integer) else np.sin(spread), kind
            )
        if layout.frame in ("spectrum", "magnitude"):
            spectra = np.fft.rfft(cut * self._window(), axis=-1)
            if layout.frame == "magnitude":
                cut = np.abs(spectra)
            else:
                cut = np.stack([spectra.real, spectra.imag], axis=-1)[..., np.newaxis, :]
        shape = [size if isinstance(size, int) else None for size in self._input.shape]
        if len(shape) == 3 and cut.ndim == 3:
            cut = cut[:, :, np.newaxis]
        return np.ascontiguousarray(cut, dtype=_type(self._input))

    def sound(self, outputs: Array, signals: Wave) -> Wave | None:
        """Make signals (rows, samples) of outputs, as they leave a stream; None if they are no signal."""
        layout = self.layout
        hop, span, count = layout.hop, layout.span, len(outputs)
        if layout.frame == "score":
            return None
        if layout.frame in ("wave", "codes"):
            return np.moveaxis(outputs, 0, 1).reshape(self.rows, -1).astype(np.float32)
        if layout.frame == "spectrum":
            blocks = np.fft.irfft(outputs[..., 0, 0] + 1j * outputs[..., 0, 1], axis=-1)
        elif layout.frame == "magnitude":
            padded = np.pad(signals[:, : count * hop], ((0, 0), (span - hop, 0)))
            cut = np.moveaxis(sliding_window_view(padded, span, axis=1)[:, ::hop], 1, 0)
            mask = outputs.reshape(count, self.rows, -1)
            blocks = np.fft.irfft(np.fft.rfft(cut * self._window(), axis=-1) * mask, axis=-1)
        else:
            blocks = outputs.reshape(count, self.rows, span)
        if layout.frame != "block":  # blocks of a network sum up by themselves
            window = self._window()
            blocks = blocks * (window / np.tile(np.sum(np.square(window).reshape(-1, hop), axis=0), span // hop))
        result = np.zeros((self.rows, count * hop + span - hop))
        for index in range(count):
            result[:, index * hop : index * hop + span] += blocks[index]
        return result[:, : count * hop].astype(np.float32)

    def _window(self) -> NDArray[np.float64]:
        span = self.layout.span
        if self.layout.frame == "spectrum":
            return np.asarray(np.sqrt(np.hanning(span + 1)[:span]))
        return np.ones(span)


def _shape(item: Any, rows: int) -> list[int]:
    """Shape of an input; a dynamic axis is the rows."""
    return [size if isinstance(size, int) else rows for size in item.shape]


def _type(item: Any) -> Any:
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(double)": np.float64}
    if item.type not in kinds:
        raise ModelFormatError(f"input {item.name!r} is of type {item.type}; float, double and int64 can be driven")
    return kinds[item.type]


def _zeros(item: Any, rows: int) -> Array:
    return np.zeros(_shape(item, rows), _type(item))
