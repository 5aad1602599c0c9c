"""What a receiver counts of an RTP stream: loss and jitter as RFC 3550 defines them (appendices A.1, A.3 and A.8)."""

from __future__ import annotations

SEQUENCES = 1 << 16
TIMESTAMPS = 1 << 32

MOST_DROPPED = 3_000
"""A step forward beyond this many packets is a restart of the sender, not loss."""

MOST_MISORDERED = 100
"""A step back of up to this many packets is reordering, not a restart."""

_JITTER_SHARE = 1 / 16


class Reception:
    """Sequence numbers, timestamps and arrivals of one stream.

    Parameters
    ----------
    clock_rate : int
        Timestamp units a second.

    Attributes
    ----------
    received : int
        Packets counted, duplicates too, as the RFC has it.
    reordered : int
        Packets that came after a later one.
    beginnings : int
        How often the stream began: more than once if its sender started anew.
    jitter_s : float
        Interarrival jitter: the smoothed mean deviation of the transit times, in seconds.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._bad: int | None = None
        self.beginnings = 0
        self._begin(None)

    def _begin(self, sequence: int | None) -> None:
        self._first = self._highest = sequence
        self.beginnings += sequence is not None
        self._origin = 0
        self._timestamp: int | None = None
        self._transit_s: float | None = None
        self.received = self.reordered = 0
        self.jitter_s = 0.0

    @property
    def expected(self) -> int:
        """Packets sent so far, by their numbers."""
        return 0 if self._highest is None or self._first is None else self._highest - self._first + 1

    @property
    def lost(self) -> int:
        """Packets expected and not received; duplicates count against it, as the RFC has it."""
        return max(0, self.expected - self.received)

    def receive(self, sequence: int, timestamp: int, arrival_s: float) -> int | None:
        """Count a packet.

        Parameters
        ----------
        sequence, timestamp : int
            As in its header.
        arrival_s : float
            When it came, in seconds of the receiver's clock.

        Returns
        -------
        int or None
            The timestamp without wrap-around, counted from that of the first packet of the stream (negative for one
            that was overtaken by it); None for a packet that fits nowhere, which is not counted. Two in a row that do
            not fit begin the stream anew: then it is 0 again.
        """
        if self._highest is None:
            self._begin(sequence)
        else:
            step = (sequence - self._highest) % SEQUENCES
            if step >= SEQUENCES - MOST_MISORDERED:
                self.reordered += 1
            elif step < MOST_DROPPED:
                self._highest += step
            elif sequence == self._bad:
                self._begin(sequence)
            else:
                self._bad = (sequence + 1) % SEQUENCES
                return None
        self._bad = None
        self.received += 1
        return self._time(timestamp, arrival_s)

    def _time(self, timestamp: int, arrival_s: float) -> int:
        if self._timestamp is None:
            self._origin = self._timestamp = timestamp
        half = TIMESTAMPS // 2
        self._timestamp += (timestamp - self._timestamp + half) % TIMESTAMPS - half
        elapsed = self._timestamp - self._origin
        transit_s = arrival_s - elapsed / self._clock_rate
        if self._transit_s is not None:
            self.jitter_s += _JITTER_SHARE * (abs(transit_s - self._transit_s) - self.jitter_s)
        self._transit_s = transit_s
        return elapsed
