"""The latency budget: what each part reports, and what the whole measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtae.bench.delay import Measurement

PARTS = {
    "input_device": "input device",
    "hop_wait": "hop wait, resampling",
    "model": "algorithm (model)",
    "headroom": "ring (headroom)",
    "output_device": "output device",
}
"""Parts of a live stream's latency in the order shown -> name for a person."""


@dataclass(frozen=True)
class Budget:
    """Latency of one stream, by parts and as measured.

    Attributes
    ----------
    what : str
        What was measured, for a person.
    sample_rate : int
        Hertz.
    parts : mapping of str to int or None
        Reported samples by the keys of :data:`PARTS`; None of a device that reports nothing or nonsense.
    measurements : sequence of Measurement
        One a repetition.
    inference_ms : float
        Median time of a hop. No part of the sum: it happens within the headroom.
    xruns, late : int
        Under- and overflows while measuring; blocks that were late, where the dry signal was measured.
    """

    what: str
    sample_rate: int
    parts: Mapping[str, int | None]
    measurements: Sequence[Measurement]
    inference_ms: float
    xruns: int = 0
    late: int = 0

    @property
    def reported(self) -> int:
        """Sum of the parts that are known, in samples."""
        return sum(samples or 0 for samples in self.parts.values())

    @property
    def measured(self) -> float | None:
        """Median of the repetitions in samples; None unless most of them found a delay."""
        found = sorted(item.delay_samples for item in self.measurements if item.delay_samples is not None)
        return found[len(found) // 2] if 2 * len(found) > len(self.measurements) else None

    @property
    def unexplained(self) -> float | None:
        """Measured less reported, in samples."""
        return None if self.measured is None else self.measured - self.reported

    @property
    def confidence(self) -> float:
        """Least confidence of the repetitions that found a delay; of all, if most found none."""
        found = [item for item in self.measurements if item.delay_samples is not None]
        return min(item.confidence for item in (found if self.measured is not None else self.measurements))

    @property
    def deviation(self) -> float:
        """Largest deviation of the repetitions, or half their range if that is more, in samples."""
        found = [item.delay_samples for item in self.measurements if item.delay_samples is not None]
        spread = 0.5 * (max(found) - min(found)) if found else 0.0
        return max([spread, *(item.deviation_samples for item in self.measurements)])

    @property
    def agrees(self) -> bool:
        """Whether the whole is what was reported, to half a sample."""
        return self.unexplained is not None and abs(self.unexplained) <= 0.5

    def milliseconds(self, samples: float) -> float:
        """Convert."""
        return 1e3 * samples / self.sample_rate

    def as_dict(self) -> dict[str, Any]:
        """Return everything as a JSON-ready mapping."""
        return {
            "what": self.what,
            "sample_rate": self.sample_rate,
            "parts_samples": dict(self.parts),
            "reported_samples": self.reported,
            "measured_samples": self.measured,
            "unexplained_samples": self.unexplained,
            "deviation_samples": self.deviation,
            "confidence": self.confidence,
            "inference_ms": self.inference_ms,
            "xruns": self.xruns,
            "late": self.late,
            "repetitions": [item.as_dict() for item in self.measurements],
        }

    def to_text(self) -> str:
        """Return a table for a person."""
        lines = [self.what]
        rows = [(name, self.parts[key]) for key, name in PARTS.items()]
        rows.append(("reported in all", self.reported))
        for name, samples in [*rows, ("measured", self.measured), ("unexplained", self.unexplained)]:
            if samples is not None:
                # Rounded and added to, a negative nothing loses its sign.
                shown = round(samples, 2) + 0.0
                lines.append(f"  {name:22}{shown:10.2f} samples {self.milliseconds(shown):9.3f} ms")
            elif name in PARTS.values():
                lines.append(f"  {name:22} not reported")
        if self.measured is None:
            lines.append(f"  measured              {self.measurements[0]}")
        else:
            turned = ", polarity inverted" if any(item.inverted for item in self.measurements) else ""
            lines.append(
                f"  confidence {self.confidence:.0%}, deviation {self.deviation:.2f} samples, "
                f"{len(self.measurements)} x{turned}"
            )
        jumps, lost = sum(item.jumps for item in self.measurements), sum(item.lost for item in self.measurements)
        if jumps or lost or self.xruns or self.late:
            lines.append(
                f"  glitches: {jumps} windows elsewhere, {lost} without signal, {self.xruns} xruns, "
                f"{self.late} blocks late (dry signal in their place)"
            )
        lines.append(f"  inference {self.inference_ms:.3f} ms a hop at the median, within the ring's headroom")
        return "\n".join(lines)
