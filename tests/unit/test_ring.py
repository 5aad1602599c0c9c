from __future__ import annotations

import multiprocessing
import threading
import tracemalloc
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from rtae.errors import ParameterError
from rtae.ring import RingBuffer


def ramp(start: int, count: int, channels: int = 1) -> np.ndarray:
    """Frames that tell their own place: exact in float32 up to 2**24."""
    return np.repeat(np.arange(start, start + count, dtype=np.float32)[:, np.newaxis], channels, axis=1)


def test_frames_come_out_in_order_across_the_end_of_the_memory() -> None:
    ring = RingBuffer(7, 2)
    out = np.empty((5, 2), np.float32)
    for start in range(0, 500, 5):
        assert ring.write(ramp(start, 5, 2)) == 5
        assert ring.read(out) == 5
        np.testing.assert_array_equal(out, ramp(start, 5, 2))
    assert ring.frames_written == ring.frames_read == 500


def test_a_full_ring_takes_what_fits_and_an_empty_one_gives_what_there_is() -> None:
    ring = RingBuffer(4)
    assert (ring.fill, ring.free) == (0, 4)
    assert ring.write(ramp(0, 3)) == 3
    assert ring.write(ramp(3, 3)) == 1
    assert (ring.fill, ring.free) == (4, 0)
    assert ring.write(ramp(9, 1)) == 0
    out = np.full((6, 1), -1.0, np.float32)
    assert ring.read(out) == 4
    np.testing.assert_array_equal(out[:, 0], [0, 1, 2, 3, -1, -1])
    assert ring.read(out) == 0


def test_discard_drops_the_oldest() -> None:
    ring = RingBuffer(8)
    ring.write(ramp(0, 6))
    assert ring.discard(2) == 2
    assert ring.discard(0) == 0
    out = np.empty((1, 1), np.float32)
    ring.read(out)
    assert out[0, 0] == 2
    assert ring.discard(100) == 3
    assert (ring.fill, ring.frames_read, ring.frames_written) == (0, 6, 6)


def test_clear_empties_and_restarts_the_counters() -> None:
    ring = RingBuffer(8)
    ring.write(ramp(0, 6))
    ring.discard(1)
    ring.clear()
    assert (ring.fill, ring.free, ring.frames_written, ring.frames_read) == (0, 8, 0, 0)


def test_two_rings_over_one_memory_are_one_ring() -> None:
    memory = bytearray(RingBuffer.nbytes(16, 2))
    producer, consumer = (RingBuffer(16, 2, buffer=memory) for _ in range(2))
    producer.write(ramp(0, 10, 2))
    joined_late = RingBuffer(16, 2, buffer=memory)
    assert joined_late.fill == consumer.fill == 10
    out = np.empty((10, 2), np.float32)
    assert consumer.read(out) == 10
    np.testing.assert_array_equal(out, ramp(0, 10, 2))
    assert producer.free == 16


def test_memory_may_be_larger_than_needed() -> None:
    ring = RingBuffer(4, buffer=memoryview(bytearray(RingBuffer.nbytes(4) + 100)))
    assert ring.write(ramp(0, 9)) == 4


@pytest.mark.parametrize(
    ("capacity", "channels", "buffer", "message"),
    [
        (0, 1, None, "at least 1"),
        (4, 0, None, "at least 1"),
        (4, 1, bytearray(RingBuffer.nbytes(4) - 1), "writable bytes"),
        (4, 1, memoryview(bytes(RingBuffer.nbytes(4))), "read-only"),
        (4, 1, memoryview(bytearray(RingBuffer.nbytes(4) + 4))[4:], "aligned"),
    ],
)
def test_unusable_shapes_and_memory_are_refused(capacity: int, channels: int, buffer, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        RingBuffer(capacity, channels, buffer=buffer)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3), (4, 2, 1)])
def test_blocks_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    ring = RingBuffer(8, 2)
    with pytest.raises(ParameterError, match=r"\(n, 2\)"):
        ring.write(np.zeros(shape, np.float32))
    with pytest.raises(ParameterError, match=r"\(n, 2\)"):
        ring.read(np.zeros(shape, np.float32))
    with pytest.raises(ParameterError, match="negative"):
        ring.discard(-1)
    assert ring.frames_written == ring.frames_read == 0


def test_moving_frames_allocates_no_memory_for_them() -> None:
    ring = RingBuffer(10_000, 2)
    block, out = np.ones((6_000, 2), np.float32), np.empty((6_000, 2), np.float32)
    for _ in range(10):
        ring.write(block)
        ring.read(out)
    tracemalloc.start()
    try:
        for _ in range(100):
            ring.write(block)
            ring.read(out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < peak < block.nbytes / 10


def _pour(ring: RingBuffer, total: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    sent = 0
    while sent < total:
        count = min(int(random.integers(1, 200)), total - sent)
        sent += ring.write(ramp(sent, count))


def _drain(ring: RingBuffer, total: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    out = np.empty((200, 1), np.float32)
    got = 0
    while got < total:
        count = ring.read(out[: int(random.integers(1, 200))])
        assert 0 <= ring.fill <= ring.capacity
        np.testing.assert_array_equal(out[:count], ramp(got, count))
        got += count


def test_one_thread_writes_while_another_reads() -> None:
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)
    ring = RingBuffer(257)
    producer = threading.Thread(target=_pour, args=(ring, 20_000, seed))
    producer.start()
    _drain(ring, 20_000, seed + 1)
    producer.join()
    assert (ring.frames_written, ring.frames_read) == (20_000, 20_000)


def _pour_into_shared_memory(name: str, total: int) -> None:
    memory = SharedMemory(name)
    ring = RingBuffer(257, buffer=memory.buf)
    _pour(ring, total, 1)
    del ring
    memory.close()


def test_one_process_writes_while_another_reads() -> None:
    memory = SharedMemory(create=True, size=RingBuffer.nbytes(257))
    try:
        ring = RingBuffer(257, buffer=memory.buf)
        producer = multiprocessing.get_context("spawn").Process(
            target=_pour_into_shared_memory, args=(memory.name, 50_000)
        )
        producer.start()
        _drain(ring, 50_000, 2)
        producer.join(30)
        assert producer.exitcode == 0
        assert ring.frames_read == 50_000
        del ring
    finally:
        memory.close()
        memory.unlink()
