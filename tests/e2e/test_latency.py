"""``rtae latency`` through the real engine on a clock that waits: measured is declared, to the sample."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rtae.bench import coded, measure_delay
from rtae.bench.loop import Loopback
from rtae.cli import main
from rtae.live import FakeBackend, FileBackend, LiveStream
from rtae.processor import Delay
from tests.faulty_models import redeclared

RATES = [8_000, 16_000, 44_100, 48_000]


def measured(capsys, *arguments):
    status = main(["latency", "--json", "--seconds", "1.6", *map(str, arguments)])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("delay", "hop"), [(1, 80), (160, 160), (777, 441), (5_000, 480)])
def test_a_model_of_any_rate_arrives_when_it_says(capsys, build, rate, delay, hop):
    model = build("delay", samples=delay, hop=hop, sample_rate=rate)
    status, found = measured(capsys, "-m", model)
    assert status == 0
    assert found["parts_samples"]["model"] == delay and found["sample_rate"] == rate
    assert found["measured_samples"] == pytest.approx(found["reported_samples"], abs=0.01)
    assert found["confidence"] >= 0.8


@pytest.mark.parametrize(("model_rate", "rate"), [(16_000, 48_000), (48_000, 44_100), (8_000, 44_100)])
def test_resampling_counts(capsys, build, model_rate, rate):
    model = build("delay", samples=300, hop=160, sample_rate=model_rate)
    status, found = measured(capsys, "-m", model, "--rate", rate, "--block", 200)
    assert status == 0
    assert found["measured_samples"] == pytest.approx(found["reported_samples"], abs=0.5)


@pytest.mark.parametrize("rate", RATES)
def test_processors_of_many_delays_are_exact_to_the_sample(rate):
    print("seed 6")
    probe = coded(rate, 1.2)
    delays = [0, 5_000, *np.random.default_rng(6).integers(1, 5_000, 6)]
    for delay in map(int, delays):
        backend = FileBackend(probe, rate, realtime=False)
        with LiveStream(Delay(delay, sample_rate=rate), backend=backend) as stream:
            assert stream.wait(60)
        found = measure_delay(probe, backend.output[:, 0], rate)
        assert found.delay_samples == pytest.approx(stream.latency.engine, abs=0.01)
        assert stream.latency.model + stream.latency.hop_wait == delay


@pytest.mark.parametrize(("name", "rate"), [("codec", 24_000), ("codec-encoder", 24_000), ("codec", 44_100)])
def test_a_codec_arrives_when_it_says(capsys, name, rate):
    status, found = measured(capsys, "-m", name, "--rate", rate, "--seconds", 4)
    assert status == 0 and found["measured_samples"] == pytest.approx(found["reported_samples"], abs=0.5)
    assert found["parts_samples"]["model"] == round(0.01 * rate) and found["confidence"] > 0.6


def test_a_round_trip_over_a_fake_cable_is_the_reported_total(build):
    """What the fake device plays comes back in its microphone some blocks later: the latency it reports."""
    rate, block, blocks_back = 48_000, 128, 3
    fake = FakeBackend(rate, input_latency=block, output_latency=2 * block)
    probe = coded(rate, 1.5)
    loop = Loopback(fake, probe, rate, 0.2)
    cable = [np.zeros((block, 1), np.float32)] * blocks_back
    model = build("delay", samples=300, hop=192)
    with LiveStream(model, block_size=block, sample_rate=rate, backend=loop) as stream:
        for _ in range(round(2.1 * rate / block)):
            cable.append(fake.step(cable.pop(0)))
        assert loop.wait()
    found = measure_delay(probe, loop.heard, rate)
    assert stream.latency.total > 300 + 3 * block
    assert found.agrees_with(stream.latency.total) and found.deviation_samples < 0.01


def test_a_wrong_declaration_is_a_failure_with_the_difference(capsys, build, tmp_path):
    liar = redeclared(build("delay", samples=192), tmp_path / "liar.onnx", delay=250)
    status, found = measured(capsys, "-m", liar)
    assert status == 1 and found["schema"] == "rtae-latency" and "governor" in found["machine"]
    assert found["unexplained_samples"] == pytest.approx(192 - 250, abs=0.01)
    assert main(["latency", "-m", str(liar), "--seconds", "1.6"]) == 1
    assert "unexplained" in capsys.readouterr().out


def test_wrong_usage_is_one_line(capsys, build):
    for arguments, part in (
        (["--repeat", "0"], "--repeat is 0"),
        (["--seconds", "0"], "--seconds is 0"),
        (["--seconds", "0.2"], "lasts 0.20 s"),
        (["-i", "mic"], "--loopback"),
        (["-m", "nothing.onnx"], "no model"),
    ):
        assert main(["latency", "-m", str(build("identity")), *arguments]) == 2
        error = capsys.readouterr().err
        assert part in error and error.count("\n") == 1
