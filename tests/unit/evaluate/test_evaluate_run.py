"""The evaluation of systems whose quality and delay are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from rtae.errors import ModelFormatError, ParameterError
from rtae.evaluate import ModelSystem, dnsmos, environment, evaluate, quick_scores
from rtae.evaluate.metrics import METRICS
from rtae.evaluate.pairs import Pair
from rtae.evaluate.report import Report
from rtae.evaluate.results import SystemResult
from rtae.evaluate.systems import stream
from rtae.spec import METADATA_KEY
from tests.models import Build


def declare(source: Path, path: Path, delay: int, training: object = None) -> Path:
    """Copy a model file with another delay, and facts of its training, in its spec."""
    model = onnx.load(source)
    for item in model.metadata_props:
        if item.key == METADATA_KEY:
            spec = json.loads(item.value)
            changes = {"delay": delay, "algorithmic_latency": delay + spec["hop"], "training": training or {}}
            item.value = json.dumps(spec | changes)
    path.write_bytes(model.SerializeToString())
    return path


HIDDEN_MS = (3, -3, 1)


@pytest.fixture(scope="module")
def results(pairs: list[Pair], build: Build, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SystemResult]:
    """One evaluation of systems that change nothing, delay, delay otherwise than they declare, and attenuate."""
    folder = tmp_path_factory.mktemp("liars")
    honest = build("delay", samples=192)
    liars = [declare(honest, folder / f"liar{ms:+d}.onnx", 192 - 48 * ms) for ms in HIDDEN_MS]
    files = {"identity": build("identity"), "delay": honest, "gain": build("gain", factor=0.1)}
    systems = [ModelSystem(path, name) for name, path in files.items()] + [ModelSystem(path) for path in liars]
    return {result.name: result for result in evaluate(pairs[1:], systems)}


def mean(result: SystemResult, name: str) -> float:
    estimate = result.means[name]
    assert estimate is not None and estimate.low <= estimate.mean <= estimate.high
    return estimate.mean


def test_an_identity_scores_as_the_noisy_input(results: dict[str, SystemResult], pairs: list[Pair]) -> None:
    assert list(results)[:2] == ["noisy", "identity"], "the input first, then the systems in their order"
    noisy, identity = results["noisy"], results["identity"]
    assert list(noisy.scores) == [pair.name for pair in pairs[1:]]
    assert identity.scores and identity.scores == noisy.scores
    assert set(identity.means) == set(noisy.means) == set(METRICS)
    for name, change in identity.changes.items():
        assert change is not None and change.mean == change.low == change.high == 0.0, name
    assert noisy.timing is None and noisy.latency is None and noisy.problem is None
    assert identity.latency is not None and identity.latency.delay_measured_ms == pytest.approx(0.0, abs=1e-3)
    assert identity.problem is None


def test_a_perfect_copy_has_the_best_scores(pair: Pair, build: Build) -> None:
    perfect = Pair(pair.name, pair.clean, pair.clean, pair.sample_rate)
    result = evaluate([perfect], [ModelSystem(build("delay", samples=192))])[1]
    assert mean(result, "pesq_wb") == pytest.approx(4.644, abs=1e-3)
    assert mean(result, "estoi") == pytest.approx(1.0, abs=1e-6)
    assert mean(result, "si_sdr") == mean(result, "si_sdr_wb") == 100.0
    assert mean(result, "lsd") == mean(result, "speech_attenuation_db") == 0.0
    assert mean(result, "onset_loss_db") == pytest.approx(0.0, abs=1e-9)


def test_an_honest_delay_costs_nothing(results: dict[str, SystemResult]) -> None:
    delayed = results["delay"]
    assert delayed.scores and delayed.scores == results["noisy"].scores
    latency = delayed.latency
    assert latency is not None and latency.agrees and delayed.problem is None
    assert latency.delay_declared_ms == 4.0
    assert latency.delay_measured_ms == pytest.approx(4.0, abs=0.01)
    assert latency.declared_ms == pytest.approx(4.0 + 128 / 48)
    assert latency.measured_ms == pytest.approx(latency.declared_ms, abs=0.01)


@pytest.mark.parametrize("hidden_ms", HIDDEN_MS)
def test_a_delay_that_is_not_declared_is_reported(hidden_ms: int, results: dict[str, SystemResult]) -> None:
    liar = results[f"liar{hidden_ms:+d}"]
    latency = liar.latency
    assert latency is not None and not latency.agrees
    assert latency.delay_measured_ms == pytest.approx(4.0, abs=0.01)
    assert latency.delay_declared_ms == pytest.approx(4.0 - hidden_ms)
    assert liar.problem is not None and f"{liar.name}: declares a delay of" in liar.problem
    assert f"({hidden_ms:+.2f} ms)" in liar.problem
    assert mean(liar, "si_sdr") < mean(results["noisy"], "si_sdr") - 3, "scored as declared: a lie does not pay"


def test_a_gain_is_seen_where_it_should_be(results: dict[str, SystemResult]) -> None:
    noisy, quiet = results["noisy"], results["gain"]
    for name in ("speech_attenuation_db", "onset_loss_db"):
        assert mean(quiet, name) == pytest.approx(mean(noisy, name) + 20, abs=1e-3)
    assert mean(quiet, "pause_noise_db") == pytest.approx(mean(noisy, "pause_noise_db") - 20, abs=1e-3)
    assert mean(quiet, "si_sdr") == pytest.approx(mean(noisy, "si_sdr"), abs=1e-3)
    change = quiet.changes["pause_noise_db"]
    assert change is not None, "paired: what is the same for every recording has no spread"
    assert (change.low, change.high) == pytest.approx((-20, -20), abs=1e-3)


@pytest.fixture
def no_dnsmos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the slowest measure out of tests that are not about scores."""
    monkeypatch.setattr(dnsmos, "score", lambda audio: dnsmos.Scores(1.0, 1.0, 1.0))


