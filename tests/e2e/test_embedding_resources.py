"""Objects made and closed a hundred times leave nothing behind: memory, threads, handles, shared memory, processes."""

import ctypes
import gc
import os
import sys
from pathlib import Path

import numpy as np
import soundfile

from rtae import Denoiser
from rtae.audio import AudioReader, AudioWriter
from rtae.live import FakeBackend, FileBackend, LiveStream

sys.path.insert(0, str(Path(__file__).with_name("live")))
from jack_lab import JackServer

MOST_GROWTH_MIB = 0.04
"""A cycle. What one model session or one engine's rings take is many times that."""


def held():
    """What this process holds now, memory apart."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text()
    return {
        "threads": len(os.listdir("/proc/self/task")),
        "handles": len(os.listdir("/proc/self/fd")),
        "shared memory": sum(" (deleted)" in line or "/dev/shm" in line for line in maps.splitlines()),
        "processes": Path("/proc/thread-self/children").read_text().split(),
    }


def resident_mib():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def cycle_and_compare(cycle, warm_up=10, cycles=100):
    for _ in range(warm_up):
        cycle()
    before, memory = held(), resident_mib()
    for _ in range(cycles):
        cycle()
    growth = resident_mib() - memory
    print(f"{growth:+.2f} MiB over {cycles} cycles")
    assert held() == before
    assert growth < max(1.0, cycles * MOST_GROWTH_MIB)


def test_denoisers(build):
    block = np.full((4800, 2), 0.1, np.float32)
    cycle_and_compare(lambda: Denoiser(build("compressor"), sample_rate=44_100, channels=2).process(block))


def test_live_streams_in_this_process(build):
    def cycle():
        backend = FakeBackend()
        with LiveStream(build("compressor"), backend=backend, block_size=128) as stream:
            backend.step()
            assert stream.stats.blocks == 1

    cycle_and_compare(cycle)


def test_live_streams_on_the_file_clock(build):
    def cycle():
        backend = FileBackend(np.zeros(4_800, np.float32), 48_000, realtime=False)
        with LiveStream(build("compressor"), backend=backend, block_size=480) as stream:
            assert stream.wait(10)

    cycle_and_compare(cycle)


def test_files(tmp_path):
    soundfile.write(tmp_path / "in.flac", np.zeros(10_000), 48_000)

    def cycle():
        with (
            AudioReader(tmp_path / "in.flac") as reader,
            AudioWriter(
                tmp_path / "out.flac", sample_rate=48_000, channels=1, format="FLAC", subtype="PCM_16"
            ) as writer,
        ):
            for block in reader.blocks():
                writer.write(block)

    cycle_and_compare(cycle)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.flac", "out.flac"]


def test_live_streams_in_a_process_of_their_own(build, tmp_path, monkeypatch):
    server = JackServer(tmp_path, 1024)
    try:
        for name in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER", "JACK_NO_AUDIO_RESERVATION"):
            monkeypatch.setenv(name, server.environment[name])

        def cycle():
            with LiveStream(build("identity"), input="system, jack", output="system, jack") as stream:
                assert stream.isolated

        # A process and a sound server take a second each time: fewer cycles; handles and threads are counted exactly.
        cycle_and_compare(cycle, warm_up=2, cycles=8)
    finally:
        server.close()
