"""The evaluation of codecs whose quality, bits and delay are known; other people's codecs; the mel distance."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtae.errors import ModelFormatError, ModelNotFoundError, ParameterError
from rtae.evaluate import codec_peers
from rtae.evaluate.codec_peers import Lyra, LyraFiles, Opus
from rtae.evaluate.codec_report import CodecReport
from rtae.evaluate.codec_run import CodecResult, code_use, evaluate_codecs, setbacks
from rtae.evaluate.codecs import Coded, Denoised, ModelCodec
from rtae.evaluate.mel import RANGE_DB, mel_distance_db
from rtae.evaluate.metrics import QUICK_CODEC_METRICS
from rtae.evaluate.pairs import Pair
from rtae.evaluate.statistics import bootstrap
from rtae.evaluate.systems import stream
from rtae.model import Model
from tests.models import Build

HOP = 32


def pcm(build: Build, stages: int = HOP, sample_rate: int = 48_000) -> ModelCodec:
    ends = (Model(build(end, hop=HOP, sample_rate=sample_rate)) for end in ("encoder", "decoder"))
    return ModelCodec(*ends, stages, "pcm")


@pytest.fixture(scope="module")
def results(pairs: list[Pair], build: Build) -> list[CodecResult]:
    """PCM whole, with the last quarter of each hop's samples not sent, and behind a delay of 192 samples."""
    short = [dataclasses.replace(pair, clean=pair.clean[:72_000], noisy=pair.noisy[:72_000]) for pair in pairs[1:]]
    codecs = [pcm(build), pcm(build, 24), Denoised(pcm(build), build("delay", samples=192, hop=128))]
    return evaluate_codecs(short, codecs, QUICK_CODEC_METRICS)


def mean(result: CodecResult, name: str) -> float:
    estimate = result.means[name]
    assert estimate is not None
    return estimate.mean


def test_a_lossless_codec_scores_as_the_original_and_its_bits_are_counted(results: list[CodecResult]) -> None:
    original, whole, part, behind = results
    assert [result.name for result in results] == [
        "original",
        "pcm 768",
        "pcm 576",
        "delay-hop=128-samples=192 + pcm 768",
    ]
    assert mean(original, "pesq_wb") > 4.6 and mean(original, "mel_db") == 0
    for lossless in (whole, behind):
        assert mean(lossless, "pesq_wb") == pytest.approx(mean(original, "pesq_wb"), abs=0.02)
        assert mean(lossless, "mel_db") < 0.6
        assert lossless.kbps == lossless.octet_kbps == pytest.approx(768)
        assert lossless.latency is not None and lossless.latency.agrees
    assert part.kbps == pytest.approx(576)
    assert mean(part, "pesq_wb") < 3 and mean(part, "mel_db") > 2
    assert behind.latency.delay_declared_ms > 1e3 * 192 / 48_000


def test_encoder_and_decoder_are_timed_apart(results: list[CodecResult]) -> None:
    for result in results[1:]:
        assert result.encode is not None and result.decode is not None
        assert result.encode.hops == result.decode.hops > 1000
        assert result.encode.rtf > 0 and result.decode.rtf > 0


def test_packets_of_odd_bits_fill_whole_bytes(build: Build) -> None:
    class Odd(ModelCodec):
        def bits(self, packet: Any) -> int:
            return 11

    coded = Coded(Odd(*(Model(build(end)) for end in ("encoder", "decoder")), HOP))
    for _ in range(5):
        coded.step(np.zeros(HOP, np.float32))
    assert (coded.bits, coded.octets, coded.packets) == (55, 10, 5)
    assert coded.seconds == 5 * HOP / 48_000


def test_the_report_says_all_in_every_form(results: list[CodecResult]) -> None:
    report = CodecReport(
        results,
        "set/clean",
        2,
        3.0,
        0,
        {"packages": {}, **dict.fromkeys("cpu machine cores system python commit".split(), "x")},
        [{"entropy_bits": 9.5, "used": 0.25}],
    )
    document = json.loads(report.to_json())
    assert [system["name"] for system in document["systems"]] == [result.name for result in results]
    assert document["systems"][1]["kbps"] == pytest.approx(768)
    page = report.to_markdown()
    for text in ("pcm 768", "768.00", "| 1     | 9.50         | 25 %", "70 dB below", "PESQ-WB ↑", "mel dB ↓"):
        assert text in page, text
    assert report.picture().startswith(b"\x89PNG")


