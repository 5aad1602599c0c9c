"""Program: a cable of a given length on a JACK server, from a PortAudio program's output to its input.

    python jack_cable.py SERVER SAMPLES [GAIN [NOISE [PPM]]]

GAIN is what it passes on (0: it is broken), NOISE the root mean square of what it adds, PPM by how much its far end's
clock is slow beside the near one's, from the first sound on. It replaces the connections PortAudio made, whenever such
a program appears, until it is ended.
"""

from __future__ import annotations

import contextlib
import sys
import time

import jack
import numpy as np

TAPS = np.arange(-31, 33)
KEPT = 16_384


class Line:
    """What is in the cable: the last :data:`KEPT` samples, read `samples` back and, once there was sound, farther."""

    def __init__(self, samples: int, ppm: float) -> None:
        assert samples + 1_000 < KEPT and (samples >= len(TAPS) or not ppm)
        self._samples, self._ppm = samples, ppm
        self._kept = np.zeros(KEPT, np.float32)
        self._heard = 0

    def pass_on(self, block: np.ndarray) -> np.ndarray:
        self._kept = np.concatenate([self._kept[len(block) :], block])
        places = np.arange(KEPT - len(block), KEPT) - self._samples
        if not self._ppm or (not self._heard and not np.any(block)):
            return self._kept[places]
        since = self._heard + np.arange(len(block)) - (0 if self._heard else int(np.argmax(block != 0)))
        self._heard = int(since[-1]) + 1
        exact = places - 1e-6 * self._ppm * np.maximum(since, 0)
        base = np.floor(exact).astype(int)
        distance = (exact - base)[:, np.newaxis] - TAPS
        kernel = np.sinc(distance) * (0.5 + 0.5 * np.cos(np.pi * distance / 33))
        return np.sum(self._kept[base[:, np.newaxis] + TAPS] * kernel, axis=1)


def main(server: str, samples: str, gain: str = "1", noise: str = "0", ppm: str = "0") -> None:
    client = jack.Client("cable", servername=server, no_start_server=True)
    plug, socket = client.inports.register("in"), client.outports.register("out")
    line, random = Line(int(samples), float(ppm)), np.random.default_rng(0)

    @client.set_process_callback
    def process(frames: int) -> None:
        added = float(noise) * random.standard_normal(frames) if float(noise) else 0.0
        socket.get_array()[:] = float(gain) * line.pass_on(plug.get_array()) + added

    with client:
        print("plugged", flush=True)
        while True:
            with contextlib.suppress(jack.JackError, ValueError):
                # PortAudio numbers its ports on with every stream it opens.
                for source, sink in zip(
                    client.get_ports("PortAudio:out_"), client.get_ports("PortAudio:in_"), strict=True
                ):
                    hold(client, source.name, plug.name)
                    hold(client, socket.name, sink.name)
            time.sleep(0.02)


def hold(client: jack.Client, source: str, sink: str) -> None:
    """Let `source` be what alone feeds `sink`."""
    feeding = [port.name for port in client.get_all_connections(sink)]
    for name in feeding:
        if name != source:
            client.disconnect(name, sink)
    if source not in feeding:
        client.connect(source, sink)


if __name__ == "__main__":
    main(*sys.argv[1:])
