"""The jitter buffer: hops by the time they are due, at a latency that follows the network.

All times are of the receiver's clock. Hop `k` was complete at ``(k + 1) * hop_s`` of the sender's; the difference of
the two clocks, the network and the sender are one unknown, the *transit*, of which every packet tells one value. Hop
`k` has its turn at ``(k + 1) * hop_s + offset``: whatever comes with a transit below the offset is in time. The offset
aims at the transit that nearly all packets of the last half minute stayed below: up at once, down slowly.

Packets repeat hops of earlier ones, in less detail. Where the earlier one is lost, the repetition is a packet like any
other, of a longer transit: a network that loses enough of them brings the aim to where repetitions are in time.

Nothing waits for a packet. What is missing at its time is concealed, so the latency stays what it is; it is changed on
purpose alone, by a few parts in ten thousand of speed, or, where that would take too long, by a made-up hop more or by
two hops blended into one. (The histogram of transits instead of a mean and a deviation is that of NetEq, the jitter
buffer of WebRTC.)
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from rtae.codec.packet import Codes

WINDOW_S = 30.0
"""Time over which transits are remembered: packets that are late once in a minute shall not move the latency often."""

MOST_REMEMBERED = 4096
"""Most transits remembered, whatever the rate of packets."""

IN_TIME = 0.995
"""Share of the remembered packets that the buffer aims to have in time."""

MISSED_REMEMBERED = 64
"""Hops made up that are remembered: a repetition that comes after the turn of its hop tells how long to wait."""

SAFETY_S = 0.002
"""Added to the aim: transits wander, and threads wake up late."""

FIRST_S = 0.040
"""Added instead at the start of a stream."""

FEW = 50
"""Transits that are too few to lower the aim by."""

JUDGE_S = 0.1
"""How often the aim is found anew."""

RELEASE = 2e-3
"""Fall of the aim, in seconds a second."""

FOLLOW = 5e-4
"""Largest change of speed by which the offset follows the aim: half of what the clock bridge behind can follow."""

FOLLOW_S = 2.0
"""Time constant with which it does."""

LARGEST_S = 2.0
"""Largest jitter that is waited for; also how far ahead of its turn a hop may come."""

PATIENCE_S = 1.0
"""Nothing for this long is a pause; what comes then finds its place afresh."""

REST = 4
"""Hops between two changes of the latency by whole hops, where sound is changed by them."""


@dataclass(frozen=True)
class Turn:
    """What to play for the length of one hop.

    Attributes
    ----------
    codes : tuple of (ndarray of shape (channels, stages), or None)
        Codes of the hop, None to conceal it. Two are to be blended into one; none of them is silence.
    behind : tuple of int and ndarray, or None
        Of a hop to conceal: in how many turns the next hop that is there comes, and its codes.
    """

    codes: tuple[Codes | None, ...]
    behind: tuple[int, Codes] | None = None


class JitterBuffer:
    """Takes hops as they come, gives one a turn.

    Parameters
    ----------
    hop_s : float
        Length of a hop in seconds.

    Attributes
    ----------
    due_s : float
        When the next turn is, by the receiver's clock.
    missed, late, repeated : int
        Hops that were not there at their turn; those of them that came later; hops that came twice.
    recovered : int
        Hops of packets that were not there, taken from the repetition in another.
    added, removed : int
        Hops by which the latency was lengthened and shortened.
    """

    def __init__(self, hop_s: float) -> None:
        self._hop_s = hop_s
        self.due_s = 0.0
        self.missed = self.late = self.repeated = self.recovered = self.added = self.removed = 0
        self.restart()

    def restart(self) -> None:
        """Forget the stream; what comes next begins another. The counts stay."""
        self._held: dict[int, Codes] = {}
        self._made_up: deque[int] = deque(maxlen=MISSED_REMEMBERED)
        self._transits: deque[tuple[float, float]] = deque(maxlen=MOST_REMEMBERED)
        self._next: int | None = None
        self._first = self._newest = 0
        self._aim_s = self._floor_s = self._judged_s = 0.0
        self._rested = self._empty = 0

    @property
    def active(self) -> bool:
        """Whether a stream is being played."""
        return self._next is not None

    @property
    def held_s(self) -> float:
        """How long the quickest of the remembered packets waits for its turn: what the buffer adds to the latency."""
        return 0.0 if self._next is None else self._offset_s(self._next) - self._floor_s

    @property
    def aim_s(self) -> float:
        """What :attr:`held_s` is to be."""
        return self._aim_s - self._floor_s

    def push(self, number: int, codes: Codes, arrival_s: float) -> None:
        """Take the hops of one packet.

        Parameters
        ----------
        number : int
            Number of its first hop in the stream.
        codes : ndarray, shape (hops, channels, stages)
            Its codes.
        arrival_s : float
            When it came, by the receiver's clock.
        """
        ahead = LARGEST_S / self._hop_s
        if self._next is not None and number - self._next > ahead:
            self.restart()
        transit_s = arrival_s - (number + 1) * self._hop_s
        if self._next is None:
            self._aim_s, self._floor_s = transit_s + FIRST_S, transit_s
            self._judged_s = arrival_s
            # As the turns lie, the last one to begin with that leaves this packet the time aimed at.
            self._next = number - max(0, math.ceil((arrival_s + FIRST_S - self.due_s) / self._hop_s))
            self._first = number
            self._newest = number - 1
        self._transits.append((arrival_s, transit_s))
        for place, item in enumerate(codes, number):
            if place < self._next:
                self.late += place >= self._first
            elif place in self._held and self._held[place].shape[1] >= item.shape[1]:
                self.repeated += 1
            elif place - self._next <= ahead:
                self.recovered -= place in self._held
                self._held[place] = item
                self._newest = max(self._newest, place)

    def repeat(self, number: int, codes: Codes, arrival_s: float) -> None:
        """Take hops that a packet of later ones repeats, as :meth:`push` does; needed only if they have not come."""
        if self._next is None:
            return
        wanted = False
        for place, item in enumerate(codes, number):
            wanted = wanted or place in self._made_up
            if place >= self._next and place not in self._held:
                wanted = True
                self._held[place] = item
                self.recovered += 1
        if wanted:
            self._transits.append((arrival_s, arrival_s - (number + 1) * self._hop_s))

    def turn(self) -> Turn:
        """Return what to play at :attr:`due_s`, and move on."""
        if self._next is None:
            self.due_s += self._hop_s
            return Turn(())
        self._judge(self.due_s)
        short_s = self._aim_s - self._offset_s(self._next)
        turn = self._choose(self._next, short_s)
        faster = min(max(short_s / FOLLOW_S, -FOLLOW), FOLLOW)
        self.due_s += self._hop_s * (1.0 + faster)
        if self._empty * self._hop_s > PATIENCE_S:
            self.restart()
        return turn

    def _offset_s(self, number: int) -> float:
        """Return the transit that would let a hop come at the very time of the next turn."""
        return self.due_s - (number + 1) * self._hop_s

    def _choose(self, number: int, short_s: float) -> Turn:
        """Decide about the hop whose turn it is, when the latency is too short by so much."""
        half = self._hop_s / 2
        self._rested += 1
        self._empty = self._empty + 1 if number > self._newest else 0
        if short_s > half and (number not in self._held or self._rested > REST):
            self.added += 1
            self._rested = 0
            return Turn((None,), self._behind(number - 1))
        while number not in self._held and number < self._newest and short_s < -half:
            # What did not come needs no time either.
            number, short_s = number + 1, short_s + self._hop_s
            self.missed += 1
            self.removed += 1
        codes = self._held.pop(number, None)
        if codes is None and number >= self._first:
            self.missed += 1
            self._made_up.append(number)
        self._next = number + 1
        if short_s < -self._hop_s and self._rested > REST and codes is not None and number + 1 in self._held:
            self.removed += 1
            self._rested = 0
            self._next = number + 2
            return Turn((codes, self._held.pop(number + 1)))
        return Turn((codes,), self._behind(number) if codes is None else None)

    def _behind(self, number: int) -> tuple[int, Codes] | None:
        """Return what comes next after a hop, and how far after."""
        following = min((place for place in self._held if place > number), default=None)
        return None if following is None else (following - number, self._held[following])

    def _judge(self, now_s: float) -> None:
        """Find the aim anew from the transits remembered."""
        elapsed_s = now_s - self._judged_s
        if elapsed_s < JUDGE_S:
            return
        self._judged_s = now_s
        while len(self._transits) > 1 and now_s - self._transits[0][0] > WINDOW_S:
            self._transits.popleft()
        transits = np.sort(np.array([transit for _, transit in self._transits]))
        self._floor_s = float(transits[0])
        place = min(len(transits) - 1, int(IN_TIME * len(transits)))
        needed_s = min(float(transits[place]), self._floor_s + LARGEST_S) + SAFETY_S
        lowest_s = self._aim_s if len(transits) < FEW else self._aim_s - RELEASE * elapsed_s
        self._aim_s = max(needed_s, lowest_s)
