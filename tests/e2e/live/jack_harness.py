"""Program: play an array into the port of a PortAudio program on a JACK server, record what it gives back.

    python jack_harness.py SERVER PLAY.npy HEARD.npy DROPPED.npy

Frames are counted by the server's clock, so a cycle this program misses is a hole, not a shift. DROPPED marks the
frames around a cycle that this program missed or the server says a client did not finish in time.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time

import jack
import numpy as np

from rtae.live.priority import raise_priorities

BEFORE, AFTER = 4_800, 2_400
"""Frames marked around a dropped cycle: it is told of after it happened."""


def main(server: str, play: str, heard: str, dropped: str) -> None:
    audio = np.load(play)
    recorded = np.zeros(len(audio) + 48_000, np.float32)
    missed = np.ones(len(recorded), np.bool_)
    late: list[int] = []
    counting, done = threading.Event(), threading.Event()
    client = jack.Client("harness", servername=server, no_start_server=True)
    speaker, microphone = client.outports.register("out"), client.inports.register("in")
    start: list[int] = []

    @client.set_process_callback
    def process(frames: int) -> None:
        now = client.last_frame_time
        out = speaker.get_array()
        out[:] = 0.0
        if not counting.is_set():
            return
        if not start:
            start.append(now)
        at = now - start[0]
        piece = audio[at : at + frames]
        out[: len(piece)] = piece
        place = recorded[at : at + frames]
        place[:] = microphone.get_array()[: len(place)]
        missed[at : at + frames] = False
        if at > len(recorded):
            done.set()

    @client.set_xrun_callback
    def xrun(delay_us: float) -> None:
        if start:
            late.append(client.frame_time - start[0])

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
        counting.set()
        raise_priorities()
        print("playing", flush=True)
        deadline = time.monotonic() + len(recorded) / 48_000 + 30
        while not done.wait(0.05):
            assert time.monotonic() < deadline
            # A stream that goes away while it is connected is met again in the next round.
            with contextlib.suppress(jack.JackError):
                connect()
    np.save(heard, recorded)
    edges = np.flatnonzero(np.diff(missed.astype(np.int8), prepend=0))
    for at in [*late, *edges]:
        missed[max(0, at - BEFORE) : max(0, at + AFTER)] = True
    np.save(dropped, missed)


def names(ports: list[jack.Port]) -> list[str]:
    return [port.name for port in ports]


if __name__ == "__main__":
    main(*sys.argv[1:])
