"""Program: a cable of a given length on a JACK server, from a PortAudio program's output to its input.

    python jack_cable.py SERVER SAMPLES

It replaces the connections PortAudio made, whenever such a program appears, until it is ended.
"""

from __future__ import annotations

import contextlib
import sys
import time

import jack
import numpy as np


def main(server: str, samples: str) -> None:
    client = jack.Client("cable", servername=server, no_start_server=True)
    plug, socket = client.inports.register("in"), client.outports.register("out")
    line = np.zeros(int(samples), np.float32)

    @client.set_process_callback
    def process(frames: int) -> None:
        nonlocal line
        line = np.concatenate([line, plug.get_array()])
        socket.get_array()[:] = line[:frames]
        line = line[frames:]

    with client:
        print("plugged", flush=True)
        while True:
            with contextlib.suppress(jack.JackError):
                if client.get_ports("PortAudio:in_0") and client.get_ports("PortAudio:out_0"):
                    hold(client, "PortAudio:out_0", plug.name)
                    hold(client, socket.name, "PortAudio:in_0")
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
