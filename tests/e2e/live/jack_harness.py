"""Program: play an array into the port of a PortAudio program on a JACK server, record what it gives back.

    python jack_harness.py SERVER PLAY.npy HEARD.npy

Frames are counted by the server's clock, so a cycle this program misses is a hole, not a shift.
"""

from __future__ import annotations

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

    deadline = time.monotonic() + 20
    while not client.get_ports("PortAudio:in_0"):
        assert time.monotonic() < deadline, "no PortAudio port appeared"
        time.sleep(0.05)
    with client:
        for port in client.get_all_connections("PortAudio:in_0"):
            client.disconnect(port, "PortAudio:in_0")
        client.connect(speaker, "PortAudio:in_0")
        client.connect("PortAudio:out_0", microphone)
        # The first cycles after connecting belong to no one: begin to count now.
        time.sleep(0.3)
        start.clear()
        assert done.wait(len(recorded) / 48_000 + 30)
    np.save(heard, recorded)


if __name__ == "__main__":
    main(*sys.argv[1:])