class Oddity:
    """A system that answers with whatever a function makes of the hop."""

    name, sample_rate, hop, delay = "oddity", 48_000, 480, 0

    def __init__(self, answer) -> None:
        self.answer = answer
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def step(self, audio: np.ndarray) -> np.ndarray:
        return self.answer(audio)


@pytest.mark.usefixtures("no_dnsmos")
def test_an_output_that_does_not_resemble_the_input_is_reported(pair: Pair) -> None:
    muted = evaluate([pair], [Oddity(np.zeros_like)])[1]
    assert muted.latency is not None and muted.latency.measured_ms is None and not muted.latency.agrees
    assert muted.problem is not None and "does not resemble the input" in muted.problem
    assert muted.scores[pair.name]["si_sdr"] == -100.0


@pytest.mark.usefixtures("no_dnsmos")
def test_an_output_that_is_not_finite_is_refused(pair: Pair) -> None:
    with pytest.raises(ModelFormatError, match="oddity makes NaN or Inf"):
        evaluate([pair], [Oddity(lambda hop: hop * np.float32(np.nan))])


@pytest.mark.usefixtures("no_dnsmos")
def test_a_model_that_was_trained_on_a_measure_is_named(pair: Pair, build: Build, tmp_path: Path) -> None:
    facts = {"pupil": ["SI-SDR", "ESTOI"], "honest": [], "odd": 3}
    models = [
        ModelSystem(declare(build("identity"), tmp_path / f"{name}.onnx", 0, {"trained_on_measures": measures}))
        for name, measures in facts.items()
    ]
    results = evaluate([pair], models)
    report = Report(results, "dev", 1, pair.seconds, 0, environment.describe())
    line = "pupil: was trained on SI-SDR and ESTOI; high values there prove nothing"
    assert report.problems == json.loads(report.to_json())["problems"] == [line]
    assert f"- {line}" in report.to_markdown()


@pytest.mark.usefixtures("no_dnsmos")
def test_a_recording_begins_with_a_reset(pairs: list[Pair]) -> None:
    oddity = Oddity(lambda hop: hop)
    evaluate(pairs[:2], [oddity])
    assert oddity.resets == 1 + 2 * 2, "after the warm-up, and for the noisy and the clean signal of each"


