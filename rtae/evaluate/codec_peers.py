"""Other people's speech codecs, to be measured side by side: Opus from PyAV, Lyra V2 from its published files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtae.errors import ModelFormatError, ModelNotFoundError, ParameterError
from rtae.evaluate.optional import require

FloatArray = npt.NDArray[np.float32]

EXTRA = "codec-peers"


class Opus:
    """Opus (RFC 6716) through the libopus in the PyPI package ``av``: mono, 48 kHz, frames of 20 ms.

    Application ``voip``, complexity 10 and constant bit rate, so that every system of a table has the rate it is named
    by. The delay is libopus's look-ahead.

    Parameters
    ----------
    kbps : float
        Bit rate.

    Raises
    ------
    MissingDependencyError
        If av is not installed.
    ParameterError
        If libopus does not take the bit rate.
    """

    family = "opus"
    sample_rate = 48_000
    hop = 960
    delay = 312

    def __init__(self, kbps: float) -> None:
        self._av = require("av", EXTRA)
        self._bit_rate = round(1e3 * kbps)
        self.name = f"opus {kbps:g}"
        try:
            self.reset()
        except self._av.FFmpegError as error:
            raise ParameterError(f"libopus does not take {kbps:g} kbps ({error.strerror}); it takes 6 to 256") from None

    def reset(self) -> None:
        """Make both ends anew."""
        encoder = self._context("w")
        encoder.bit_rate = self._bit_rate
        encoder.format = "flt"
        encoder.options = {"application": "voip", "frame_duration": "20", "vbr": "off", "compression_level": "10"}
        encoder.open()
        decoder = self._context("r")
        decoder.open()
        self._encoder, self._decoder = encoder, decoder
        self._time = 0

    def encode(self, audio: FloatArray) -> Any:
        """Return the packet of the next 20 ms."""
        frame = self._av.AudioFrame.from_ndarray(audio[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self.sample_rate, self._time, Fraction(1, self.sample_rate)
        self._time += self.hop
        (packet,) = self._encoder.encode(frame)
        return packet

    def bits(self, packet: Any) -> int:
        """Return the bits of a packet, all of it."""
        return 8 * int(packet.size)

    def decode(self, packet: Any) -> FloatArray:
        """Return the 20 ms of a packet."""
        (frame,) = self._decoder.decode(packet)
        return np.asarray(frame.to_ndarray().reshape(-1) / np.float32(32768.0), np.float32)

    def _context(self, mode: str) -> Any:
        context = self._av.CodecContext.create("libopus", mode)
        context.sample_rate, context.layout = self.sample_rate, "mono"
        return context


class LyraFiles:
    """The three networks of Lyra V2, which its bit rates share.

    Parameters
    ----------
    folder : Path
        Holds ``soundstream_encoder.tflite``, ``quantizer.tflite`` and ``lyragan.tflite``.

    Raises
    ------
    MissingDependencyError
        If ai-edge-litert is not installed.
    ModelNotFoundError, ModelFormatError
        If a file is missing or cannot be loaded.
    """

    def __init__(self, folder: Path) -> None:
        interpreter = require("ai_edge_litert.interpreter", EXTRA).Interpreter
        loaded = {}
        for name in ("soundstream_encoder", "quantizer", "lyragan"):
            path = folder / f"{name}.tflite"
            if not path.is_file():
                raise ModelNotFoundError(
                    f"no model file {path}; rtae ships no other project's models, take the three in lyra/model_coeffs/ "
                    "of google/lyra"
                )
            try:
                loaded[name] = interpreter(str(path), num_threads=1)
            except (ValueError, RuntimeError) as error:
                raise ModelFormatError(f"{path} is no model LiteRT can load ({error}); download it again") from None
        self.stateful = [loaded["soundstream_encoder"], loaded["lyragan"]]
        self.encoder, self.decoder = (model.get_signature_runner("serving_default") for model in self.stateful)
        self.quantize, self.restore = (loaded["quantizer"].get_signature_runner(way) for way in ("encode", "decode"))


class Lyra:
    """Lyra V2: SoundStream's encoder and quantiser and a generative decoder, 16 kHz, frames of 20 ms.

    The networks as published, with the state inside them; without what the application around them adds (comfort noise,
    discontinuous transmission). The delay was measured.

    Parameters
    ----------
    files : LyraFiles
        The networks; codecs that do not run at the same time may share them.
    kbps : float
        3.2, 6 or 9.2.

    Raises
    ------
    ParameterError
        If the bit rate is another.
    """

    family = "lyra2"
    sample_rate = 16_000
    hop = 320
    delay = 0
    rates = (3.2, 6.0, 9.2)

    def __init__(self, files: LyraFiles, kbps: float) -> None:
        if kbps not in self.rates:
            raise ParameterError(
                f"Lyra V2 has no {kbps:g} kbps; it has {', '.join(f'{rate:g}' for rate in self.rates)}"
            )
        self._files = files
        self._bits = round(20 * kbps)
        self.name = f"lyra2 {kbps:g}"

    def reset(self) -> None:
        """Put both ends back to the fresh state."""
        for model in self._files.stateful:
            model.reset_all_variables()

    def encode(self, audio: FloatArray) -> npt.NDArray[np.int32]:
        """Return the codes of the next 20 ms; those of stages not sent are -1."""
        features = self._files.encoder(input_audio=audio[None])["output_0"]
        codes = self._files.quantize(input_frames=features, num_quantizers=np.array(self._bits // 4, np.int32))
        return np.asarray(codes["output_0"])

    def bits(self, packet: npt.NDArray[np.int32]) -> int:
        """Return the bits of the codes sent, four each."""
        return 4 * int(np.count_nonzero(packet >= 0))

    def decode(self, packet: npt.NDArray[np.int32]) -> FloatArray:
        """Return the next 20 ms."""
        features = self._files.restore(encoding_indices=packet)["output_0"]
        return np.asarray(self._files.decoder(input_audio=features)["output_0"], np.float32).reshape(-1)
