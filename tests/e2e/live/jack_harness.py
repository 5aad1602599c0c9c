"""Program: play an array into the port of a PortAudio program on a JACK server, record what it gives back.

    python jack_harness.py SERVER PLAY.npy HEARD.npy

Frames are counted by the server's clock, so a cycle this program misses is a hole, not a shift.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time

import jack
import numpy as np


def main(server: str, play: str, heard: str) -> None:
    audio = np.load(play)
    recorded = np.zeros(len(audio) + 48_000, np.float32)
    done = threading.Event()
    client = jack.Client("harness", servername=server, no_start_server=True)
    speaker, microphone = client.outports.register("out"), client.inports.register("in")
    start: list[int] = []

    @client.set_process_callback
    def process(frames: int) -> None:
        if not start:
            start.append(client.last_frame_time)
        at = client.last_frame_time - start[0]
        out = speaker.get_array()
        out[:] = 0.0
        piece = audio[at : at + frames]
        out[: len(piece)] = piece
        place = recorded[at : at + frames]
        place[:] = microphone.get_array()[: len(place)]
        if at > len(recorded):
            done.set()

    def connect() -> bool:
        """Hold the connections, also to a stream that comes back after it was gone."""
        if not client.get_ports("PortAudio:in_0") or not client.get_ports("PortAudio:out_0"):
            return False
        if client.get_port_by_name("PortAudio:in_0").name not in names(client.get_all_connections(speaker)):
            for port in client.get_all_connections("PortAudio:in_0"):
                client.disconnect(port, "PortAudio:in_0")
            client.connect(speaker, "PortAudio:in_0")
        if "PortAudio:out_0" not in names(client.get_all_connections(microphone)):
            client.connect("PortAudio:out_0", microphone)
        return True

    with client:
        deadline = time.monotonic() + 20
        while not connect():
            assert time.monotonic() < deadline, "no PortAudio port appeared"
            time.sleep(0.05)
        # The first cycles after connecting belong to no one: begin to count now.
        time.sleep(0.3)
        start.clear()
        print("playing", flush=True)
        deadline = time.monotonic() + len(recorded) / 48_000 + 30
        while not done.wait(0.05):
            assert time.monotonic() < deadline
            # A stream that goes away while it is connected is met again in the next round.
            with contextlib.suppress(jack.JackError):
                connect()
    np.save(heard, recorded)


def names(ports: list[jack.Port]) -> list[str]:
    return [port.name for port in ports]


if __name__ == "__main__":
    main(*sys.argv[1:])
