"""Packet-loss benchmark: PESQ of the codec and of Opus, each with its own concealment, over share and kind of loss.

python benchmarks/loss.py PAIRS codec --kbps 6 --opus 6 16 -o results/

A packet is 20 ms of either codec. The same packets of a recording are lost for all.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtae.atomic import AtomicFile
from rtae.cli import message
from rtae.cli.folder import report_folder
from rtae.codec import Codec
from rtae.errors import MissingDependencyError, ParameterError, RtaeError
from rtae.evaluate import environment
from rtae.evaluate.codec_peers import Opus
from rtae.evaluate.metrics import score
from rtae.evaluate.optional import require
from rtae.evaluate.pairs import Pair, read_pairs
from rtae.evaluate.resampling import resample
from rtae.net.sender import repeated

PACKET_S = 0.02
LOSSES = (0.0, 0.01, 0.05, 0.10, 0.20)
BURSTS = (1.0, 3.0)
METRICS = ("pesq_wb", "estoi")

Signal = npt.NDArray[np.float32]


class ConcealingOpus(Opus):
    """Opus whose decoder is told of losses: libopus itself, as PyAV hands no empty packet on to it."""

    def __init__(self, kbps: float) -> None:
        super().__init__(kbps)
        self._library = _libopus()
        status = ctypes.c_int()
        self._state = self._library.opus_decoder_create(self.sample_rate, 1, ctypes.byref(status))
        if status.value:
            raise ParameterError(f"libopus makes no decoder (error {status.value})")

    def through(self, audio: Signal, lost: Sequence[bool]) -> Signal:
        """Return what a receiver hears of a recording, of its length and aligned with it."""
        self.reset()
        self._library.opus_decoder_ctl(self._state, 4028)  # OPUS_RESET_STATE
        count = -(-(len(audio) + self.delay) // self.hop)
        padded = np.pad(audio, (0, count * self.hop - len(audio)))
        output = np.empty(count * self.hop, np.float32)
        for index in range(count):
            part = slice(index * self.hop, (index + 1) * self.hop)
            packet = self.encode(padded[part])
            data = None if lost[index] else bytes(packet)
            made = self._library.opus_decode_float(
                self._state, data, len(data or b""), output[part].ctypes.data_as(ctypes.c_void_p), self.hop, 0
            )
            if made != self.hop:
                raise ParameterError(f"libopus decoded {made} of {self.hop} samples")
        return output[self.delay :][: len(audio)]


class Concealing:
    """The codec of rtae.

    ``ahead``: a receiver that holds one packet more and so knows what follows a short gap. ``repeating``: one that also
    finds there what `rtae send` repeats of the packet before.
    """

    def __init__(self, model: str, kbps: float, *, ahead: bool = False, repeating: bool = False) -> None:
        codec = Codec(model, kbps=kbps)
        codec.hops_per_packet = round(PACKET_S * codec.spec.sample_rate / codec.spec.hop)
        self.codec, self.sample_rate, self._repeating = codec, codec.sample_rate, repeating
        self._ahead = ahead or repeating
        self.name = f"rtae {codec.kbps:g}" + (", repeated" if repeating else ", one packet ahead" if ahead else "")

    def through(self, audio: Signal, lost: Sequence[bool]) -> Signal:
        """As of Opus."""
        codec = self.codec
        codec.reset()
        packets = [*codec.encode(audio), *codec.flush()]
        blocks = []
        for index, packet in enumerate(packets):
            following = packets[index + 1] if index + 1 < len(packets) and not lost[index + 1] else None
            if not lost[index]:
                blocks.append(codec.decode([packet]))
            elif self._repeating and following is not None:
                blocks.append(codec.decode([repeated(packet)]))
            else:
                blocks.append(codec.conceal(packet.hops, following if self._ahead else None))
        return np.concatenate(blocks)[codec.delay :, 0][: len(audio)]


def losses(count: int, share: float, burst: float, seed: int) -> list[bool]:
    """Draw which of so many packets are lost, the first never: Gilbert's model, bursts of that mean length.

    With a mean length of 1 losses are independent of each other.
    """
    rng = np.random.default_rng(seed)
    if burst == 1.0:
        lost = list(rng.random(count) < share)
    else:
        leave = 1.0 / burst
        enter = share * leave / (1.0 - share)
        lost, inside = [], False
        for draw in rng.random(count):
            inside = draw >= leave if inside else draw < enter
            lost.append(bool(inside))
    return [False, *map(bool, lost[1:])]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "pairs", help="folder with clean/ and noisy/ recordings of equal names; the clean ones are sent"
    )
    parser.add_argument("codec", help="name or path of the codec")
    parser.add_argument("--kbps", type=float, nargs="+", default=[6.0], help="bit rates of the codec (6)")
    parser.add_argument("--opus", type=float, nargs="*", default=[6.0, 16.0], metavar="KBPS", help="and of Opus (6 16)")
    parser.add_argument("--recordings", type=int, metavar="N", help="so many of the recordings, evenly spread (all)")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for loss.json and loss.md")
    options = parser.parse_args(argv)
    folder = None if options.output is None else report_folder(options.output)
    with environment.one_thread():
        pairs = read_pairs(options.pairs)
        if options.recordings:
            pairs = pairs[:: max(1, len(pairs) // options.recordings)][: options.recordings]
        kinds: list[dict[str, bool]] = [{}, {"ahead": True}, {"repeating": True}]
        ours = [Concealing(options.codec, kbps, **kind) for kbps in options.kbps for kind in kinds]
        systems = [*ours, *map(ConcealingOpus, options.opus)]
        results = measure(pairs, systems)
    text = table(results)
    print(text)
    if folder is not None:
        facts = {"recordings": len(pairs), "packet_ms": 1e3 * PACKET_S, **environment.describe(), "results": results}
        for name, content in (("loss.json", json.dumps(facts, indent=2)), ("loss.md", f"{text}\n")):
            with AtomicFile(folder / name) as beside:
                beside.write_text(content, encoding="utf-8")
    return 0


def measure(pairs: Sequence[Pair], systems: Iterable[Concealing | ConcealingOpus]) -> list[dict[str, float | str]]:
    """Score every system under every loss; means over the recordings."""
    results = []
    for system in systems:
        for share, burst in [(share, burst) for burst in BURSTS for share in LOSSES if share or burst == BURSTS[0]]:
            found: dict[str, list[float]] = {metric: [] for metric in METRICS}
            peak = 0.0
            for seed, pair in enumerate(pairs):
                lost = losses(int(len(pair.clean) / pair.sample_rate / PACKET_S) + 10, share, burst, seed)
                sent = resample(pair.clean, pair.sample_rate, system.sample_rate).astype(np.float32)
                heard = system.through(sent, lost)
                peak = max(peak, float(np.abs(heard).max()))
                restored = resample(heard, system.sample_rate, pair.sample_rate)[: len(pair.clean)]
                restored = np.pad(restored, (0, len(pair.clean) - len(restored))).astype(np.float32)
                for metric, value in score(pair.clean, restored, pair.sample_rate, METRICS).items():
                    found[metric] += [] if value is None else [value]
            means = {metric: float(np.mean(values)) for metric, values in found.items()}
            results.append({"system": system.name, "loss": share, "burst": burst, "peak": peak, **means})
            print(f"{system.name} {share:.0%} {burst:g} {means['pesq_wb']:.3f}", file=sys.stderr)
    return results


def table(results: Sequence[dict[str, float | str]]) -> str:
    """Return PESQ as Markdown, a row a system and kind of loss."""
    lines = [
        f"| PESQ-WB | loss | {' | '.join(f'{share:.0%}' for share in LOSSES)} |",
        "|---|---" + "|---" * len(LOSSES) + "|",
    ]
    for system in dict.fromkeys(result["system"] for result in results):
        for burst in BURSTS:
            row = {
                result["loss"]: f"{result['pesq_wb']:.2f}"
                for result in results
                if result["system"] == system and (result["burst"] == burst or not result["loss"])
            }
            kind = "random" if burst == 1.0 else f"bursts of {burst:g}"
            lines.append(f"| {system} | {kind} | {' | '.join(row[share] for share in LOSSES)} |")
    return "\n".join(lines)


def _libopus() -> ctypes.CDLL:
    """Return the libopus that comes with PyAV, or the system's."""
    folder = Path(require("av", "codec-peers").__file__).parent.with_name("av.libs")
    name = next(map(str, sorted(folder.glob("libopus-*"))), None) or ctypes.util.find_library("opus")
    if name is None:
        raise MissingDependencyError("no libopus; on Debian 'apt install libopus0'")
    library = ctypes.CDLL(name)
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    library.opus_decoder_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.opus_decode_float.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int, ctypes.c_int,
    ]  # fmt: skip
    return library


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtaeError as error:
        sys.exit(message(error))
