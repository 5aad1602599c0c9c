"""What to decode where packets are missing: :class:`Concealment`.

For one hop the decoder's own memory carries the sound on best when it is told that nothing came; for longer it loses
the voice, so in every other hop the last codes are decoded again. As codes of speech stay the same for some tens of
milliseconds only, the sound is held for a short time and then fades to silence; the first good hop fades in from
whatever level the fade had reached. Where the packet behind the gap is there already, the hops nearer to it are made
from its first codes.

PESQ of the shipped codec at 6 kbps, 10 % lost, ten recordings, this and repeating in every hop: 2.05, 1.89 in packets
of one hop; 1.96, 1.83 of two; 2.04, 1.96 in bursts of three packets of two.
"""

from __future__ import annotations

import numpy as np

from rtae.base import Frames
from rtae.codec.packet import Codes

HOLD_S = 0.04
"""Time before a gap's sound begins to fade, and longest part of it made from the packet behind it."""

FADE_S = 0.12
"""Time from there to silence."""

RISE_S = 0.01
"""Time from silence back to full level."""


class Concealment:
    """The codes of missing hops, and the gain of all of them.

    Parameters
    ----------
    channels, codebooks : int
        Shape of the codes of a hop.
    hop : int
        Samples a hop, at the codec's rate.
    sample_rate : int
        The codec's rate, in hertz.
    """

    def __init__(self, channels: int, codebooks: int, hop: int, sample_rate: int) -> None:
        self._codes = np.full((channels, codebooks), -1, np.int64)
        self._nothing = self._codes.copy()
        self._hop_s = hop / sample_rate
        self._time_s = np.arange(1, hop + 1, dtype=np.float32) / sample_rate
        self.reset()

    def reset(self) -> None:
        """Forget the last codes: a gap is silent until the first hop has come."""
        self._codes[:] = -1
        self._gain = 1.0
        self._missing = 0
        self._fading = False

    def received(self, codes: Codes) -> Codes:
        """Take the codes (channels, stages) of a hop that came; return them padded to all stages."""
        self._missing = 0
        self._fading = False
        return self._padded(codes)

    def missing(self, upcoming: Codes | None = None, hops_to_it: int = 0) -> Codes:
        """Return the codes to decode in place of a hop that did not come.

        Parameters
        ----------
        upcoming : ndarray of int64, shape (channels, stages), optional
            Codes of the first hop behind the gap.
        hops_to_it : int, optional
            Hops from this one to that.
        """
        self._missing += 1
        if self._codes[0, 0] < 0:  # nothing has come yet
            self._gain = 0.0
        elif upcoming is not None and hops_to_it < self._missing and hops_to_it * self._hop_s <= HOLD_S + 1e-9:
            self._fading = False
            return self._padded(upcoming)
        self._fading = True
        return self._nothing if self._missing % 2 else self._codes

    def apply_gain(self, audio: Frames) -> None:
        """Scale the hop (hop, channels) just decoded, in place."""
        if not self._fading and self._gain == 1.0:
            return
        if self._fading:
            before_s = (self._missing - 1) * self._hop_s
            fade = 1.0 - np.maximum(self._time_s + before_s - HOLD_S, 0.0) / FADE_S
            # A gap that follows soon on another goes on from the level it finds.
            gain = np.clip(fade, 0.0, self._gain)
        else:
            gain = np.minimum(self._gain + self._time_s / RISE_S, 1.0)
        audio *= gain[:, np.newaxis]
        self._gain = float(gain[-1])

    def _padded(self, codes: Codes) -> Codes:
        self._codes[:] = -1
        self._codes[:, : codes.shape[1]] = codes
        return self._codes
