"""A network in simulated time: a sender's clock, a receiver's clock, and what lies between."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from rtae.codec.packet import Packet
from rtae.net.playout import Playout

HOP, RATE, DEVICE = 60, 6_000, 8_000
HOP_S = HOP / RATE
BLOCK = 80
START_S = 0.3


class Ramp:
    """A decoder whose audio says when it was recorded: every sample is its own time in seconds."""

    def __init__(self) -> None:
        self.spec = SimpleNamespace(hop=HOP, sample_rate=RATE, codebook_bits=16)
        self.lead = 0
        self.expected = None
        self.reset()

    def reset(self) -> None:
        self._number = None

    def decode(self, packets: list[Packet]):
        (packet,) = packets
        self._number = int(packet.codes[0, 0, 0])
        return self._hop()

    def conceal(self, hops: int = 1, upcoming: Packet | None = None):
        if self._number is None:
            return np.zeros((HOP, 1), np.float32)
        self._number += 1
        return self._hop()

    def _hop(self):
        return ((self._number * HOP + np.arange(HOP)) / RATE).astype(np.float32)[:, None]


class Network:
    """What became of packets sent every `hops` hops: when each arrives, None if it does not.

    Parameters
    ----------
    seed : int
        Of everything random.
    seconds, ppm : float
        Length, and by how much the sender's clock is fast.
    loss, burst : float
        Share of packets lost, mean length of a loss in packets.
    delay : callable
        ``delay(rng, sent_s)`` in seconds.
    """

    def __init__(
        self,
        seed: int,
        seconds: float,
        *,
        ppm: float = 0.0,
        loss: float = 0.0,
        burst: float = 1.0,
        hops: int = 2,
        delay: Callable[[np.random.Generator, float], float] = lambda rng, sent: 0.0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.seconds, self.hops, self.speed = seconds, hops, 1.0 + 1e-6 * ppm
        self.packets = int(seconds / HOP_S / hops)
        self.lost = 0
        arrivals = []
        losing = False
        for number in range(self.packets):
            if burst > 1.0:
                losing = rng.random() < (1.0 - 1.0 / burst if losing else loss / (1.0 - loss) / burst)
            else:
                losing = rng.random() < loss
            sent = START_S + (number + 1) * hops * HOP_S / self.speed
            at = sent + delay(rng, sent)
            if losing:
                self.lost += 1
            else:
                arrivals.append((at, number))
        self.arrivals = sorted(arrivals)


def play(network: Network) -> SimpleNamespace:
    """Play what comes; return per pull the time, true latency (microphone to output), declared, target."""
    playout = Playout(Ramp(), DEVICE, BLOCK, 0.0)
    out = np.zeros((BLOCK, 1), np.float32)
    arrivals = iter(network.arrivals)
    coming = next(arrivals, None)
    rows = []
    for pull in range(int(network.seconds * DEVICE / BLOCK)):
        now = (pull + 1.3) * BLOCK / DEVICE
        while coming is not None and coming[0] <= now:
            at, packet = coming
            playout.advance(at)
            first = packet * network.hops
            playout.buffer.push(first, np.arange(first, first + network.hops).reshape(-1, 1, 1), at)
            coming = next(arrivals, None)
        playout.advance(now)
        playout.pull(out, now)
        recorded = out[0, 0] / network.speed + START_S
        rows.append(
            (now, now - recorded if out[0, 0] > 0 else np.nan, playout.latency_s, playout.target_s, playout.underruns)
        )
    names = ("time", "true", "declared", "target", "underruns")
    return SimpleNamespace(playout=playout, buffer=playout.buffer, **dict(zip(names, np.array(rows).T, strict=True)))
