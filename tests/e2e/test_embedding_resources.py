"""Objects made and closed a hundred times leave nothing behind: memory, threads, handles, shared memory, processes."""

import asyncio
import ctypes
import gc
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtae
from rtae import Denoiser
from rtae.analysis import Meter, analyze
from rtae.audio import AudioReader, AudioWriter
from rtae.codec import Codec
from rtae.codec.files import decode, encode
from rtae.generate import prior
from rtae.integrations.pcm import PcmDenoiser
from rtae.listen import Listener
from rtae.live import FakeBackend, FileBackend, LiveStream
from rtae.net.endpoints import FileSink, FileSource
from rtae.net.receiver import Receiver
from rtae.net.sender import Sender
from rtae.net.sockets import Listener as SocketListener
from rtae.net.sockets import bind, clock, connect
from rtae.processor import Bypass, Delay, Gain
from rtae.segment import SoundSegmenter, SpeechSegmenter
from rtae.vae import Autoencoder
from tests import models
from tests.unit.codec.conftest import pair

__all__ = ["pair"]

sys.path.insert(0, str(Path(__file__).with_name("live")))
from jack_lab import JackServer

CYCLES = 100
MOST_GROWTH_MIB = 0.04
"""A cycle. What one model session or one engine's rings take is many times that."""

AT_ONCE = 4
"""Streams with processes of their own that are open together: each takes a second to start, mostly waiting."""

RATE, HOP = 8_000, 40
KBPS = 16 * RATE / 1e3
"""Of the codec of the tests, 16 bits a sample."""


