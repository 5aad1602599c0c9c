"""The board of a live stream: parameters, counters and meters that several threads or processes look at.

Every field has exactly one writer, is one aligned machine word (or an array of them), and is read without a lock: a
reader may see a value that is one block old, never a torn one.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rtae.errors import ParameterError

BINS_PER_OCTAVE = 8
BINS = 20 * BINS_PER_OCTAVE
"""Bins of the hop-time histogram: from 1 microsecond to about 1 second, 9 % wide."""

LISTEN = ("processed", "dry", "removed")
"""What the output can carry: the processed signal, the delay-matched input, or the difference of the two."""

_LAYOUT = np.dtype(
    [
        # written by the host
        ("listen", np.int64),
        ("attenuation_limit_db", np.float64),
        ("model", np.int64),
        ("mode", np.int64),
        # written by the audio callback
        ("blocks", np.int64),
        ("late", np.int64),
        ("xruns", np.int64),
        ("callback_errors", np.int64),
        ("on_dry", np.int64),
        # written by the process that runs the engine
        ("heartbeat", np.int64),
        ("drift_ppm", np.float64),
        # written by the worker
        ("processed", np.int64),
        ("skipped", np.int64),
        ("failures", np.int64),
        ("clipped", np.int64),
        ("power_in", np.float64),
        ("power_out", np.float64),
        ("load", np.float64),
        ("level", np.int64),
        ("hop_max_us", np.float64),
        ("hops", np.int64, (BINS,)),
    ]
)


_HOST_FIELDS = ("listen", "attenuation_limit_db", "model", "mode")


class Board:
    """Fields of a live stream over one flat buffer.

    Each field of the layout is an attribute: an array of shape ``(1,)``, or ``(BINS,)`` for ``hops``.

    Parameters
    ----------
    buffer : writable buffer, optional
        Memory of at least :data:`BOARD_BYTES`, such as a shared-memory block; new memory if left out.
    """

    listen: npt.NDArray[np.int64]
    attenuation_limit_db: npt.NDArray[np.float64]
    model: npt.NDArray[np.int64]
    mode: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]
    late: npt.NDArray[np.int64]
    xruns: npt.NDArray[np.int64]
    callback_errors: npt.NDArray[np.int64]
    on_dry: npt.NDArray[np.int64]
    drift_ppm: npt.NDArray[np.float64]
    heartbeat: npt.NDArray[np.int64]
    processed: npt.NDArray[np.int64]
    skipped: npt.NDArray[np.int64]
    failures: npt.NDArray[np.int64]
    clipped: npt.NDArray[np.int64]
    power_in: npt.NDArray[np.float64]
    power_out: npt.NDArray[np.float64]
    level: npt.NDArray[np.int64]
    load: npt.NDArray[np.float64]
    hop_max_us: npt.NDArray[np.float64]
    hops: npt.NDArray[np.int64]

    def __init__(self, buffer: bytearray | memoryview | None = None) -> None:
        record = np.frombuffer(bytearray(BOARD_BYTES) if buffer is None else buffer, dtype=_LAYOUT, count=1)
        for name in _LAYOUT.names or ():
            field = record[name]
            setattr(self, name, field[0] if field.ndim > 1 else field)

    @property
    def limit_db(self) -> float | None:
        """Attenuation limit in decibels, None for unlimited."""
        value = float(self.attenuation_limit_db[0])
        return None if math.isinf(value) else value

    @limit_db.setter
    def limit_db(self, value: float | None) -> None:
        if value is not None and not 0.0 <= value < math.inf:
            raise ParameterError(f"attenuation_limit_db is {value!r}; give decibels from 0 up, or None for unlimited")
        self.attenuation_limit_db[0] = math.inf if value is None else value

    def clear(self) -> None:
        """Zero every counter and meter; the host's parameters stay."""
        for name in _LAYOUT.names or ():
            if name not in _HOST_FIELDS:
                getattr(self, name)[:] = 0

    def record_hop(self, microseconds: float, hops: int) -> None:
        """Count `hops` hops that took `microseconds` each."""
        place = int(BINS_PER_OCTAVE * math.log2(microseconds)) if microseconds > 1.0 else 0
        self.hops[min(place, BINS - 1)] += hops
        if microseconds > self.hop_max_us[0]:
            self.hop_max_us[0] = microseconds

    def hop_percentile_ms(self, percent: float) -> float:
        """Hop time in milliseconds that `percent` of the hops do not exceed; 0 before the first hop."""
        counts = np.cumsum(self.hops)
        if not counts[-1]:
            return 0.0
        place = int(np.searchsorted(counts, math.ceil(percent / 100.0 * counts[-1])))
        return float(min(2.0 ** ((place + 1) / BINS_PER_OCTAVE), float(self.hop_max_us[0]))) / 1e3


BOARD_BYTES = _LAYOUT.itemsize
"""Size of a :class:`Board` in bytes."""
