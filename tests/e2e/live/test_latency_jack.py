"""``rtae latency --loopback`` on a JACK server, over a virtual cable of known length."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from jack_lab import JackServer, end

DEVICE = ("--input", "system, jack", "--output", "system, jack")
SHORT = ("--seconds", "1.4", "--longest", "0.3")
CABLE = Path(__file__).with_name("jack_cable.py")


@pytest.fixture(scope="module")
def jack(tmp_path_factory):
    server = JackServer(tmp_path_factory.mktemp("jack"))
    yield server
    server.close()


@contextmanager
def cable(server, samples):
    with subprocess.Popen(
        [sys.executable, str(CABLE), server.name, str(samples)], env=server.environment, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout.readline() == b"plugged\n"
            yield
        finally:
            end(process)


def measure(server, *arguments):
    result = subprocess.run(
        [sys.executable, "-m", "rtae", "latency", "--loopback", "--json", *DEVICE, *SHORT, *map(str, arguments)],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stderr == ""
    return result.returncode, json.loads(result.stdout)


def right_one_of_three(server, expected, *arguments):
    """A busy machine drops whole cycles of the server's, a shift by a period that no engine can undo: try again."""
    tried = []
    for _ in range(3):
        status, found = measure(server, *arguments)
        if status == 0 and found["measured_samples"] == pytest.approx(found["reported_samples"] + expected, abs=0.01):
            return found
        tried.append((status, found["measured_samples"], found["reported_samples"], found["xruns"], found["late"]))
    pytest.fail(f"(status, measured, reported, xruns, late): {tried}")


@pytest.mark.parametrize("length", [0, 777, 5_000])
def test_the_round_trip_is_the_reported_total_and_the_cable(jack, length):
    with cable(jack, length):
        found = right_one_of_three(jack, length)
    assert found["deviation_samples"] < 0.01 and found["confidence"] > 0.5
    assert 0 < found["parts_samples"]["headroom"] < found["reported_samples"] < 3_000


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_a_model_of_any_rate_is_in_the_round_trip_with_its_delay(jack, build, rate):
    model = build("delay", samples=300, hop=160, sample_rate=rate)
    with cable(jack, 100):
        tried = []
        for _ in range(3):
            _, found = measure(jack, "-m", model)
            tried.append(found["unexplained_samples"])
            # Resampling delays the signal by a fraction; the reported number is the nearest whole one.
            if tried[-1] is not None and abs(tried[-1] - 100) <= 0.5:
                break
        else:
            pytest.fail(f"unexplained: {tried}, the cable is 100")
    assert found["parts_samples"]["model"] == round(300 * 48_000 / rate)


def test_without_a_cable_there_is_no_number(jack):
    status, found = measure(jack)
    assert status == 1
    assert found["measured_samples"] is None and found["unexplained_samples"] is None
    assert found["confidence"] < 0.5
