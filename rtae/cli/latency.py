"""``rtae latency``: prove a declared delay with a signal, or measure the round trip of devices."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from rtae.cli.document import document
from rtae.errors import DeviceError, ModelNotFoundError, ParameterError

if TYPE_CHECKING:
    from rtae.bench import Measurement
    from rtae.bench.budget import Budget
    from rtae.live import LiveStream

_SLACK_S = 0.5
"""How far beyond the reported latency a proof looks."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "-m", "--model", help="model or codec, shipped or a file (default: denoise; with --loopback: none)"
    )
    parser.add_argument("--loopback", action="store_true", help="measure through the output and input devices")
    parser.add_argument("-i", "--input", metavar="DEVICE", help="input device: number or part of its name")
    parser.add_argument("-o", "--output", metavar="DEVICE", help="output device: number or part of its name")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate (default: the model's or the device's)")
    parser.add_argument("--block", type=int, metavar="SAMPLES", help="block size (default: the best for the model)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="measure so often (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the probe (default: %(default)s)")
    parser.add_argument("--longest", type=float, default=1.0, metavar="S", help="longest round trip (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 if there was no signal, or a proof found another delay than was declared."""
    if arguments.repeat < 1:
        raise ParameterError(f"--repeat is {arguments.repeat}; it must be at least 1")
    for name in ("seconds", "longest"):
        if not 0.0 < getattr(arguments, name) <= 600.0:
            raise ParameterError(f"--{name} is {getattr(arguments, name):g}; allowed are more than 0 and up to 600")
    if not arguments.loopback and (arguments.input or arguments.output):
        raise ParameterError("--input and --output are for --loopback; without it no device is used")
    if arguments.loopback:
        budget = _round_trip(arguments)
    else:
        budget = prove(
            arguments.model or "denoise",
            rate=arguments.rate,
            block=arguments.block,
            repeat=arguments.repeat,
            seconds=arguments.seconds,
        )
    print(document("rtae-latency", budget.as_dict()) if arguments.json else budget.to_text())
    return 0 if (budget.measured is not None if arguments.loopback else budget.agrees) else 1


def prove(
    name: str, *, rate: int | None = None, block: int | None = None, repeat: int = 1, seconds: float = 4.0
) -> Budget:
    """Send speech through the real engine on a clock that waits for it: nothing is late, every sample is exact."""
    from rtae.bench import measure_delay, speech_like
    from rtae.live import FileBackend, LiveStream

    rate = rate or _native_rate(name)
    measurements = []
    for seed in range(repeat):
        probe = speech_like(rate, seconds, seed)
        backend = FileBackend(probe, rate, realtime=False)
        stream = LiveStream(_processor(name, rate), sample_rate=rate, block_size=block, backend=backend)
        with stream:
            stream.wait()
        longest = stream.latency.engine + round(_SLACK_S * rate)
        measurements.append(measure_delay(probe, backend.output[:, 0], rate, longest_samples=longest))
    return _budget(f"{stream.models[0]}: declared and measured through the engine, {rate} Hz", stream, measurements)


def _is_codec(name: str) -> bool:
    """Whether both halves of a codec are found by a name."""
    from rtae.codec.models import find_models

    try:
        find_models(name)
    except ModelNotFoundError:
        return False
    return True


def _native_rate(name: str) -> int:
    from rtae.codec.models import load_models
    from rtae.shipped import load

    return (load_models(name, 1) if _is_codec(name) else load(name)).spec.sample_rate


def _processor(name: str, rate: int) -> Any:
    """Return what a stream is to run: a denoiser by its name, a codec there and back."""
    from rtae.codec.loop import CodecLoop
    from rtae.codec.models import load_models

    if not _is_codec(name):
        return name
    # The delay is that of every bit rate; the highest keeps the wave best.
    models = load_models(name, 1)
    return CodecLoop(name, sample_rate=rate, kbps=models.spec.codebooks * models.stage_kbps)


def _round_trip(arguments: argparse.Namespace) -> Budget:
    """Send the probe out of one device and in at the other."""
    from rtae.bench import coded, measure_delay, speech_like
    from rtae.bench.loop import Loopback
    from rtae.live import LiveStream
    from rtae.live.portaudio import PortAudioBackend
    from rtae.processor import Bypass

    source, sink = _device(arguments.input), _device(arguments.output)
    measurements, xruns, late = [], 0, 0
    for seed in range(arguments.repeat):
        inner = PortAudioBackend()
        rate = arguments.rate or inner.native_rate(source, sink)
        make = coded if arguments.model is None else speech_like
        probe = make(rate, arguments.seconds, seed)
        backend = Loopback(inner, probe, rate, arguments.longest)
        processor: Any = Bypass(sample_rate=rate) if arguments.model is None else _processor(arguments.model, rate)
        stream = LiveStream(
            processor, input=source, output=sink, sample_rate=rate, block_size=arguments.block, backend=backend
        )
        with stream:
            if not backend.wait():
                raise DeviceError("the sound devices stopped calling while the probe played; see 'rtae devices'")
            late += stream.stats.late
        longest = round(arguments.longest * rate)
        measurements.append(measure_delay(probe, backend.heard, rate, longest_samples=longest))
        xruns += backend.xruns
    what = f"{stream.output_name} -> {stream.input_name}, round trip through {stream.models[0]}, {rate} Hz"
    return _budget(what, stream, measurements, xruns, late, devices=True)


def _budget(
    what: str,
    stream: LiveStream,
    measurements: list[Measurement],
    xruns: int = 0,
    late: int = 0,
    *,
    devices: bool = False,
) -> Budget:
    from rtae.bench.budget import PARTS, Budget

    rate = stream.latency.sample_rate
    parts: dict[str, int | None] = {name: int(getattr(stream.latency, name)) for name in PARTS}
    if devices:
        # A real device takes time; 0 is what stands for a report that is missing or absurd.
        parts |= {name: parts[name] or None for name in ("input_device", "output_device")}
    return Budget(what, rate, parts, measurements, stream.stats.hop_p50_ms, xruns, late)


def _device(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text
