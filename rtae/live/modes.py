"""What a stream can be switched between while it runs: denoiser, codec, both, neither: :class:`Modes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtae.base import Frames, StreamProcessor
from rtae.errors import ParameterError
from rtae.spec import ModelSpec

if TYPE_CHECKING:
    from rtae.codec.loop import CodecLoop
    from rtae.denoise import Denoiser

MODES = ("denoise", "codec", "denoise+codec", "passthrough")
"""Names of the modes; a stream without a codec has the first and the last."""


class Modes(StreamProcessor):
    """A denoiser and a codec, one behind the other, each of which can be bypassed.

    Both run all the time, at the delay of both, whatever is heard. A change of mode is therefore the cross-fade of a
    bypass: nothing has to be filled, nothing moves in time, and the load stays what it is.

    Parameters
    ----------
    denoiser : Denoiser
        The first.
    codec : CodecLoop or None
        The second, of the same rate, channels and block size; None where there is none.
    mode : str
        What to begin with.

    Raises
    ------
    ParameterError
        If the mode is none of these.
    """

    def __init__(self, denoiser: Denoiser, codec: CodecLoop | None, mode: str) -> None:
        delay = denoiser.delay + (0 if codec is None else codec.delay)
        super().__init__(denoiser.sample_rate, denoiser.channels, delay, block_size=denoiser.block_size)
        self._denoiser, self._codec = denoiser, codec
        self.modes = MODES if codec is not None else tuple(name for name in MODES if "codec" not in name)
        self.name = denoiser.spec.name if codec is None else f"{denoiser.spec.name}, codec {codec.kbps:g} kbps"
        if codec is not None and codec.loss:
            self.name += f", {100 * codec.loss:g} % lost"
        self.mode_index = mode_place(mode, self.modes)
        self._reset()

    @property
    def spec(self) -> ModelSpec:
        """Of the model with the longer hop."""
        specs = [self._denoiser.spec] if self._codec is None else [self._denoiser.spec, self._codec.spec]
        return max(specs, key=lambda spec: spec.hop / spec.sample_rate)

    @property
    def model_delay(self) -> int:
        """Delay of both models themselves, in samples."""
        own = self._denoiser.spec
        total = own.delay / own.sample_rate
        if self._codec is not None:
            total += self._codec.codec_delay / self._codec.spec.sample_rate
        return min(self.delay, round(total * self.sample_rate))

    @property
    def mode_index(self) -> int:
        """Place of the present mode in ``modes``; settable while it runs."""
        return self._mode_index

    @mode_index.setter
    def mode_index(self, value: int) -> None:
        self._mode_index = value
        parts = self.modes[value].split("+")
        self._denoiser.bypass = "denoise" not in parts
        if self._codec is not None:
            self._codec.bypass = "codec" not in parts

    @property
    def attenuation_limit_db(self) -> float | None:
        """Of the denoiser; settable while it runs."""
        return self._denoiser.attenuation_limit_db

    @attenuation_limit_db.setter
    def attenuation_limit_db(self, value: float | None) -> None:
        self._denoiser.attenuation_limit_db = value

    def _process(self, frames: Frames, out: Frames) -> None:
        self._denoiser.process(frames, out)
        if self._codec is not None:
            self._codec.process(out, out)

    def _reset(self) -> None:
        self._denoiser.reset()
        if self._codec is not None:
            self._codec.reset()


def mode_place(mode: str, modes: tuple[str, ...]) -> int:
    """Return the place of a mode.

    Raises
    ------
    ParameterError
        If it is not there.
    """
    if mode not in modes:
        raise ParameterError(
            f"mode is {mode!r}; this stream has {', '.join(modes) or 'no modes, give it one to start'}"
        )
    return modes.index(mode)
