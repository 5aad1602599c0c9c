"""The adapters, on the real packages and their own frame types."""

import asyncio
import importlib
import sys

import numpy as np
import pytest

from rtae.errors import MissingDependencyError, ParameterError
from rtae.integrations.pcm import PcmDenoiser

RATES = [16_000, 24_000, 48_000]
SEED = 10


def noisy(rate, channels=1):
    """A second in frames of 10 ms."""
    print("seed", SEED)
    audio = np.random.default_rng(SEED).integers(-20_000, 20_000, (100, rate // 100 * channels), dtype=np.int16)
    return [frame.tobytes() for frame in audio]


def expected(path, rate, frames, channels=1, **options):
    stream = PcmDenoiser(path, sample_rate=rate, channels=channels, **options)
    output = [stream.process(frame) for frame in frames]
    assert max(np.abs(np.frombuffer(output[-1], np.int16))) > 100
    return output


@pytest.mark.parametrize("name", ["pipecat", "livekit"])
def test_a_missing_package_is_named(monkeypatch, name):
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, f"rtae.integrations.{name}", raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'rtae\[{name}\]'"):
        importlib.import_module(f"rtae.integrations.{name}")


class TestLiveKit:
    @pytest.fixture
    def rtc(self):
        pytest.importorskip("livekit.rtc")
        from livekit import rtc

        return rtc

    @pytest.mark.parametrize("channels", [1, 2])
    @pytest.mark.parametrize("rate", RATES)
    def test_frames_come_out_clean(self, rtc, build, rate, channels):
        from rtae.integrations.livekit import RtaeProcessor

        frames = noisy(rate, channels)
        processor = RtaeProcessor(build("compressor"))
        assert isinstance(processor, rtc.FrameProcessor) and processor.enabled
        output = []
        for number, data in enumerate(frames):
            frame = rtc.AudioFrame(data, rate, channels, rate // 100, userdata={"number": number})
            clean = processor._process(frame)
            assert (clean.sample_rate, clean.num_channels, clean.samples_per_channel) == (rate, channels, rate // 100)
            assert clean.userdata == {"number": number}
            output.append(bytes(clean.data.cast("B")))
        assert output == expected(build("compressor"), rate, frames, channels)
        processor._close()

    def test_switched_off_it_keeps_the_delay(self, rtc, build):
        from rtae.integrations.livekit import RtaeProcessor

        frames = noisy(48_000)
        processor = RtaeProcessor(build("gain"))
        processor.enabled = False
        output = b"".join(
            bytes(processor._process(rtc.AudioFrame(data, 48_000, 1, 480)).data.cast("B")) for data in frames
        )
        delay = PcmDenoiser(build("gain"), sample_rate=48_000).denoiser.delay
        assert delay and output[2 * delay :] == b"".join(frames)[: -2 * delay]

    def test_another_format_starts_another_stream(self, rtc, build):
        from rtae.integrations.livekit import RtaeProcessor

        processor = RtaeProcessor(build("compressor"), attenuation_limit_db=12.0)
        for rate in (16_000, 48_000):
            frames = noisy(rate)
            output = [
                bytes(processor._process(rtc.AudioFrame(data, rate, 1, rate // 100)).data.cast("B")) for data in frames
            ]
            assert output == expected(build("compressor"), rate, frames)


class TestPipecat:
    @pytest.fixture
    def frames(self):
        return pytest.importorskip("pipecat.frames.frames")

    @pytest.mark.parametrize("rate", RATES)
    def test_many_calls_in_one_loop_come_out_clean(self, frames, build, rate):
        from rtae.integrations.pipecat import RtaeFilter

        audio = noisy(rate)[:30]

        async def call():
            one = RtaeFilter(build("compressor"))
            assert await one.filter(audio[0]) == audio[0]  # not started yet
            await one.start(rate)
            output = [await one.filter(data) for data in audio]
            await one.stop()
            return output

        async def calls():
            return await asyncio.gather(*(call() for _ in range(8)))

        wanted = expected(build("compressor"), rate, audio)
        assert asyncio.run(calls()) == [wanted] * 8

    def test_control_frames_are_obeyed(self, frames, build):
        from rtae.integrations.pipecat import RtaeFilter

        audio = noisy(48_000)

        async def call(*controls):
            one = RtaeFilter(build("gain"))
            await one.start(48_000)
            for control in controls:
                await one.process_frame(control)
            return b"".join([await one.filter(data) for data in audio])

        def factor(*controls):
            # The second half: a cross-fade is over by then.
            output = np.frombuffer(asyncio.run(call(*controls)), np.int16)[24_000:].astype(float)
            delay = PcmDenoiser(build("gain"), sample_rate=48_000).denoiser.delay
            source = np.frombuffer(b"".join(audio), np.int16)[24_000 - delay : -delay].astype(float)
            return output @ source / (source @ source)

        assert factor() == pytest.approx(0.1, abs=1e-3)
        assert factor(frames.FilterEnableFrame(False)) == pytest.approx(1.0, abs=1e-3)
        assert factor(frames.FilterEnableFrame(False), frames.FilterEnableFrame(True)) == pytest.approx(0.1, abs=1e-3)
        update = frames.FilterUpdateSettingsFrame({"attenuation_limit_db": 6.0})
        assert factor(update) == pytest.approx(10 ** (-6 / 20), abs=1e-3)
        with pytest.raises(ParameterError, match="unknown settings gain"):
            asyncio.run(call(frames.FilterUpdateSettingsFrame({"gain": 1})))
