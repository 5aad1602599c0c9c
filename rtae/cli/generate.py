"""``rtae generate``: sound that no microphone has heard, from a variational autoencoder."""

from __future__ import annotations

import argparse
import math

import numpy as np

from rtae.cli.transfer import PIPE, check_target, open_sound
from rtae.errors import ParameterError
from rtae.generate import Generator, between, prior, room_tone
from rtae.vae import Autoencoder

BLOCK_S = 0.1
LONGEST_S = 86_400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True, title="kinds")
    texture = kinds.add_parser("prior", help="what the model takes for likely: a texture of speech-like sound")
    room = kinds.add_parser("room-tone", help="the background of a recording, continued without repetition")
    room.add_argument("recording", metavar="RECORDING", help="half a second or more in which nobody speaks")
    two = kinds.add_parser("between", help="from one recording to another, as long as the shorter one")
    two.add_argument("first", metavar="ONE", help="sound file")
    two.add_argument("second", metavar="OTHER", help="sound file")
    two.add_argument("--share", type=float, metavar="0..1", help="of OTHER all the time (a glide from 0 to 1)")
    for endless in (texture, room):
        endless.add_argument("--seconds", type=float, default=10.0, help="length (%(default)g)")
        endless.add_argument("--seed", type=int, default=0, help="another seed, other sound (%(default)s)")
        endless.add_argument("--level", type=float, metavar="DBFS", help="level (-26, of room tone the recording's)")
    for kind in kinds.choices.values():
        kind.add_argument(
            "-o",
            "--output",
            required=True,
            metavar="OUT",
            help="sound file, its suffix decides the format; - is wave on standard output",
        )
        kind.add_argument("-m", "--model", default="vae", metavar="NAME", help="VAE by name or path (%(default)s)")
        kind.add_argument("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Generate, in constant memory, and say how loud it became."""
    check_target(PIPE, arguments.output, force=arguments.force)
    endless = arguments.kind != "between"
    if endless and not 0 < arguments.seconds <= LONGEST_S:
        raise ParameterError(f"--seconds is {arguments.seconds:g}; give more than 0, at most {LONGEST_S:g}")
    generator = _generator(arguments)
    rate = generator.sample_rate
    samples = round(arguments.seconds * rate) if endless else None
    energy, written = 0.0, 0
    with open_sound(arguments.output, rate, 1, samples) as writer:
        for block in generator.blocks(round(BLOCK_S * rate)):
            part = block if samples is None else block[: samples - written]
            writer.write(part)
            energy += float(np.square(part, dtype=np.float64).sum())
            written += len(part)
            if written == samples:
                break
    if arguments.output != PIPE:
        level = 10 * math.log10(max(energy / max(written, 1), 1e-12))
        print(f"{arguments.output}: {written / rate:.2f} s at {level:.1f} dBFS")
    return 0


def _generator(arguments: argparse.Namespace) -> Generator:
    vae = Autoencoder(arguments.model)
    if arguments.kind == "between":
        first, second = (vae.encode(vae.read(path)) for path in (arguments.first, arguments.second))
        return between(vae, first, second, share=arguments.share)
    options = {"seed": arguments.seed} | ({} if arguments.level is None else {"level_dbfs": arguments.level})
    if arguments.kind == "prior":
        return prior(vae, **options)
    return room_tone(vae, vae.read(arguments.recording), **options)
