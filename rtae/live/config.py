"""What a live stream is asked to be, and what it turned out to be."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtae.errors import ModelNotFoundError, ParameterError
from rtae.live.modes import MODES, Modes, mode_place
from rtae.live.plan import Target, check_target, choose_block
from rtae.live.report import Latency

if TYPE_CHECKING:
    from rtae.denoise import Denoiser
    from rtae.processor import Processor


LIGHTER = {name: ("denoise-lite",) for name in ("denoise", "denoise-8ms", "denoise-16ms")}
"""Shipped model -> shipped ones that take less time, best first."""

DEFAULT_CODEC = "codec"


@dataclass(frozen=True)
class StreamConfig:
    """What a live stream is asked to be; the fields are parameters of :class:`rtae.live.LiveStream`.

    Attributes
    ----------
    fallbacks : tuple of str
        Names of lighter models.
    virtual_microphone : bool
        Whether the output is the virtual microphone.
    burst : int
        Blocks the sound system hands over at once, if known from an earlier opening; 0 is to find out.
    mode, codec, kbps, loss
        Mode to begin with, and the codec behind the denoiser; None is a stream without modes.
    """

    processor: str | os.PathLike[str] | Processor
    input: int | str | None = None
    output: int | str | None = None
    sample_rate: int | None = None
    channels: int | None = None
    block_size: int | None = None
    latency: Target = "low"
    fallbacks: tuple[str, ...] = ()
    virtual_microphone: bool = False
    burst: int = 0
    mode: str | None = None
    codec: str | None = None
    kbps: float | None = None
    loss: float = 0.0

    def __post_init__(self) -> None:
        check_target(self.latency)
        for name in ("sample_rate", "channels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"{name} is {value}; give at least 1, or leave it out")
        if self.mode is not None:
            mode_place(self.mode, MODES)
        elif self.codec is not None or self.kbps is not None or self.loss:
            raise ParameterError(
                f"codec, kbps and loss belong to a mode; add mode='codec' or one of {', '.join(MODES)}"
            )


@dataclass(frozen=True)
class StreamFacts:
    """What a live stream turned out to be.

    Attributes
    ----------
    latency : Latency
        By parts.
    block_size, channels, slots, burst : int
        Samples a block, channels processed, blocks the rings keep, blocks handed over at once.
    input_name, output_name : str
        Names of the devices.
    names : tuple of str
        Names of the processors: the one asked for, then its fallbacks.
    limitable : bool
        Whether it knows an attenuation limit.
    limit_db : float or None
        The limit it came with.
    modes : tuple of str
        Modes it can be switched to; none for a stream without modes.
    mode_index : int
        The one it came with.
    """

    latency: Latency
    block_size: int
    channels: int
    slots: int
    burst: int
    input_name: str
    output_name: str
    names: tuple[str, ...]
    limitable: bool
    limit_db: float | None
    modes: tuple[str, ...] = ()
    mode_index: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON-ready mappings."""
        return dataclasses.asdict(self)


def lighter_models(name: object) -> tuple[str, ...]:
    """Return the shipped models to step down to from a shipped one; none for anything else."""
    from rtae.shipped import available

    lighter = LIGHTER.get(name, ()) if isinstance(name, str) else ()
    return tuple(sorted(set(lighter) & set(available()), key=lighter.index))


def make_processors(config: StreamConfig, native_rate: int) -> tuple[list[Processor], int]:
    """Return the processors of a stream, best first, and the block size to run them at.

    Raises
    ------
    ParameterError
        If a parameter does not fit the processor that was handed over.
    ModelNotFoundError, ModelFormatError
        If a model was named that cannot be loaded.
    """
    if isinstance(config.processor, (str, os.PathLike)):
        make = _denoiser if config.mode is None else _modes
        first, block = make(config.processor, config, config.sample_rate or native_rate)
    else:
        first, block = config.processor, _check_given(config.processor, config)
    same = dataclasses.replace(config, block_size=block, channels=first.channels)
    return [first, *(_denoiser(name, same, first.sample_rate)[0] for name in config.fallbacks)], block


def hop_samples(processor: Processor) -> float:
    """Hop of a processor in samples at its own rate, 0 if it has none."""
    spec = getattr(processor, "spec", None)
    return 0.0 if spec is None else float(spec.hop * processor.sample_rate / spec.sample_rate)


def model_delay(processor: Processor) -> int:
    """Part of a processor's delay that is the model's own, in samples at its own rate."""
    if isinstance(processor, Modes):
        return processor.model_delay
    spec = getattr(processor, "spec", None)
    return 0 if spec is None else min(processor.delay, round(spec.delay * processor.sample_rate / spec.sample_rate))


def processor_name(processor: Processor) -> str:
    """Name of a processor: its model's, or its class's."""
    if isinstance(processor, Modes):
        return processor.name
    spec = getattr(processor, "spec", None)
    return type(processor).__name__ if spec is None else str(spec.name)


def _denoiser(name: str | os.PathLike[str], config: StreamConfig, rate: int) -> tuple[Denoiser, int]:
    from rtae.denoise import Denoiser
    from rtae.shipped import load

    block = config.block_size
    if block is None:
        spec = load(name).spec
        block = choose_block(round(spec.hop * rate / spec.sample_rate), rate, config.latency)
    return Denoiser(name, sample_rate=rate, channels=config.channels or 1, block_size=block), block


def _modes(name: str | os.PathLike[str], config: StreamConfig, rate: int) -> tuple[Processor, int]:
    from rtae.codec.codec import DEFAULT_KBPS
    from rtae.codec.loop import CodecLoop
    from rtae.codec.models import find_models
    from rtae.model import Model

    mode = config.mode or MODES[0]
    model = DEFAULT_CODEC if config.codec is None else config.codec
    codec = None
    try:
        spec = Model(find_models(model)[1]).spec
    except ModelNotFoundError:
        if config.codec is not None or "codec" in mode:
            raise
        denoiser, block = _denoiser(name, config, rate)
    else:
        # The longer hop is the one that a block has to divide.
        block = config.block_size or choose_block(round(spec.hop * rate / spec.sample_rate), rate, config.latency)
        denoiser, _ = _denoiser(name, dataclasses.replace(config, block_size=block), rate)
        codec = CodecLoop(
            model,
            sample_rate=rate,
            channels=denoiser.channels,
            block_size=block,
            kbps=DEFAULT_KBPS if config.kbps is None else config.kbps,
            loss=config.loss,
        )
    return Modes(denoiser, codec, mode), block


def _check_given(processor: Processor, config: StreamConfig) -> int:
    if config.mode is not None:
        raise ParameterError("mode is for a model by name or path, not for a processor; leave one of them out")
    for name, asked in (("sample_rate", config.sample_rate), ("channels", config.channels)):
        has = getattr(processor, name)
        if asked is not None and asked != has:
            raise ParameterError(f"{name} is {asked}, the processor was made for {has}; leave it out or make another")
    promised: Any = getattr(processor, "block_size", None)
    if promised is not None and config.block_size not in (None, promised):
        raise ParameterError(f"block_size is {config.block_size}, the processor was made for blocks of {promised}")
    block: int | None = config.block_size or promised
    return block or choose_block(round(hop_samples(processor)) or 1, processor.sample_rate, config.latency)
