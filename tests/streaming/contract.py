"""The streaming contract of ``docs/architecture.md`` as one helper that every processor goes through."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from rtae import Processor
from rtae.errors import StreamStateError

Make = Callable[[], Processor]

PLANS: dict[str, list[int]] = {
    **{str(size): [size] for size in (1, 63, 64, 127, 128, 480, 512, 1024)},
    "random": [int(size) for size in np.random.default_rng(20).integers(0, 700, 50)],
    "huge": [10**9],
}
"""Block sizes by name, each list repeated to the end of the signal."""


def blocks(signal: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Cut a signal into blocks of the given sizes, repeated; the last may be shorter."""
    pieces, start, turn = [], 0, 0
    while start < len(signal):
        pieces.append(signal[start : start + sizes[turn % len(sizes)]])
        start += sizes[turn % len(sizes)]
        turn += 1
    return pieces


def stream(processor: Processor, signal: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Process a signal block by block, flush, and return all that came out, the delay included."""
    outputs = []
    for block in blocks(signal, sizes):
        output = processor.process(block)
        assert output.shape == block.shape
        assert output.dtype == np.float32
        outputs.append(output)
    tail = processor.flush()
    assert tail.shape == (processor.delay, processor.channels)
    return np.concatenate([*outputs, tail.reshape(-1, *signal.shape[1:])])


def error_db(output: np.ndarray, reference: np.ndarray) -> float:
    """Level of the difference below the reference; both must have something to compare."""
    assert output.shape == reference.shape
    assert output.size
    power = np.mean(np.square(reference, dtype=np.float64))
    assert power > 0
    return float(10 * np.log10(np.mean(np.square(output - reference, dtype=np.float64)) / power + 1e-30))


def check(
    make: Make, signal: np.ndarray, sizes: Sequence[int], *, within_db: float, reference: Make | None = None
) -> None:
    """Hold a processor to the contract.

    Parameters
    ----------
    make
        Returns a fresh processor.
    signal
        Input of shape (n, channels).
    sizes
        Block sizes to stream it in.
    within_db
        How close the stream must come to the whole signal in one block.
    reference
        Makes the processor of the whole signal, if it is another (no promised block size).
    """
    processor, whole = make(), (reference or make)()
    offline = stream(whole, signal, PLANS["huge"])[whole.delay :]
    assert offline.shape == signal.shape

    streamed = stream(processor, signal, sizes)
    assert len(streamed) == len(signal) + processor.delay
    assert error_db(streamed[processor.delay :], offline) < within_db

    for call in (processor.flush, lambda: processor.process(signal[:0])):
        with pytest.raises(StreamStateError, match="reset"):
            call()
    processor.reset()
    again = stream(processor, signal, sizes)
    np.testing.assert_array_equal(again, streamed, err_msg="reset() differs from fresh")

    processor.reset()
    for block, expected in zip(blocks(signal, sizes), blocks(streamed[: len(signal)], sizes), strict=True):
        in_place = block.astype(np.float32)
        assert processor.process(in_place, out=in_place) is in_place
        np.testing.assert_array_equal(in_place, expected, err_msg="out= differs from a new array")


def check_causal(make: Make, signal: np.ndarray, at: int) -> None:
    """Output up to ``at`` must not change with the input from there on, though all of it arrives in one block."""
    other = signal.copy()
    other[at:] = -0.5 * other[at:] + 0.1
    first, second = make().process(signal), make().process(other)
    assert np.abs(first[:at]).max() > 0
    np.testing.assert_array_equal(first[:at], second[:at])
    assert not np.array_equal(first, second)


def measured_delay(make: Make, signal: np.ndarray) -> float:
    """Delay between input and output signal in samples, from the slope of the cross-spectrum's phase."""
    processor = make()
    output = stream(processor, signal, [97])[:, 0]
    size = 1 << (2 * len(output)).bit_length()
    source, result = np.fft.rfft(signal[:, 0], size), np.fft.rfft(output, size)
    # Coarse by the correlation's peak, fine by the phase that remains, weighted by power.
    correlation = np.fft.irfft(result * source.conj(), size)
    coarse = int(np.argmax(correlation))
    omega = 2 * np.pi * np.arange(len(source)) / size
    cross = result * source.conj() * np.exp(1j * omega * coarse)
    weight = np.abs(cross)
    phase = np.angle(cross)
    return float(coarse - np.sum(weight * omega * phase) / np.sum(weight * omega**2))


def band_noise(rate: int, count: int, channels: int = 1, *, top_hz: float | None = None, seed: int = 5) -> np.ndarray:
    """Float32 noise below ``top_hz`` (default 0.4 of the rate, at most 6.5 kHz), at about -20 dBFS."""
    top = min(0.4 * rate, 6_500.0) if top_hz is None else top_hz
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((count, channels)), axis=0)
    spectrum[np.fft.rfftfreq(count, 1 / rate) > top] = 0
    noise = np.fft.irfft(spectrum, count, axis=0)
    return np.asarray(0.1 * noise / noise.std(), np.float32)
