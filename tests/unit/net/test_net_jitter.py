"""The jitter buffer and the playout behind it, in simulated time."""

from __future__ import annotations

import numpy as np
import pytest
from net_sim import HOP_S, Network, play

from rtae.net.jitter import FIRST_S, PATIENCE_S, JitterBuffer


def codes(*numbers):
    return np.array(numbers, np.int64).reshape(-1, 1, 1)


def turns(buffer, count):
    """The numbers played in so many turns: None where a hop is made up, "" for silence, a tuple where two are one."""
    found = []
    for _ in range(count):
        played = tuple(None if item is None else int(item[0, 0]) for item in buffer.turn().codes)
        found.append(played[0] if len(played) == 1 else played or "")
    return found


def started(hops=20):
    """A buffer that holds so many hops and is at the turn of number 0."""
    buffer = JitterBuffer(HOP_S)
    for number in range(hops):
        buffer.push(number, codes(number), 0.0)
    skipped = turns(buffer, round(FIRST_S / HOP_S))
    assert skipped == [None] * 4 and not buffer.missed
    return buffer


def test_before_a_stream_there_is_silence():
    buffer = JitterBuffer(HOP_S)
    assert turns(buffer, 3) == ["", "", ""] and not buffer.active
    assert buffer.due_s == pytest.approx(3 * HOP_S)


def test_hops_play_in_order_however_they_come():
    buffer = JitterBuffer(HOP_S)
    for number in (2, 0, 1, 3, 1):
        buffer.push(number, codes(number), 0.0)
    # Number 2 came first and may wait for FIRST_S: four turns, in two of which 0 and 1 have their places.
    assert turns(buffer, 6) == [None, None, 0, 1, 2, 3]
    assert (buffer.repeated, buffer.missed, buffer.late) == (1, 0, 0)


def test_a_missing_hop_is_made_up_and_one_that_comes_later_is_late():
    buffer = started()
    del buffer._held[1]
    assert turns(buffer, 4) == [0, None, 2, 3]
    buffer.push(1, codes(1), buffer.due_s)
    assert (buffer.missed, buffer.late) == (1, 1)
    assert turns(buffer, 2) == [4, 5]


def test_a_hop_to_make_up_comes_with_what_is_behind_it():
    buffer = started()
    del buffer._held[1], buffer._held[2]
    assert turns(buffer, 1) == [0]
    behind = [buffer.turn().behind for _ in range(2)]
    assert [(ahead, int(codes[0, 0])) for ahead, codes in behind] == [(2, 3), (1, 3)]
    assert buffer.turn().behind is None


def test_a_shorter_way_takes_hops_out_by_blending():
    buffer = started()
    buffer._aim_s -= 0.025
    buffer._judged_s = 1e9
    played = turns(buffer, 14)
    blended = [item for item in played if isinstance(item, tuple)]
    assert len(blended) == 2 == buffer.removed
    assert [number for item in played for number in (item if isinstance(item, tuple) else (item,))] == list(range(16))


def fine(number):
    return np.full((1, 1, 2), number, np.int64)


def test_a_repetition_takes_the_place_of_a_hop_that_has_not_come_until_it_comes_itself():
    buffer = started(3)
    buffer.repeat(2, codes(99), buffer.due_s)
    buffer.repeat(3, codes(3), buffer.due_s)
    buffer.repeat(4, codes(4), buffer.due_s)
    assert buffer.recovered == 2
    buffer.push(4, fine(40), buffer.due_s)
    assert turns(buffer, 5) == [0, 1, 2, 3, 40]
    assert (buffer.recovered, buffer.repeated, buffer.missed, buffer.late) == (1, 0, 0, 0)


@pytest.mark.parametrize("needed", [True, False])
def test_a_repetition_makes_the_buffer_longer_only_if_it_was_needed(needed):
    buffer, behind, lost = JitterBuffer(HOP_S), 6, 10
    for number in range(40):
        arrival = (number + 1) * HOP_S
        if number != lost or not needed:
            buffer.push(number, codes(number), arrival)
        if number == lost + behind:
            buffer.repeat(lost, codes(lost), arrival)
        while buffer.due_s <= arrival:
            buffer.turn()
    assert buffer.missed == needed and not buffer.late and not buffer.recovered
    assert buffer.aim_s == pytest.approx(behind * HOP_S + 0.002 if needed else FIRST_S, abs=0.001)


