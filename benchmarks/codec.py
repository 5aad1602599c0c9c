"""Codec benchmark: encoder and decoder files at every bit rate, beside Opus and Lyra V2, on the clean side of pairs.

python benchmarks/codec.py PAIRS codec-encoder.onnx codec-decoder.onnx --lyra MODEL_COEFFS/ -o results/
python benchmarks/codec.py PAIRS codec-encoder.onnx codec-decoder.onnx --quick
python benchmarks/codec.py PAIRS codec-encoder.onnx codec-decoder.onnx --denoising denoising-encoder.onnx -o results/

With --denoising it is the noisy side that is sent, and what comes out is held against the clean one: the codec as it
is, behind a denoiser, and with the encoder that denoises.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rtae.atomic import AtomicFile
from rtae.cli import message
from rtae.cli.folder import report_folder
from rtae.errors import ParameterError, RtaeError
from rtae.evaluate import environment
from rtae.evaluate.codec_peers import Lyra, LyraFiles, Opus
from rtae.evaluate.codec_report import CodecReport
from rtae.evaluate.codec_run import code_use, evaluate_codecs
from rtae.evaluate.codecs import Denoised, ModelCodec, SpeechCodec
from rtae.evaluate.metrics import CODEC_METRICS, QUICK_CODEC_METRICS
from rtae.evaluate.pairs import read_pairs
from rtae.model import Model

OPUS_KBPS = (6, 8, 12, 16)
QUICK_RECORDINGS = 10
QUICK_STAGES = (1, 2, 3, 6, 9)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("pairs", help="folder with clean/ and noisy/ recordings of equal names")
    parser.add_argument("encoder", type=Path, help="encoder file (.onnx)")
    parser.add_argument("decoder", type=Path, help="decoder file (.onnx)")
    parser.add_argument("--stages", type=int, nargs="+", metavar="N", help="stages sent (every number there is)")
    parser.add_argument("--lyra", type=Path, metavar="DIR", help="folder with the three .tflite files of Lyra V2")
    parser.add_argument("--no-opus", action="store_true", help="leave Opus out")
    side = parser.add_mutually_exclusive_group()
    side.add_argument("--denoising", type=Path, metavar="FILE", help="encoder that denoises: compare on the noisy side")
    side.add_argument(
        "--quick", action="store_true", help=f"this codec alone, {QUICK_RECORDINGS} recordings, no DNSMOS"
    )
    parser.add_argument("--denoiser", default="denoise", metavar="MODEL", help="with --denoising (%(default)s)")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for codec.json, codec.md and codec.png")
    options = parser.parse_args(argv)
    folder = None if options.output is None else report_folder(options.output)

    with environment.one_thread():
        pairs = read_pairs(options.pairs)
        if options.quick:
            pairs = pairs[:: max(1, len(pairs) // QUICK_RECORDINGS)][:QUICK_RECORDINGS]
        encoder, decoder = Model(options.encoder), Model(options.decoder)
        noisy = options.denoising is not None
        available = range(1, encoder.spec.codebooks + 1)
        chosen = options.stages or [count for count in available if not options.quick or count in QUICK_STAGES]
        codecs: list[SpeechCodec] = [ModelCodec(encoder, decoder, stages, "codec") for stages in chosen]
        if noisy:
            denoising = Model(options.denoising)
            codecs += [Denoised(ModelCodec(encoder, decoder, stages, "codec"), options.denoiser) for stages in chosen]
            codecs += [ModelCodec(denoising, decoder, stages, denoising.spec.name) for stages in chosen]
        elif not options.quick:
            codecs += [] if options.no_opus else [Opus(kbps) for kbps in OPUS_KBPS]
            if options.lyra is not None:
                files = LyraFiles(options.lyra)
                codecs += [Lyra(files, kbps) for kbps in Lyra.rates]
        metrics = QUICK_CODEC_METRICS if options.quick else tuple(CODEC_METRICS)
        results = evaluate_codecs(pairs, codecs, metrics, noisy=noisy, progress=_progress)
        every = ModelCodec(denoising if noisy else encoder, decoder, encoder.spec.codebooks)
        report = CodecReport(
            results,
            data=f"{Path(options.pairs).resolve().name}/{'noisy' if noisy else 'clean'}",
            recordings=len(pairs),
            seconds=sum(pair.seconds for pair in pairs),
            seed=0,
            environment=environment.describe(),
            stages=code_use(every, pairs, noisy=noisy),
        )
    if folder is not None:
        contents = {"codec.json": report.to_json().encode(), "codec.md": report.to_markdown().encode()}
        for name, content in {**contents, "codec.png": report.picture()}.items():
            try:
                with AtomicFile(folder / name) as beside:
                    beside.write_bytes(content)
            except OSError as error:
                raise ParameterError(f"cannot write {folder / name}: {error.strerror}; choose another -o") from None
    print(report.quality_table(), report.latency_table(), report.stage_table(), sep="\n\n")
    for problem in report.problems:
        print(f"note: {problem}", file=sys.stderr)
    return 0


def _progress(recording: str, codec: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{recording:50.50} {codec:20.20}", end="\r", file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtaeError as error:
        sys.exit(message(error))
