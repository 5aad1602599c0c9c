"""From hops that come when they come to samples on the clock of a device: :class:`Playout`."""

from __future__ import annotations

import numpy as np

from rtae.base import Frames
from rtae.codec import Codec, Packet
from rtae.codec.packet import SEQUENCE_MODULUS, Codes
from rtae.drift import ClockBridge
from rtae.net.jitter import JitterBuffer, Turn

STORE_S = 0.010
"""Audio held ready beyond what device and hop need: a thread of Python wakes up late at times."""

STALL_S = 0.25
"""A player that was away for longer than this (a suspended machine) goes on at the present."""


class Playout:
    """A jitter buffer, a decoder and a bridge between the sender's clock and that of a device.

    :meth:`advance` does the work; :meth:`pull` only moves samples and may run in an audio callback. Times are in
    seconds of one clock that both read.

    Parameters
    ----------
    codec : Codec
        Decoder, at its own rate, one channel.
    sample_rate, block : int
        Rate of the device in hertz, and samples a pull.
    now_s : float
        The present.

    Attributes
    ----------
    buffer : JitterBuffer
        Where packets are pushed.
    underruns : int
        Times the device found nothing to play of a stream that was there.
    made_s : float
        Up to when what is due is made.
    """

    def __init__(self, codec: Codec, sample_rate: int, block: int, now_s: float) -> None:
        hop, rate = codec.spec.hop, codec.spec.sample_rate
        self._codec = codec
        self._hop = hop
        self.buffer = JitterBuffer(hop / rate)
        self.buffer.due_s = self.made_s = now_s
        self.underruns = 0
        self._bridge = ClockBridge(1, rate, sample_rate, hop, block, margin_s=STORE_S)
        # The bridge counts from when a hop would have begun that is complete when it is pushed.
        self._bridge_s = self._bridge.latency / sample_rate - hop / rate
        self._decoder_s = codec.lead / rate
        self._rise = np.linspace(0.0, 1.0, hop, dtype=np.float32)[:, np.newaxis]

    @property
    def latency_s(self) -> float:
        """Time from the arrival of the quickest packets to the device: buffer, decoder and bridge."""
        return self.buffer.held_s + self._decoder_s + self._bridge_s

    @property
    def target_s(self) -> float:
        """What :attr:`latency_s` is to be."""
        return self.buffer.aim_s + self._decoder_s + self._bridge_s

    @property
    def ppm(self) -> float:
        """By how much the sender's clock runs faster than the device's, in parts per million."""
        return self._bridge.ppm

    def restart(self) -> None:
        """Let another stream begin."""
        self.buffer.restart()
        self._codec.reset()

    def advance(self, now_s: float) -> float:
        """Make what is due up to now; return when to come again."""
        buffer = self.buffer
        if now_s - buffer.due_s > STALL_S:
            self.restart()
            buffer.due_s = now_s
        while buffer.due_s <= now_s:
            at_s = buffer.due_s
            self._bridge.push(self._make(buffer.turn()), at_s)
            self._bridge.pump()
        self.made_s = now_s
        return buffer.due_s

    def pull(self, out: Frames, now_s: float) -> bool:
        """Fill `out` of shape (block, 1); return False, with silence in it, while there is too little."""
        before = self._bridge.underflows
        filled = self._bridge.pull(out, now_s)
        self.underruns += self.buffer.active and self._bridge.underflows > before
        return filled

    def _decode(self, codes: Codes | None, behind: tuple[int, Codes] | None) -> Frames:
        if codes is not None:
            return self._codec.decode([self._packet(0, codes)])
        return self._codec.conceal(1, None if behind is None else self._packet(*behind))

    def _packet(self, ahead: int, codes: Codes) -> Packet:
        """Return a hop as a packet, numbered on from the hop before: what is concealed was decided by the buffer."""
        number = ((self._codec.expected or 0) + ahead) % SEQUENCE_MODULUS
        return Packet(number, codes[np.newaxis], self._codec.spec.codebook_bits)

    def _make(self, turn: Turn) -> Frames:
        if not turn.codes:
            return np.zeros((self._hop, 1), np.float32)
        hops = [self._decode(codes, turn.behind) for codes in turn.codes]
        if len(hops) == 1:
            return hops[0]
        blended: Frames = hops[0] + self._rise * (hops[1] - hops[0])
        return blended