def test_what_does_not_get_better_with_bits_is_told() -> None:
    def result(kbps: float, pesq: float, mel: float, spread: float = 0.0) -> CodecResult:
        scores = {name: {"pesq_wb": pesq, "mel_db": mel + place * spread} for place, name in enumerate("abcd")}
        means = {name: bootstrap([row[name] for row in scores.values()], 0) for name in ("pesq_wb", "mel_db")}
        return CodecResult(f"c {kbps:g}", "c", 24_000, scores, means, kbps)

    assert setbacks([result(2, 2, 4), result(1, 1, 5), result(3, 3, 3)]) == []
    assert setbacks([result(1, 1, 5), result(2, 2, 5.5)]) == [
        "mel of c 2 is no better than that of c 1 (-0.500, 95 % interval -0.500 to -0.500)"
    ]
    assert setbacks([result(1, 2, 5), result(2, 1, 4)])[0].startswith("PESQ-WB of c 2 is no better")


def test_a_gain_is_that_of_each_recording_held_against_itself() -> None:
    def result(kbps: float, levels: list[float]) -> CodecResult:
        scores = {str(place): {"mel_db": level} for place, level in enumerate(levels)}
        return CodecResult(f"c {kbps:g}", "c", 24_000, scores, {"mel_db": bootstrap(levels, 0)}, kbps)

    far_apart = [1.0, 50.0, 3.0, 20.0]
    (line,) = setbacks([result(1, far_apart), result(2, [level + 0.25 for level in far_apart])])
    assert line.endswith("(-0.250, 95 % interval -0.250 to -0.250)")
    (line,) = setbacks([result(1, far_apart), result(2, [2.0, 49.0, 4.0, 20.0])])
    assert "(-0.250, 95 % interval -1.000 to +0.500)" in line


def test_the_use_of_codes_is_counted(build: Build) -> None:
    ramp = np.tile(np.repeat(np.array([-0.5, 0.25, 0.25, 0.75], np.float32), HOP), 50)
    use = code_use(pcm(build, 2), [Pair("ramp", ramp, ramp, 48_000)])
    assert len(use) == 2
    for stage in use:
        assert stage["entropy_bits"] == pytest.approx(1.5)
        assert stage["used"] == 3 / 65536


def test_ends_that_do_not_belong_together_are_refused(build: Build) -> None:
    encoder, decoder = Model(build("encoder")), Model(build("decoder"))
    with pytest.raises(ParameterError, match="not encoder and decoder"):
        ModelCodec(decoder, encoder, 1)
    with pytest.raises(ParameterError, match="not encoder and decoder"):
        ModelCodec(encoder, Model(build("decoder", sample_rate=24_000)), 1)
    with pytest.raises(ParameterError, match="1 to 32"):
        ModelCodec(encoder, decoder, 33)
    with pytest.raises(ParameterError, match="no recordings"):
        evaluate_codecs([], [pcm(build)])
    quiet = np.zeros(100, np.float32)
    with pytest.raises(ParameterError, match="two codecs"):
        evaluate_codecs([Pair("a", quiet, quiet, 48_000)], [pcm(build), pcm(build)])


@pytest.mark.parametrize("kbps", [6, 12])
def test_opus_has_its_rate_its_delay_and_a_reset(kbps: float, pair: Pair) -> None:
    coded = Coded(Opus(kbps))
    first = stream(coded, pair.clean, pair.sample_rate)
    assert 1e-3 * coded.bits / coded.seconds == pytest.approx(kbps)
    assert np.std(first.aligned) == pytest.approx(np.std(pair.clean), rel=0.5), "of its full scale"
    np.testing.assert_array_equal(stream(coded, pair.clean, pair.sample_rate).output, first.output)


def test_opus_declares_the_delay_it_has(pairs: list[Pair]) -> None:
    (_, result) = evaluate_codecs(pairs, [Opus(16)], ("estoi",))
    assert result.latency is not None and result.latency.agrees
    assert mean(result, "estoi") > 0.8


def test_opus_refuses_a_rate_it_has_not() -> None:
    with pytest.raises(ParameterError, match="libopus does not take 9999 kbps"):
        Opus(9999)


