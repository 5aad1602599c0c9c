"""The ring of tagged blocks."""

from __future__ import annotations

import numpy as np

from rtae.live.tagged import TaggedRing


def filled(blocks):
    ring = TaggedRing(4, 3, 1)
    for number in range(blocks):
        ring.slot(number)[:, 0] = 1 + 3 * number + np.arange(3)
        ring.publish(number)
    return ring


def test_a_ring_holds_the_newest_blocks_and_no_others():
    ring = filled(6)
    assert [number for number in range(-1, 8) if ring.holds(number)] == [2, 3, 4, 5]


def test_a_span_may_cross_the_end_of_the_memory():
    ring = filled(6)
    out = np.zeros((5, 1), np.float32)
    for start in range(6, 14):
        ring.copy_span(start, out)
        assert out[:, 0].tolist() == [start + 1 + step for step in range(5)]


def test_before_the_stream_there_is_silence():
    out = np.ones((4, 1), np.float32)
    filled(1).copy_span(-2, out)
    assert out[:, 0].tolist() == [0, 0, 1, 2]


def test_two_rings_share_one_memory_until_it_is_cleared():
    memory = bytearray(TaggedRing.size(4, 3, 2))
    writer, reader = TaggedRing(4, 3, 2, memory), TaggedRing(4, 3, 2, memory)
    writer.slot(7)[:] = 0.5
    writer.publish(7)
    assert reader.holds(7) and np.all(reader.slot(7) == 0.5)
    reader.clear()
    assert not writer.holds(7) and not np.any(writer.slot(7))
