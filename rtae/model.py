"""One model file at work: :class:`Model`, an onnxruntime session with its streams' state.

The state never leaves two preallocated arrays. Two bindings, one from the first to the second and one back, take
turns, so that a step copies a hop in and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtae.errors import MissingDependencyError, ModelFormatError, ModelNotFoundError, ParameterError
from rtae.spec import METADATA_KEY, ModelSpec

if TYPE_CHECKING:
    import onnxruntime

Floats = NDArray[np.float32]
Codes = NDArray[np.int64]

NO_LIMIT_DB = 100.0
"""Attenuation limit that stands for none."""

_FLOAT, _INT = "tensor(float)", "tensor(int64)"


class Model:
    """A streaming model with the state of one or more streams.

    Arrays it returns are its own and are written again by the step after the next one: copy what must last. One
    thread at a time may use it. onnxruntime runs it on the calling thread alone, without the interpreter's lock.

    Parameters
    ----------
    path : path-like
        Model file as ``models/README.md`` specifies it.
    streams : int, optional
        Independent streams to run at once; the rows B of every array.

    Attributes
    ----------
    spec : ModelSpec
        What the file says of itself.
    streams : int
        As given.

    Raises
    ------
    ModelNotFoundError
        If there is no such file.
    ModelFormatError
        If it is not an rtae model, damaged, of a newer format, or does not do what its spec says.
    ParameterError
        If streams is below 1.
    MissingDependencyError
        If onnxruntime cannot be imported.
    """

    def __init__(self, path: str | os.PathLike[str], *, streams: int = 1) -> None:
        if streams < 1:
            raise ParameterError(f"streams is {streams}; it must be at least 1")
        self._session = _open_session(Path(path))
        self.spec = _read_spec(self._session, path)
        _check_signature(self._session, self.spec, path)
        self.streams = streams

        spec = self.spec
        audio, codes, latents = (streams, spec.hop), (streams, spec.codebooks), (streams, spec.latent_size)
        self._state = [np.zeros((streams, spec.state_size), np.float32) for _ in range(2)]
        self._audio_in: Floats = np.zeros(audio, np.float32)
        self._codes_in: Codes = np.zeros(codes, np.int64)
        self._limit: Floats = np.full((streams, 1), NO_LIMIT_DB, np.float32)
        self._limit_db = NO_LIMIT_DB
        self._audio_out: list[Floats] = [np.zeros(audio, np.float32) for _ in range(2)]
        self._codes_out: list[Codes] = [np.zeros(codes, np.int64) for _ in range(2)]
        self._speech: list[Floats] = [np.zeros((streams, 1), np.float32) for _ in range(2)]
        self._latents_in: Floats = np.zeros(latents, np.float32)
        self._latents_out: list[Floats] = [np.zeros(latents, np.float32) for _ in range(2)]
        self._log_variance: list[Floats] = [np.zeros(latents, np.float32) for _ in range(2)]
        self._scores: list[Floats] = [np.zeros((streams, len(spec.classes)), np.float32) for _ in range(2)]
        self._bindings = [self._bind(turn) for turn in range(2)]
        self._turn = 0
        self._prove(path)

    def step(self, audio: Floats, attenuation_limit_db: float = NO_LIMIT_DB) -> tuple[Floats, Floats]:
        """Advance a denoiser by one hop.

        Parameters
        ----------
        audio : ndarray, shape (B, H)
            The next hop of every stream.
        attenuation_limit_db : float, optional
            Most the model may take away anywhere, in decibels.

        Returns
        -------
        audio : ndarray, shape (B, H)
            The next hop of every output, ``spec.delay`` samples behind.
        speech : ndarray, shape (B, 1)
            Probability of speech, 0 to 1.

        Raises
        ------
        ParameterError
            If the shape is another, or the model is not a denoiser.
        """
        self._check(("denoiser",), "step", audio, self._audio_in)
        if attenuation_limit_db != self._limit_db:
            self._limit[:] = self._limit_db = attenuation_limit_db
        self._audio_in[:] = audio
        turn = self._advance()
        return self._audio_out[turn], self._speech[turn]

    def encode_step(self, audio: Floats) -> Codes:
        """Advance an encoder by one hop (B, H); return the codes of every stage, int64 of shape (B, K).

        Raises
        ------
        ParameterError
            If the shape is another, or the model is not an encoder.
        """
        self._check(("encoder",), "encode_step", audio, self._audio_in)
        self._audio_in[:] = audio
        return self._codes_out[self._advance()]

    def classify_step(self, audio: Floats) -> Floats:
        """Advance a classifier by one hop (B, H); return this hop's evidence for each class, (B, classes).

        The probabilities for a stretch of sound are the softmax of the mean over its hops.

        Raises
        ------
        ParameterError
            If the shape is another, or the model is not a classifier.
        """
        self._check(("classifier",), "classify_step", audio, self._audio_in)
        self._audio_in[:] = audio
        return self._scores[self._advance()]

    def latents_step(self, audio: Floats) -> Floats:
        """Advance an encoder by one hop (B, H); return the latents (B, L): what it quantises, of a VAE the means.

        Raises
        ------
        ParameterError
            If the shape is another, or the model is not an encoder that gives latents.
        """
        self._check(("encoder", "vae-encoder"), "latents_step", audio, self._audio_in)
        if not self.spec.latent_size:
            raise ParameterError(f"{self.spec.name!r} gives codes and no latents; export it again with this version")
        self._audio_in[:] = audio
        return self._latents_out[self._advance()]

    def distribution_step(self, audio: Floats) -> tuple[Floats, Floats]:
        """Advance a VAE's encoder by one hop (B, H); return mean and logarithmic variance of the latents, (B, L) each.

        ``mean + exp(log_variance / 2) * z`` with standard normal ``z`` is a sample.

        Raises
        ------
        ParameterError
            If the shape is another, or the model is not a VAE's encoder.
        """
        self._check(("vae-encoder",), "distribution_step", audio, self._audio_in)
        self._audio_in[:] = audio
        turn = self._advance()
        return self._latents_out[turn], self._log_variance[turn]

    def decode_latents_step(self, latents: Floats) -> Floats:
        """Advance a VAE's decoder by the latents of one hop (B, L); return the audio (B, H).

        Raises
        ------
        ParameterError
            If the shape is another, or the model is not a VAE's decoder.
        """
        self._check(("vae-decoder",), "decode_latents_step", latents, self._latents_in)
        self._latents_in[:] = latents
        return self._audio_out[self._advance()]

    def decode_step(self, codes: Codes) -> Floats:
        """Advance a decoder by the codes of one hop (B, K); return the audio (B, H). Code -1: stage not sent.

        Raises
        ------
        ParameterError
            If the shape is another, a code is no integer or out of range, or the model is not a decoder.
        """
        self._check(("decoder",), "decode_step", codes, self._codes_in)
        if codes.dtype.kind not in "iu":
            raise ParameterError(f"codes must be integers, got {codes.dtype}")
        low, high = int(codes.min()), int(codes.max())
        if low < -1 or high >= 1 << self.spec.codebook_bits:
            raise ParameterError(f"codes from {low} to {high}; allowed are -1 to {2**self.spec.codebook_bits - 1}")
        self._codes_in[:] = codes
        return self._audio_out[self._advance()]

    def reset(self) -> None:
        """Return every stream to the fresh state."""
        for state in self._state:
            state[:] = 0.0
        self._turn = 0

    def _advance(self) -> int:
        turn = self._turn
        self._session.run_with_iobinding(self._bindings[turn])
        self._turn = 1 - turn
        return turn

    def _check(self, kinds: tuple[str, ...], method: str, given: NDArray[Any], expected: NDArray[Any]) -> None:
        if self.spec.kind not in kinds:
            wanted = " or ".join(map(repr, kinds))
            raise ParameterError(
                f"{method}() needs a model of kind {wanted}; {self.spec.name!r} is of {self.spec.kind!r}"
            )
        if given.shape != expected.shape:
            raise ParameterError(f"{method}() of {self.spec.name!r} takes shape {expected.shape}, got {given.shape}")

    def _bind(self, turn: int) -> onnxruntime.IOBinding:
        arrays: Mapping[str, NDArray[Any]] = {
            "audio": self._audio_in,
            "codes": self._codes_in,
            "latents": self._latents_in,
            "attenuation_limit_db": self._limit,
            "state": self._state[turn],
            "audio_out": self._audio_out[turn],
            "codes_out": self._codes_out[turn],
            "latents_out": self._latents_out[turn],
            "log_variance": self._log_variance[turn],
            "state_out": self._state[1 - turn],
            "speech": self._speech[turn],
            "scores": self._scores[turn],
        }
        binding = self._session.io_binding()
        for item in self._session.get_inputs():
            array = arrays[item.name]
            binding.bind_input(item.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for item in self._session.get_outputs():
            # An encoder's output and its decoder's input share their name in the format.
            array = arrays[f"{item.name}_out" if item.name in ("codes", "latents") else item.name]
            binding.bind_output(item.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding

    def _prove(self, path: str | os.PathLike[str]) -> None:
        """Run both bindings once on silence: what fails must fail now, and the first real hop is not the slow one."""
        try:
            self._advance()
            self._advance()
        except Exception as error:
            raise ModelFormatError(f"model {path} does not run ({_first_line(error)}); export it again") from None
        made = (*self._state, *self._audio_out, *self._latents_out, *self._log_variance, *self._scores)
        if not all(np.isfinite(array).all() for array in made):
            raise ModelFormatError(f"model {path} makes values that are not finite out of silence; export it again")
        self.reset()


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelNotFoundError(
            f"no model file {path}; rtae.shipped.available() lists those that come with rtae"
        ) from None
    except OSError as error:
        raise ModelFormatError(f"cannot read model {path} ({error.strerror}); name an .onnx file") from None
    if not data:
        raise ModelFormatError(f"model {path} is empty; copy or export it again")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(f"onnxruntime does not load ({error}); pip install onnxruntime") from None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Obeyed only by the first session of a process, and by threads started after it: onnxruntime sets the flag of
    # the thread that makes the session.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    try:
        # From memory, not by name: a file handed over by a stranger can then not pull in others.
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime's own exceptions share no base class but Exception.
        raise ModelFormatError(
            f"onnxruntime cannot load {path} ({_first_line(error)}); if it was cut short, copy or export it again"
        ) from None


def _read_spec(session: onnxruntime.InferenceSession, path: str | os.PathLike[str]) -> ModelSpec:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelFormatError(
            f"{path} is an ONNX file but not an rtae model (no {METADATA_KEY!r} metadata); make one with 'rtae export'"
        )
    try:
        return ModelSpec.from_json(text)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from None


def _check_signature(session: onnxruntime.InferenceSession, spec: ModelSpec, path: str | os.PathLike[str]) -> None:
    audio, codes, state = (_FLOAT, spec.hop), (_INT, spec.codebooks), (_FLOAT, spec.state_size)
    latents = (_FLOAT, spec.latent_size)
    inputs, outputs = {
        "denoiser": (
            {"audio": audio, "state": state, "attenuation_limit_db": (_FLOAT, 1)},
            {"audio_out": audio, "state_out": state, "speech": (_FLOAT, 1)},
        ),
        "encoder": (
            {"audio": audio, "state": state},
            {"codes": codes, "state_out": state} | ({"latents": latents} if spec.latent_size else {}),
        ),
        "decoder": ({"codes": codes, "state": state}, {"audio_out": audio, "state_out": state}),
        "vae-encoder": (
            {"audio": audio, "state": state},
            {"latents": latents, "log_variance": latents, "state_out": state},
        ),
        "classifier": (
            {"audio": audio, "state": state},
            {"scores": (_FLOAT, len(spec.classes)), "state_out": state},
        ),
        "vae-decoder": ({"latents": latents, "state": state}, {"audio_out": audio, "state_out": state}),
    }[spec.kind]
    for side, expected, found in (
        ("inputs", inputs, session.get_inputs()),
        ("outputs", outputs, session.get_outputs()),
    ):
        described = {item.name: (item.type, item.shape) for item in found}
        # A row count that is not an integer is a dynamic axis.
        matches = described.keys() == expected.keys() and all(
            kind == described[name][0]
            and len(described[name][1]) == 2
            and not isinstance(described[name][1][0], int)
            and described[name][1][1] == width
            for name, (kind, width) in expected.items()
        )
        if not matches:
            wanted = {name: (kind, ["B", width]) for name, (kind, width) in expected.items()}
            raise ModelFormatError(f"model {path}: {side} are {described}, its spec asks for {wanted}; export it again")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