class FakeInterpreter:
    """Networks of Lyra's signatures: features are the first 64 samples, codes their signs, a state counts the calls."""

    made: list[FakeInterpreter] = []  # noqa: RUF012

    def __init__(self, path: str, num_threads: int) -> None:
        assert num_threads == 1
        if Path(path).read_bytes() != b"net":
            raise ValueError("not a flatbuffer")
        self.calls = 0
        self.made.append(self)

    def reset_all_variables(self) -> None:
        self.calls = 0

    def get_signature_runner(self, name: str) -> Any:
        if name == "encode":
            return self._quantize
        if name == "decode":
            return lambda encoding_indices: {"output_0": encoding_indices.reshape(1, 1, 46).astype(np.float32)}
        return self._run

    def _run(self, input_audio: np.ndarray) -> dict[str, np.ndarray]:
        self.calls += 1
        if input_audio.shape == (1, 320):
            return {"output_0": np.pad(input_audio[:, :46], ((0, 0), (0, 18)))[None] + self.calls}
        return {"output_0": np.resize(input_audio[0], (1, 320)).astype(np.float32)}

    @staticmethod
    def _quantize(input_frames: np.ndarray, num_quantizers: np.ndarray) -> dict[str, np.ndarray]:
        codes = np.arange(46) % 16 + (input_frames[0, 0, :46] > 1.5)
        return {"output_0": np.where(np.arange(46) < num_quantizers, codes, -1).astype(np.int32).reshape(46, 1, 1)}


@pytest.fixture
def lyra_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(codec_peers, "require", lambda *_: type("Module", (), {"Interpreter": FakeInterpreter}))
    for name in ("soundstream_encoder", "quantizer", "lyragan"):
        (tmp_path / f"{name}.tflite").write_bytes(b"net")
    return tmp_path


@pytest.mark.parametrize(("kbps", "bits"), [(3.2, 64), (6.0, 120), (9.2, 184)])
def test_lyra_sends_the_bits_of_its_rate_and_starts_anew(kbps: float, bits: int, lyra_folder: Path) -> None:
    lyra = Lyra(LyraFiles(lyra_folder), kbps)
    packets = [lyra.encode(np.zeros(320, np.float32)) for _ in range(2)]
    assert [lyra.bits(packet) for packet in packets] == [bits, bits]
    assert not np.array_equal(*packets), "the state goes on"
    assert lyra.decode(packets[0]).shape == (320,)
    lyra.reset()
    np.testing.assert_array_equal(lyra.encode(np.zeros(320, np.float32)), packets[0])


def test_lyra_says_what_is_missing(lyra_folder: Path) -> None:
    with pytest.raises(ParameterError, match=r"3\.2, 6, 9\.2"):
        Lyra(LyraFiles(lyra_folder), 5)
    (lyra_folder / "quantizer.tflite").write_bytes(b"damaged")
    with pytest.raises(ModelFormatError, match=r"quantizer\.tflite .*flatbuffer"):
        LyraFiles(lyra_folder)
    (lyra_folder / "quantizer.tflite").unlink()
    with pytest.raises(ModelNotFoundError, match=r"quantizer\.tflite"):
        LyraFiles(lyra_folder)


def noise(seed: int, samples: int = 16_000) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples)


def test_the_mel_distance_of_a_gain_is_the_gain() -> None:
    audio = noise(1)
    assert mel_distance_db(audio, audio) == 0
    assert mel_distance_db(audio, 0.5 * audio) == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert mel_distance_db(audio, 2 * audio) == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert mel_distance_db(1e-3 * audio, 2e-3 * audio) == pytest.approx(20 * np.log10(2), abs=1e-6)


def test_the_mel_distance_is_the_same_for_a_lost_band_however_little_is_left() -> None:
    audio = noise(2)
    silent = mel_distance_db(audio, np.zeros_like(audio))
    assert silent is not None and 0.7 * RANGE_DB < silent < RANGE_DB
    assert mel_distance_db(audio, 1e-5 * audio) == silent
    other = mel_distance_db(audio, noise(3))
    assert other is not None and 3 < other < 9, "two noises of one spectrum differ by their fluctuation"


def test_the_mel_distance_of_nothing_is_none() -> None:
    assert mel_distance_db(noise(1, 511), noise(1, 511)) is None
    assert mel_distance_db(np.zeros(16_000), noise(1)) is None