def test_hops_far_ahead_begin_anew_and_memory_stays_bounded():
    buffer = started()
    buffer.push(10_000, codes(10_000), buffer.due_s)
    assert buffer.active and list(buffer._held) == [10_000]
    for number in range(10_001, 30_000):
        buffer.push(number, codes(number), buffer.due_s)
    assert len(buffer._held) < 300 and len(buffer._transits) <= 4096


def test_a_pause_ends_the_stream_and_the_next_finds_its_place():
    buffer = started(5)
    assert turns(buffer, 5) == [0, 1, 2, 3, 4]
    assert turns(buffer, round(PATIENCE_S / HOP_S) + 5)[-1] == ""
    assert not buffer.active
    buffer.push(500, codes(500), buffer.due_s)
    assert turns(buffer, 6)[-2:] == [500, None]


UNIFORM = {"delay": lambda rng, sent: rng.uniform(0.0, 0.04)}
NORMAL = {"delay": lambda rng, sent: max(0.0, rng.normal(0.06, 0.02))}


@pytest.mark.parametrize(
    "way, hops, spread_ms",
    [
        ({**UNIFORM, "ppm": -100, "loss": 0.05, "burst": 4.0}, 2, 10),
        ({**NORMAL, "ppm": 100, "loss": 0.05}, 2, 10),
        ({**UNIFORM, "ppm": 300}, 1, 10),
    ],
    ids=["uniform, losses in bursts", "normal, out of order", "clocks 300 ppm apart"],
)
def test_the_latency_holds_its_target_and_the_output_never_runs_dry(way, hops, spread_ms):
    seed, seconds = 11, 60.0
    print("seed", seed)
    network = Network(seed, seconds, hops=hops, **way)
    run = play(network)
    later = run.time > 1.0
    assert later.sum() > 5000
    assert run.underruns[-1] == run.underruns[later][0] == 0
    assert np.max(np.abs(run.declared - run.target)[later]) < 0.010
    settled = run.time > 30.0
    true_ms = 1e3 * run.true[settled]
    assert np.all(np.isfinite(true_ms))
    # A made-up hop of this decoder runs on by one hop, which is no change of latency.
    middle = np.median(true_ms)
    assert np.mean(np.abs(true_ms - middle) < spread_ms) == 1.0, (true_ms.min(), middle, true_ms.max())
    sent = network.packets * hops
    assert run.buffer.late < 0.01 * sent
    assert run.buffer.missed - run.buffer.late == pytest.approx(network.lost * hops, abs=10)


def test_the_latency_is_no_longer_than_a_calm_network_needs():
    run = play(Network(1, 40.0))
    settled = run.time > 30.0
    # Two hops of the packet, the bridge's blocks and store, and the last hop's place in time.
    assert np.max(run.true[settled]) < 0.020 + 0.030 + 0.012
    assert run.buffer.missed == 0 and run.underruns[-1] == 0


@pytest.mark.parametrize("step", [0.15, 1.5])
def test_a_way_that_gets_longer_is_followed(step):
    run = play(Network(2, 20.0, delay=lambda rng, sent: rng.uniform(0.0, 0.01) + (step if sent > 10.0 else 0.0)))
    before, after = (run.time > 8.0) & (run.time < 10.0), run.time > 13.5
    gained = np.median(run.true[after]) - np.median(run.true[before])
    assert gained == pytest.approx(step, abs=0.03)
    assert run.buffer.added or step > PATIENCE_S
    assert np.max(np.abs(run.declared - run.target)[after]) < 0.010
    assert run.underruns[-1] == 0


def test_after_an_outage_the_latency_is_what_it_was():
    network = Network(4, 20.0)
    network.arrivals = [(at, number) for at, number in network.arrivals if not 5.0 < at < 9.0]
    run = play(network)
    before, after = np.nanmedian(run.true[run.time < 5.0]), np.median(run.true[run.time > 12.0])
    assert after == pytest.approx(before, abs=0.02)
    assert run.underruns[-1] == 0
