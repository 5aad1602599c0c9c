"""The evaluation of codecs: every codec on every recording, streamed, counted, timed and scored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rtae.errors import ParameterError
from rtae.evaluate.alignment import DelayMeter
from rtae.evaluate.codecs import Coded, ModelCodec, SpeechCodec
from rtae.evaluate.metrics import CODEC_METRICS, score
from rtae.evaluate.pairs import Pair
from rtae.evaluate.resampling import resample
from rtae.evaluate.results import Latency, Scores, Timing
from rtae.evaluate.statistics import Estimate, bootstrap
from rtae.evaluate.systems import stream, warm_up

ORIGINAL = "original"
"""Name of the recordings themselves in results."""


@dataclass(frozen=True)
class CodecResult:
    """What one codec achieved at one bit rate.

    Attributes
    ----------
    name, family : str
        Name of the codec with and without its bit rate.
    sample_rate : int
        Rate it works at, in hertz; 0 for the recordings themselves.
    scores : dict of str to dict
        For each recording its measures.
    means : dict of str to Estimate or None
        For each measure the mean over the recordings.
    kbps : float
        Bits of the packets over the time of the audio.
    octet_kbps : float
        The same where every packet is filled up to whole bytes.
    encode, decode : Timing or None
        None for the recordings themselves.
    latency : Latency or None
        None for the recordings themselves.
    """

    name: str
    family: str
    sample_rate: int
    scores: dict[str, Scores]
    means: dict[str, Estimate | None]
    kbps: float = 0.0
    octet_kbps: float = 0.0
    encode: Timing | None = None
    decode: Timing | None = None
    latency: Latency | None = None


@dataclass
class _Tally:
    coded: Coded
    meter: DelayMeter
    scores: dict[str, Scores] = field(default_factory=dict)

    def take(self, pair: Pair, noisy: bool, metrics: Sequence[str]) -> None:
        sent = stream(self.coded, pair.noisy if noisy else pair.clean, pair.sample_rate)
        self.meter.add(sent.given, sent.output)
        self.scores[pair.name] = score(pair.clean, sent.aligned, pair.sample_rate, metrics)

    def result(self, metrics: Sequence[str], seed: int) -> CodecResult:
        coded, delay = self.coded, self.meter.delay
        to_ms = 1e3 / coded.sample_rate
        latency = Latency(coded.hop * to_ms, coded.delay * to_ms, None if delay is None else delay * to_ms)
        return CodecResult(
            coded.name,
            coded.codec.family,
            coded.sample_rate,
            self.scores,
            _means(self.scores, metrics, seed),
            1e-3 * coded.bits / coded.seconds,
            8e-3 * coded.octets / coded.seconds,
            _timing(coded.encode_seconds, coded.seconds),
            _timing(coded.decode_seconds, coded.seconds),
            latency,
        )


def evaluate_codecs(
    pairs: Sequence[Pair],
    codecs: Sequence[SpeechCodec],
    metrics: Sequence[str] = tuple(CODEC_METRICS),
    *,
    noisy: bool = False,
    seed: int = 0,
    progress: Callable[[str, str], None] | None = None,
) -> list[CodecResult]:
    """Send every recording through every codec, one after the other on this thread, and score what comes out.

    Recordings are the outer loop, so that a busy moment of the machine hits every codec alike.

    Parameters
    ----------
    pairs : sequence of Pair
        The recordings; their clean side is what the output is held against.
    codecs : sequence of SpeechCodec
        The codecs, of distinct names.
    metrics : sequence of str
        Names of :data:`rtae.evaluate.metrics.CODEC_METRICS`.
    noisy : bool
        Send the noisy side, for codecs that denoise.
    seed : int
        Seed of the confidence intervals.
    progress : callable, optional
        Called with the names of the recording and the codec before each of ``len(pairs) * (1 + len(codecs))`` runs.

    Returns
    -------
    list of CodecResult
        What goes in first, then the codecs in their order.

    Raises
    ------
    ParameterError
        If there are no pairs, or two codecs share a name.
    MissingDependencyError
        If a package behind a measure is not installed.
    """
    if not pairs:
        raise ParameterError("no recordings to evaluate on")
    names = [ORIGINAL, *(codec.name for codec in codecs)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParameterError(f"two codecs are named {twice[0]!r}; the results go by name")
    tallies = []
    for codec in codecs:
        coded = Coded(codec)
        coded.reset()
        warm_up(coded)
        coded.clear()
        tallies.append(_Tally(coded, DelayMeter(codec.sample_rate, codec.delay)))
    tell = progress or (lambda _recording, _codec: None)
    original: dict[str, Scores] = {}
    for pair in pairs:
        tell(pair.name, ORIGINAL)
        original[pair.name] = score(pair.clean, pair.noisy if noisy else pair.clean, pair.sample_rate, metrics)
        for tally in tallies:
            tell(pair.name, tally.coded.name)
            tally.take(pair, noisy, metrics)
    first = CodecResult(ORIGINAL, ORIGINAL, 0, original, _means(original, metrics, seed))
    return [first, *(tally.result(metrics, seed) for tally in tallies)]


def setbacks(results: Sequence[CodecResult], seed: int = 0) -> list[str]:
    """Return one line for each measure that a codec's next higher bit rate did not better.

    Beside the mean gain stands its confidence interval over the recordings, each held against itself: an interval
    around zero says that the measure cannot tell the two apart.
    """
    lines = []
    for family in dict.fromkeys(result.family for result in results):
        points = sorted((result for result in results if result.family == family), key=lambda result: result.kbps)
        for before, after in itertools.pairwise(points):
            for name in after.means:
                metric = CODEC_METRICS[name]
                gain = bootstrap(
                    [_gain(before.scores[each], scores, name) for each, scores in after.scores.items()], seed
                )
                if gain is not None and not gain.mean > 0:
                    lines.append(
                        f"{metric.label} of {after.name} is no better than that of {before.name} "
                        f"({gain.mean:+.3f}, 95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
                    )
    return lines


def _gain(before: Scores, after: Scores, name: str) -> float | None:
    former, latter = before[name], after[name]
    if former is None or latter is None:
        return None
    return latter - former if CODEC_METRICS[name].higher_is_better else former - latter


def code_use(codec: ModelCodec, pairs: Sequence[Pair], *, noisy: bool = False) -> list[dict[str, float]]:
    """Return for each stage sent the entropy of its codes in bits and the share of them in use.

    Parameters
    ----------
    codec : ModelCodec
        Reset for every recording.
    pairs : sequence of Pair
        The recordings.
    noisy : bool
        Encode the noisy side.
    """
    found = []
    for pair in pairs:
        codec.reset()
        audio = pair.noisy if noisy else pair.clean
        audio = resample(audio, pair.sample_rate, codec.sample_rate).astype(np.float32)
        hops = audio[: len(audio) // codec.hop * codec.hop].reshape(-1, codec.hop)
        found += [codec.encode(hop).copy() for hop in hops]
    size = 2**codec.code_bits
    shares = [np.bincount(column, minlength=size) / len(found) for column in np.stack(found).T]
    return [
        {
            "entropy_bits": float(-np.sum(share * np.log2(np.where(share > 0, share, 1)))),
            "used": float(np.mean(share > 0)),
        }
        for share in shares
    ]


def _means(scores: dict[str, Scores], metrics: Sequence[str], seed: int) -> dict[str, Estimate | None]:
    return {name: bootstrap([row[name] for row in scores.values()], seed) for name in metrics}


def _timing(hop_seconds: Sequence[float], seconds: float) -> Timing:
    p50, p99, p999, longest = (float(1e3 * value) for value in np.percentile(hop_seconds, [50, 99, 99.9, 100]))
    return Timing(float(np.sum(hop_seconds)) / seconds, p50, p99, p999, longest, len(hop_seconds))
