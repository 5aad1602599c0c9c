"""What a variational autoencoder makes of recordings: heard, and in figures. What it makes without: ``rtae generate``.

python examples/vae/vae.py reconstruct speech.wav -o again.wav
python examples/vae/vae.py interpolate one.wav other.wav -o steps.wav
python examples/vae/vae.py figure recordings/ -o figure.png
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from figure import draw, measure, sample_prior

from rtae.atomic import AtomicFile
from rtae.audio import AudioWriter
from rtae.cli import message
from rtae.errors import ParameterError, RtaeError
from rtae.evaluate.pairs import SUFFIXES
from rtae.vae import Autoencoder, mix

STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
PAUSE_S = 0.3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = _arguments(argv)
    vae = Autoencoder(options.model)
    rng = np.random.default_rng(options.seed)
    if options.command == "figure":
        return _figure(options, vae, rng)
    if options.command == "reconstruct":
        gaussians = vae.encode(vae.read(options.file))
        latents = gaussians.draw(rng) if options.sampled else gaussians.mean
        audio = vae.decode(latents, gaussians.samples)
    else:
        first, second = (vae.encode(vae.read(path)) for path in (options.file, options.other))
        samples = min(first.samples, second.samples)
        hops = len(first.mean[: len(second.mean)])
        pause = np.zeros(round(PAUSE_S * vae.sample_rate), np.float32)
        parts = [vae.decode(mix(first, second, np.full(hops, step, np.float32)), samples) for step in STEPS]
        audio = np.concatenate([piece for part in parts for piece in (part, pause)][:-1])
    with AudioWriter(options.output, sample_rate=vae.sample_rate, channels=1, format="WAV", subtype="PCM_16") as writer:
        writer.write(audio[:, np.newaxis])
    level = 10 * np.log10(max(float(np.mean(np.square(audio, dtype=np.float64))), 1e-20))
    print(f"{options.output}: {len(audio) / vae.sample_rate:.2f} s at {level:.1f} dBFS")
    return 0


def _figure(options: argparse.Namespace, vae: Autoencoder, rng: np.random.Generator) -> int:
    paths = sorted(path for path in options.folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ParameterError(f"{options.folder} holds no recordings; expected files ending in {', '.join(SUFFIXES)}")
    recordings = [vae.read(path) for path in paths]
    portrait = measure(vae, recordings, rng)
    speech = np.concatenate(recordings)
    picture = draw(portrait, vae, speech, sample_prior(vae, min(10.0, len(speech) / vae.sample_rate), rng))
    try:
        with AtomicFile(options.output) as beside:
            beside.write_bytes(picture)
    except OSError as error:
        raise ParameterError(f"cannot write {options.output}: {error.strerror}") from None
    print(json.dumps(portrait.as_dict(), indent=1))
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-m", "--model", default="vae", help="VAE by name, or path without -encoder.onnx (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of what is drawn (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    reconstruct = commands.add_parser("reconstruct", help="encode and decode a recording")
    reconstruct.add_argument("file", type=Path)
    reconstruct.add_argument("--sampled", action="store_true", help="decode a sample instead of the mean")
    shares = ", ".join(f"{100 * step:g}" for step in STEPS)
    two = commands.add_parser("interpolate", help=f"two recordings at once, in shares of {shares} %%")
    two.add_argument("file", type=Path)
    two.add_argument("other", type=Path)
    figure = commands.add_parser("figure", help="rate, distortion and divergence on a folder of recordings")
    figure.add_argument("folder", type=Path)
    for command in commands.choices.values():
        command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtaeError as error:
        print(message(error), file=sys.stderr)
        sys.exit(2)
