"""A host with many threads: an object each gives what one thread gives, a shared object is refused."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rtae import Denoiser, shipped
from rtae.errors import StreamStateError

THREADS = 32
SEED = 32
SHIPPED = [name for name in shipped.available() if shipped.load(name).spec.kind == "denoiser"]


def stream(denoiser, signal, gate=None):
    """The whole of one stream, in blocks of its own sizes."""
    if gate is not None:
        gate.wait(30)
    output, start, size = [], 0, 37
    while start < len(signal):
        output.append(denoiser.process(signal[start : start + size]))
        start, size = start + size, size * 5 % 997 + 1
    return np.concatenate([*output, denoiser.flush()])


@pytest.mark.parametrize("name", ["compressor", *SHIPPED])
def test_32_threads_give_what_one_gives(build, name):
    model = shipped.find(name) if name in SHIPPED else build(name)
    print("seed", SEED)
    random = np.random.default_rng(SEED)
    formats = [(rate, channels) for rate in (16_000, 44_100, 48_000, 96_000) for channels in (1, 2)] * 4
    assert len(formats) == THREADS
    signals = [(0.1 * random.standard_normal((rate // 4, channels))).astype(np.float32) for rate, channels in formats]

    def make(form):
        return Denoiser(model, sample_rate=form[0], channels=form[1])

    expected = [stream(make(form), signal) for form, signal in zip(formats, signals, strict=True)]
    gate = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        together = pool.map(stream, pool.map(make, formats), signals, [gate] * THREADS)
        for found, wanted in zip(together, expected, strict=True):
            assert np.abs(wanted).max() > 0.001
            np.testing.assert_array_equal(found, wanted)


def test_a_shared_object_refuses_or_is_right_never_wrong(build):
    denoiser = Denoiser(build("identity"), block_size=128)
    assert denoiser.delay == 0
    deadline = time.monotonic() + 60
    right, refused = [0] * 4, [0] * 4

    def hammer(number):
        block = np.full((8192, 1), number + 1, np.float32)
        while time.monotonic() < deadline and not (sum(refused) >= 10 and min(right) >= 10):
            try:
                result = denoiser.process(block)
            except StreamStateError as error:
                assert "one thread at a time" in str(error)
                refused[number] += 1
                time.sleep(1e-3)  # one that asks again at once leaves the others no turn
            else:
                np.testing.assert_array_equal(result, block)
                right[number] += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hammer, range(4)))
    assert sum(refused) >= 10 and min(right) >= 10
