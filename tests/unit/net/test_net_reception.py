"""Loss and jitter as the RFC counts them."""

from __future__ import annotations

import random

import pytest

from rtae.net.reception import MOST_DROPPED, Reception


def feed(reception, sequences, rate=24_000, step=480, first=0):
    """Packets with these numbers, one every 20 ms from number `first` on; the timestamps go with the numbers."""
    return [
        reception.receive(s % 65536, (2**32 - 1000 + s * step) % 2**32, 0.02 * index)
        for index, s in enumerate(sequences, first)
    ]


def test_losses_are_what_is_missing_between_first_and_highest():
    reception = Reception(24_000)
    times = feed(reception, [65530, 65531, 65534, 65537, 65536, 65540])
    assert times == [0, 480, 1920, 3360, 2880, 4800]
    assert (reception.expected, reception.received, reception.lost, reception.reordered) == (11, 6, 5, 1)


def test_duplicates_count_as_received_but_never_below_no_loss():
    reception = Reception(24_000)
    feed(reception, [5, 6, 6, 6, 8])
    assert (reception.expected, reception.received, reception.lost) == (4, 5, 0)


def test_a_leap_counts_only_when_it_is_followed_up():
    reception = Reception(24_000)
    far = 20 + MOST_DROPPED
    assert feed(reception, [10, far, 11]) == [0, None, 480]
    assert (reception.beginnings, reception.expected, reception.received) == (1, 2, 2)
    assert feed(reception, [far, far + 1]) == [None, 0]
    assert (reception.beginnings, reception.expected, reception.received) == (2, 1, 1)


def test_jitter_is_the_formula_of_appendix_a_8():
    seed = 3
    rng = random.Random(seed)
    reception, expected, before = Reception(8_000), 0.0, None
    for number in range(500):
        delay = rng.uniform(0.0, 0.04)
        reception.receive(number, 160 * number, 0.02 * number + delay)
        if before is not None:
            expected += (abs(delay - before) - expected) / 16
        before = delay
    print("seed", seed)
    assert reception.jitter_s == pytest.approx(expected, rel=1e-6) and expected > 0.005


def test_a_steady_stream_has_no_jitter():
    reception = Reception(24_000)
    assert feed(reception, range(1000))[-1] == 999 * 480
    assert reception.jitter_s == pytest.approx(0.0, abs=1e-9)