def held():
    """What this process holds now, memory apart."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text()
    tasks = list(Path("/proc/self/task").iterdir())
    return {
        "threads": len(tasks),
        "handles": len(os.listdir("/proc/self/fd")),
        "shared memory": sum(" (deleted)" in line or "/dev/shm" in line for line in maps.splitlines()),
        "processes": sorted(child for task in tasks for child in (task / "children").read_text().split()),
    }


def resident_mib():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def cycle_and_compare(cycle, warm_up=10, cycles=CYCLES):
    for _ in range(warm_up):
        cycle()
    before, memory = held(), resident_mib()
    for _ in range(cycles):
        cycle()
    growth = resident_mib() - memory
    print(f"{growth:+.2f} MiB over {cycles} cycles")
    assert held() == before
    assert growth < CYCLES * MOST_GROWTH_MIB


@pytest.fixture
def recording(tmp_path):
    """A quarter of a second of noise in a file."""
    path = tmp_path / "in.flac"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(12_000), 48_000)
    return path


def denoiser(build, pair, recording):
    block = np.full((4800, 2), 0.1, np.float32)
    Denoiser(build("compressor"), sample_rate=44_100, channels=2).process(block)


def shipped_denoiser(build, pair, recording):
    rtae.load("denoise").process(np.full(4800, 0.1, np.float32))


def processors(build, pair, recording):
    for processor in (Gain(-6.0), Delay(100), Bypass()):
        processor.process(np.full(4800, 0.1, np.float32))
        processor.flush()


def codec(build, pair, recording):
    one = Codec(pair(RATE, HOP), sample_rate=16_000, channels=2, kbps=KBPS)
    packets = [*one.encode(np.full((4800, 2), 0.1, np.float32)), *one.flush()]
    assert len(one.decode(packets)) > 4800


def coded_recording(build, pair, recording):
    data = encode(np.full(4800, 0.1, np.float32), RATE, model=pair(RATE, HOP), kbps=KBPS)
    audio, rate = decode(data, model=pair(RATE, HOP))
    assert audio.shape == (4800, 1) and rate == RATE


def classifying_listener(build, pair, recording):
    one = Listener(build("classifier"), segmenter=SpeechSegmenter(build("compressor")))
    one.process(np.full(4800, 0.1, np.float32))
    one.flush()


def sound_segmenter(build, pair, recording):
    one = SoundSegmenter()
    one.process(np.full(4800, 0.1, np.float32))
    one.flush()


def speech_segmenter(build, pair, recording):
    one = SpeechSegmenter(build("compressor"))
    one.process(np.full(4800, 0.1, np.float32))
    one.flush()


def autoencoder_and_generator(build, pair, recording):
    both = recording.with_name("vae")
    if not both.with_name("vae-encoder.onnx").exists():
        models.vae_encoder(both.with_name("vae-encoder.onnx"))
        models.vae_decoder(both.with_name("vae-decoder.onnx"))
    vae = Autoencoder(both)
    assert vae.encode(np.full(4800, 0.1, np.float32)).mean.any()
    assert len(prior(vae).read(4800)) == 4800


def sender_and_receiver(build, pair, recording):
    """Both ends of a wire: files, sockets, the listening thread."""
    model = pair(RATE, HOP)
    heard = recording.with_name("heard.wav")
    with FileSource(str(recording)) as source, bind(None, 0) as bound, FileSink(str(heard), RATE) as sink:
        receiver = Receiver(Codec(model), RATE, sink.block, clock())
        with SocketListener(receiver, bound) as listener, connect(*bound.getsockname()) as wire:
            sink.begin(receiver.playout)
            sender = Sender(Codec(model, sample_rate=source.sample_rate, kbps=KBPS, hops_per_packet=2))
            for datagram in [*sender.send(np.full(4800, 0.1, np.float32)), *sender.finish()]:
                wire.send(datagram)
            until = time.monotonic() + 30
            while not sink.written and time.monotonic() < until:
                listener.check()
                sink.step(receiver.stats.streams > 0)
                time.sleep(0.002)
    assert sink.written and heard.exists()


def stream_of_16_bit_samples(build, pair, recording):
    PcmDenoiser(build("compressor"), sample_rate=16_000).process(bytes(3200))


def pipecat_filter(build, pair, recording):
    pytest.importorskip("pipecat.frames.frames")  # which also bears its warnings
    from rtae.integrations.pipecat import RtaeFilter

    async def call():
        one = RtaeFilter(build("compressor"))
        await one.start(16_000)
        await one.filter(bytes(320))
        await one.stop()

    asyncio.run(call())


def livekit_processor(build, pair, recording):
    from livekit import rtc

    from rtae.integrations.livekit import RtaeProcessor

    one = RtaeProcessor(build("compressor"))
    one._process(rtc.AudioFrame(bytes(320), 16_000, 1, 160))
    one._close()


def analysis(build, pair, recording):
    meter = Meter(48_000)
    assert len([*meter.process(np.full(4800, 0.1, np.float32)), *meter.flush()])
    assert analyze(recording).samples == 12_000


def sound_files(build, pair, recording):
    copy = recording.with_name("out.flac")
    with (
        AudioReader(recording) as reader,
        AudioWriter(copy, sample_rate=48_000, channels=1, format="FLAC", subtype="PCM_16") as writer,
    ):
        for block in reader.blocks():
            writer.write(block)
    assert sorted(path.name for path in recording.parent.iterdir()) == ["in.flac", "out.flac"]


def live_stream_in_this_process(build, pair, recording):
    backend = FakeBackend()
    with LiveStream(build("compressor"), backend=backend, block_size=128) as stream:
        backend.step()
        assert stream.stats.blocks == 1


def live_stream_looked_at(build, pair, recording):
    backend = FakeBackend()
    with LiveStream(build("compressor"), backend=backend, block_size=128) as stream:
        tap = stream.tap()
        place, _, _ = tap.since(-1)
        backend.step()
        assert len(tap.since(place)[1]) == 128 and stream.events() is not None


def live_stream_with_codec(build, pair, recording):
    backend = FakeBackend()
    options = {"mode": "denoise+codec", "codec": pair(RATE, HOP), "kbps": KBPS}
    with LiveStream(build("compressor"), backend=backend, **options) as stream:
        backend.step()
        assert stream.stats.blocks == 1


def live_stream_on_the_file_clock(build, pair, recording):
    backend = FileBackend(np.zeros(4_800, np.float32), 48_000, realtime=False)
    with LiveStream(build("compressor"), backend=backend, block_size=480) as stream:
        assert stream.wait(10)


KINDS = [
    denoiser, shipped_denoiser, processors, codec, coded_recording, classifying_listener, sound_segmenter,
    speech_segmenter, autoencoder_and_generator,
    sender_and_receiver, stream_of_16_bit_samples, pipecat_filter, livekit_processor, analysis, sound_files,
    live_stream_in_this_process, live_stream_looked_at, live_stream_with_codec, live_stream_on_the_file_clock,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_hundred_of_a_kind(kind, build, pair, recording):
    cycle_and_compare(lambda: kind(build, pair, recording))


def test_a_hundred_streams_in_processes_of_their_own(build, tmp_path, monkeypatch):
    server = JackServer(tmp_path, 1024)
    try:
        for name in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER", "JACK_NO_AUDIO_RESERVATION"):
            monkeypatch.setenv(name, server.environment[name])

        def one(number):
            with LiveStream(build("identity"), input="system, jack", output="system, jack") as stream:
                assert stream.isolated and stream.active

        def some_at_once():
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(one, range(AT_ONCE)))

        cycle_and_compare(some_at_once, warm_up=2, cycles=CYCLES // AT_ONCE)
    finally:
        server.close()
