"""``rtae latency --loopback`` on JACK servers, over virtual cables of known length."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from jack_lab import JackServer, end

DEVICE = ("--input", "system, jack", "--output", "system, jack")
SHORT = ("--seconds", "1.2", "--longest", "0.3")
HERE = Path(__file__).parent
SWEEP = {
    (8_000, 777): [1, 333, 5_000],
    (16_000, 100): [0, 778, 5_000],
    (44_100, 0): [63, 1_009, 5_000],
    (48_000, 5_000): [0, 1, 480, 2_501],
    (48_000, 100): [2, 479, 4_999, 5_000],
}
"""Rate of model and server, samples of cable -> declared delays; those between are tried on a device in memory."""


@pytest.fixture(scope="module")
def jack(tmp_path_factory):
    server = JackServer(tmp_path_factory.mktemp("jack"))
    yield server
    server.close()


@contextmanager
def cable(server, samples, *, gain=1.0, noise=0.0, ppm=0.0):
    arguments = [server.name, *map(str, (samples, gain, noise, ppm))]
    with subprocess.Popen(
        [sys.executable, str(HERE / "jack_cable.py"), *arguments], env=server.environment, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout.readline() == b"plugged\n"
            yield
        finally:
            end(process)


def measure(server, *arguments):
    result = subprocess.run(
        [sys.executable, "-m", "rtae", "latency", "--loopback", "--json", *DEVICE, *map(str, arguments)],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stderr == ""
    return result.returncode, json.loads(result.stdout)


def right_one_of_three(server, right, *arguments):
    """A busy machine drops whole cycles of the server's, a shift by a period that no engine can undo: try again."""
    tried = []
    for _ in range(3):
        status, found = measure(server, *arguments)
        if right(found):
            assert status == 0
            return found
        tried.append({name: value for name, value in found.items() if name != "repetitions"})
    pytest.fail(f"tried: {tried}")


def off_by(cable_samples, tolerance):
    def right(found):
        unexplained = found and found["unexplained_samples"]
        return unexplained is not None and abs(unexplained - cable_samples) <= tolerance

    return right


def measure_each(servers, models):
    """Measure the models of every server, all servers at a time: most of it is waiting."""
    running = {}
    for key, paths in models.items():
        program = [sys.executable, str(HERE / "latency_of_each.py"), *map(str, paths), "--", *DEVICE]
        running[key] = subprocess.Popen(
            [*program, "--seconds", "1.0", "--longest", str(6_500 / key[0] + 0.15)],
            env=servers[key].environment,
            stdout=subprocess.PIPE,
            text=True,
        )
    return {key: documents(process.communicate(timeout=120)[0]) for key, process in running.items()}


def documents(text):
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        document, length = decoder.raw_decode(text)
        found.append(document)
        text = text[length:]
    return found


@pytest.fixture(scope="module")
def swept(build, tmp_path_factory):
    """What is found at each rate, over each cable, for each delay, after up to three tries each."""
    found = {}
    with ExitStack() as stack:
        servers, missing = {}, {}
        for rate, length in SWEEP:
            server = servers[rate, length] = JackServer(tmp_path_factory.mktemp(f"jack-{rate}"), rate=rate)
            stack.callback(server.close)
            stack.enter_context(cable(server, length))
            sizes = {"hop": rate // 100, "sample_rate": rate}
            missing[rate, length] = {
                delay: build("delay", samples=delay, **sizes) if delay else build("identity", **sizes)
                for delay in SWEEP[rate, length]
            }
        for _ in range(3):
            measured = measure_each(servers, {key: paths.values() for key, paths in missing.items()})
            for key, results in measured.items():
                found |= {(*key, delay): result for delay, result in zip(missing[key], results, strict=True)}
            missing = {
                key: {delay: path for delay, path in paths.items() if not off_by(key[1], 0.01)(found[*key, delay])}
                for key, paths in missing.items()
            }
            missing = {key: paths for key, paths in missing.items() if paths}
            print("to be tried again:", sum(map(len, missing.values())))
            if not missing:
                break
    return found


@pytest.mark.parametrize(
    ("rate", "length", "delay"), [(*key, delay) for key, delays in SWEEP.items() for delay in delays]
)
def test_the_declared_total_is_measured_to_the_sample(swept, rate, length, delay):
    found = swept[rate, length, delay]
    assert found is not None
    assert found["sample_rate"] == rate and found["parts_samples"]["model"] == delay
    assert 0 < found["parts_samples"]["headroom"] < found["reported_samples"] < delay + 3_000
    assert off_by(length, 0.01)(found), found
    assert found["confidence"] > 0.5 and found["deviation_samples"] < 0.1


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_a_resampled_model_is_in_the_round_trip_with_its_delay(jack, build, rate):
    model = build("delay", samples=300, hop=160, sample_rate=rate)
    with cable(jack, 100):
        # Resampling delays the signal by a fraction; the reported number is the nearest whole one.
        found = right_one_of_three(jack, off_by(100, 0.5), *SHORT, "-m", model)
    assert found["parts_samples"]["model"] == round(300 * 48_000 / rate)


@pytest.mark.parametrize("ppm", [0.0, 100.0, -100.0])
def test_noise_20_db_down_and_clocks_apart_move_it_by_less_than_half_a_sample(jack, ppm):
    with cable(jack, 777, noise=0.01, ppm=ppm):
        found = right_one_of_three(jack, off_by(777, 0.5), "--seconds", 3, "--longest", 0.2)
    assert found["repetitions"][0]["offset_ppm"] == pytest.approx(ppm, abs=15.0)
    assert found["confidence"] > 0.5


@pytest.mark.parametrize("hiss", [None, 0.1])
def test_a_broken_loop_has_no_number(jack, hiss):
    """Nothing plugged in; a cable that hisses and passes nothing on."""
    with ExitStack() as stack:
        if hiss is not None:
            stack.enter_context(cable(jack, 100, gain=0.0, noise=hiss))
        status, found = measure(jack, *SHORT)
    assert status == 1
    assert found["measured_samples"] is None and found["unexplained_samples"] is None
    assert found["confidence"] < 0.5
    assert found["repetitions"][0]["lost"] > found["repetitions"][0]["jumps"]