@pytest.mark.usefixtures("no_dnsmos")
def test_every_hop_is_timed(pair: Pair) -> None:
    timing = evaluate([pair], [Oddity(lambda hop: hop)])[1].timing
    assert timing is not None and timing.hops == 300
    assert 0 < timing.p50_ms <= timing.p99_ms <= timing.p999_ms <= timing.max_ms
    assert 0 < timing.rtf < 1


@pytest.mark.usefixtures("no_dnsmos")
def test_a_model_of_another_rate_is_resampled_around(pair: Pair, build: Build) -> None:
    system = ModelSystem(build("identity", sample_rate=16_000))
    assert system.sample_rate == 16_000
    scores = evaluate([Pair("copy", pair.clean, pair.clean, pair.sample_rate)], [system])[1].scores["copy"]
    assert scores["si_sdr_wb"] is not None and scores["si_sdr_wb"] > 30
    assert scores["lsd"] is not None and scores["lsd"] > 5, "what is above 8 kHz is gone"


def test_streamed_audio_keeps_its_length(pair: Pair, build: Build) -> None:
    for samples in (1, 127, 129, 5000):
        run = stream(ModelSystem(build("delay", samples=192)), pair.noisy[:samples], 48_000)
        assert len(run.output) == len(run.given) == 128 * len(run.hop_seconds) >= samples + 192
        np.testing.assert_array_equal(run.aligned, pair.noisy[:samples])


@pytest.mark.usefixtures("no_dnsmos")
def test_progress_tells_what_runs(pairs: list[Pair], build: Build) -> None:
    told: list[tuple[str, str]] = []
    evaluate(pairs[:2], [ModelSystem(build("identity"))], progress=lambda *names: told.append(names))
    first, second = (pair.name for pair in pairs[:2])
    assert told == [(first, "noisy"), (first, "identity"), (second, "noisy"), (second, "identity")]


@pytest.mark.usefixtures("no_dnsmos")
def test_the_seed_decides_the_intervals(pair: Pair) -> None:
    cuts = [(str(start), slice(start, start + 14_400)) for start in range(0, 144_000, 14_400)]
    pairs = [Pair(name, pair.clean[cut], pair.noisy[cut], pair.sample_rate) for name, cut in cuts]
    intervals = [evaluate(pairs, [], seed=seed)[0].means["si_sdr"] for seed in (3, 3, 4)]
    assert intervals[0] is not None and intervals[0] == intervals[1] != intervals[2]


@pytest.mark.usefixtures("no_dnsmos")
def test_wrong_arguments_are_refused(pair: Pair, build: Build) -> None:
    with pytest.raises(ParameterError, match="no pairs"):
        evaluate([], [])
    with pytest.raises(ParameterError, match="two systems are named 'identity'"):
        evaluate([pair], [ModelSystem(build("identity")), ModelSystem(build("identity"))])
    with pytest.raises(ParameterError, match="two systems are named 'noisy'"):
        evaluate([pair], [ModelSystem(build("identity"), "noisy")])
    with pytest.raises(ParameterError, match="not a denoiser"):
        ModelSystem(build("encoder"))


def test_quick_scores_are_the_means(results: dict[str, SystemResult], pairs: list[Pair]) -> None:
    found = quick_scores(pairs[1:], lambda audio: audio)
    assert set(found) == {"pesq_wb", "estoi", "si_sdr", "lsd"}
    for name, value in found.items():
        assert value == pytest.approx(mean(results["noisy"], name)), name
    assert list(quick_scores(pairs[1:], lambda audio: audio, ("lsd",))) == ["lsd"]


def test_quick_scores_refuse_another_shape(pair: Pair) -> None:
    with pytest.raises(ParameterError, match="shapes"):
        quick_scores([pair], lambda audio: audio[:-1])
    with pytest.raises(ParameterError, match="no pairs"):
        quick_scores([], lambda audio: audio)


def test_a_measure_that_nothing_defines_is_nan(pair: Pair) -> None:
    silent = Pair("silence", np.zeros_like(pair.clean), pair.noisy, pair.sample_rate)
    assert np.isnan(quick_scores([silent], lambda audio: audio, ("pesq_wb",))["pesq_wb"])
