"""The latency laboratory: delay by signals, hop times, checks of streaming models, stress, reports.

>>> from rtae.bench import measure_delay, speech_like
>>> probe = speech_like(48_000, seconds=2.0)
>>> measure_delay(probe, probe, 48_000).delay_samples
0.0
"""

from rtae.bench.delay import Measurement, measure_delay
from rtae.bench.probe import coded, speech_like

__all__ = ["Measurement", "coded", "measure_delay", "speech_like"]
