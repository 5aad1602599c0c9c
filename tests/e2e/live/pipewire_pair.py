"""Program: record two ports of PipeWire's graph in the same cycles, for the delay between them.

LD_LIBRARY_PATH=(of PipeWire's libjack) python pipewire_pair.py PORT PORT SECONDS HEARD.npy
"""

from __future__ import annotations

import sys
import time

import jack
import numpy as np


def main(first: str, second: str, seconds: str, path: str) -> None:
    client = jack.Client("pair", no_start_server=True)
    inputs = [client.inports.register(name) for name in ("first", "second")]
    heard: list[np.ndarray] = []

    @client.set_process_callback
    def process(frames: int) -> None:
        heard.append(np.stack([port.get_array() for port in inputs]))

    with client:
        for name, port in zip((first, second), inputs, strict=True):
            client.connect(name, port)
        time.sleep(float(seconds))
    np.save(path, np.concatenate(heard, axis=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
