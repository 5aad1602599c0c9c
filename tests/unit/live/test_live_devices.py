"""Devices: the list, the choice, and what PortAudio refuses. PortAudio is replaced by a module of our own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
import types

import numpy as np
import pytest
import soundfile

from rtae.cli import live, main
from rtae.errors import DeviceError, StreamStateError
from rtae.live import LiveStream
from rtae.live import portaudio as portaudio_module
from rtae.live.devices import choose, devices
from rtae.live.settings import load_settings
from rtae.processor import Delay

DEVICES = [
    {"name": "Built-in [Analog]", "hostapi": 0, "max_input_channels": 2, "max_output_channels": 2},
    {"name": "USB Headset", "hostapi": 0, "max_input_channels": 1, "max_output_channels": 2},
    {"name": "USB Camera", "hostapi": 0, "max_input_channels": 1, "max_output_channels": 0},
    {"name": "Headset", "hostapi": 1, "max_input_channels": 1, "max_output_channels": 1},
]


TIMES = types.SimpleNamespace(inputBufferAdcTime=9.999, outputBufferDacTime=10.003)
"""Of a callback whose audio lies in the sound system as long as it reports."""


class PortAudioError(Exception):
    pass


class Stream:
    """The least of sounddevice.Stream; `refusal` makes opening fail."""

    refusal: Exception | None = None
    reported = (0.001, 0.003)
    opened: list[Stream]

    def __init__(self, **options):
        if Stream.refusal is not None:
            raise Stream.refusal
        self.options = options
        pair = isinstance(options["device"], tuple)
        self.latency = self.reported if pair else 0.001
        self.active = self.closed = False
        Stream.opened.append(self)

    def start(self):
        self.active = True

    def stop(self, ignore_errors):
        self.active = False

    def close(self, ignore_errors):
        self.active, self.closed = False, True


@pytest.fixture
def sound(monkeypatch):
    module = types.ModuleType("sounddevice")
    module.query_hostapis = lambda: ({"name": "ALSA"}, {"name": "JACK Audio Connection Kit"})
    module.query_devices = lambda: [{**device, "default_samplerate": 48_000.0} for device in module.found]
    module.default = types.SimpleNamespace(device=[1, 0])
    module.found = DEVICES
    module.Stream = module.InputStream = module.OutputStream = Stream
    module.PortAudioError = PortAudioError
    Stream.refusal, Stream.opened = None, []
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    monkeypatch.setattr(portaudio_module, "PROBE_S", 0.0)
    return module


def test_a_device_is_chosen_by_number_part_of_its_name_or_default(sound):
    found = devices()
    assert choose(found, None, "input").name == "USB Headset"
    assert choose(found, None, "output").name == "Built-in [Analog]"
    assert choose(found, 2, "input").name == "USB Camera"
    assert choose(found, "2", "input").name == "USB Camera"
    assert choose(found, "camera", "input").index == 2
    assert choose(found, "headset, jack", "input").index == 3
    assert choose(found, "built-in [analog], alsa", "output").index == 0
    assert choose(found, "headset", "input").index == 3  # the whole name wins over a part of another
    assert choose(found, "USB", "output").index == 1  # the camera cannot play


def test_an_ambiguous_name_lists_the_candidates(sound):
    with pytest.raises(DeviceError, match=r"'usb' is ambiguous.*: 1 USB Headset, ALSA; 2 USB Camera, ALSA$"):
        choose(devices(), "usb", "input")


@pytest.mark.parametrize("wanted", ["nothing like it", 9, "9", 2])
def test_an_unknown_device_lists_what_there_is(sound, wanted):
    with pytest.raises(
        DeviceError, match=r"there is no output device .*; there are: 0 Built-in \[Analog\], ALSA; 1 USB"
    ):
        choose(devices(), wanted, "output")


def test_a_machine_without_devices_is_told_so(sound, capsys):
    sound.found = []
    with pytest.raises(DeviceError, match="no output device"):
        LiveStream(Delay(0))
    assert main(["devices"]) == 0
    assert "sees no sound device" in capsys.readouterr().err


def test_the_list_is_printed_as_a_table_and_as_json(sound, capsys):
    assert main(["devices"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert "Built-in [Analog], ALSA" in table[1]
    assert table[1].split()[-1] == "output" and table[2].split()[-1] == "input"
    assert main(["devices", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [device["name"] for device in listed] == [device["name"] for device in DEVICES]
    assert listed[1]["default_input"] is True


def test_a_busy_device_is_refused_with_both_names(sound, build):
    Stream.refusal = PortAudioError("Error opening Stream: Device unavailable [PaErrorCode -9985]")
    with pytest.raises(DeviceError, match=r"'USB Camera' -> 'Built-in \[Analog\]' at 48000 Hz.*the device is busy"):
        LiveStream(build("identity"), input="camera", isolated=False)


def test_a_rate_the_device_lacks_is_refused_with_one_it_has(sound):
    Stream.refusal = PortAudioError("Error opening Stream: Invalid sample rate [PaErrorCode -9997]")
    with pytest.raises(DeviceError, match=r"at 12345 Hz.*such as 48000"):
        LiveStream(Delay(0, sample_rate=12_345))


def test_the_stream_asks_for_float_blocks_and_reports_latency_in_samples(sound):
    stream = LiveStream(Delay(10), input="built-in", output="built-in", block_size=64)
    asked = Stream.opened[0].options
    assert asked["device"] == (0, 0) and asked["channels"] == (2, 2) and asked["dtype"] == "float32"
    assert (asked["samplerate"], asked["blocksize"], asked["latency"]) == (48_000, 64, "low")
    assert (stream.latency.input_device, stream.latency.output_device) == (48, 144)
    assert stream.latency.total == 48 + 10 + 64 + 144
    stream.close()
    assert Stream.opened[0].closed


@pytest.mark.parametrize("has", ["both", "input", "neither"])
def test_alsa_is_asked_for_48_khz_where_it_would_run_at_44_100_hz(sound, has):
    def check(able):
        def settings(device, samplerate):
            assert (device, samplerate) == (0, 48_000)
            if not able:
                raise PortAudioError("Invalid sample rate")

        return settings

    sound.query_devices = lambda: [{**device, "default_samplerate": 44_100.0} for device in DEVICES]
    sound.check_input_settings, sound.check_output_settings = check(has != "neither"), check(has == "both")
    backend = portaudio_module.PortAudioBackend()
    assert backend.native_rate("built-in", "built-in") == (48_000 if has == "both" else 44_100)
    assert backend.native_rate("headset, jack", "headset, jack") == 44_100


@pytest.mark.parametrize("nonsense", [2**32 / 48_000, -0.02, float("nan"), float("inf")])
def test_a_latency_no_device_can_have_counts_as_not_reported(sound, monkeypatch, nonsense):
    monkeypatch.setattr(Stream, "reported", (nonsense, 0.003))
    with LiveStream(Delay(10), input="built-in", output="built-in", block_size=64) as stream:
        assert (stream.latency.input_device, stream.latency.output_device) == (0, 144)
        assert stream.latency.total == 10 + 64 + 144


def test_device_flags_become_xruns_and_a_vanished_device_is_opened_again(sound):
    stream = LiveStream(Delay(0), input="built-in", output="built-in", block_size=64)
    with stream:
        options = Stream.opened[0].options
        flags = types.SimpleNamespace(
            input_overflow=True, input_underflow=False, output_underflow=True, output_overflow=False
        )
        out = np.full((64, 2), np.nan, np.float32)
        options["callback"](np.zeros((64, 2), np.float32), out, 64, TIMES, flags)
        assert stream.stats.xruns == 2 and np.all(out == 0)
        options["finished_callback"]()
        deadline = time.monotonic() + 20
        while len(Stream.opened) == 1 or not Stream.opened[1].active:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert stream.active
    assert [event.kind for event in stream.events()][:2] == ["xrun", "lost"]


def test_a_sound_system_that_holds_audio_back_is_opened_anew_and_given_more_room(sound):
    late = types.SimpleNamespace(inputBufferAdcTime=9.0, outputBufferDacTime=10.0)
    seen = []
    with LiveStream(
        Delay(0), input="built-in", output="built-in", block_size=4_800, on_event=seen.append, latency=150.0
    ) as stream:
        latency = stream.latency
        for turn in range(3):
            callback = Stream.opened[turn].options["callback"]
            for times in [TIMES] * 20 + [late] * 10:
                assert [event.kind for event in seen] == ["lost", "back"] * turn
                callback(np.zeros((4_800, 2), np.float32), np.zeros((4_800, 2), np.float32), 4_800, times, None)
                assert stream._runner.engine.wait_idle(10.0)
            deadline = time.monotonic() + 20
            while len(seen) < 2 * turn + 2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        assert stream.latency == latency
    assert seen[0].message == "the sound system holds back 1000 ms of audio; waiting for it to come back"
    assert [opened.options["latency"] for opened in Stream.opened] == ["low", "low", "high", "high"]


def test_two_devices_are_two_streams_with_a_bridge_between(sound):
    found = [
        {**device, "default_samplerate": 44_100.0 if index == 2 else 48_000.0} for index, device in enumerate(DEVICES)
    ]
    sound.query_devices = lambda: found
    stream = LiveStream(Delay(0), input="camera", output="built-in", block_size=128)
    source, sink = (opened.options for opened in Stream.opened)
    assert (source["device"], source["channels"], source["samplerate"], source["blocksize"]) == (2, 1, 44_100, 118)
    assert (sink["device"], sink["channels"], sink["samplerate"], sink["blocksize"]) == (0, 2, 48_000, 128)
    assert stream.latency.input_device > 48 + 128  # the device and the bridge
    with stream:
        out = np.zeros((128, 2), np.float32)
        for _ in range(40):
            source["callback"](np.full((118, 1), 0.5, np.float32), 118, None, None)
            time.sleep(0.002)
            sink["callback"](out, 128, None, None)
            assert stream._runner.engine.wait_idle(10.0)
        assert np.allclose(out, 0.5, atol=1e-3)
        deadline = time.monotonic() + 10
        while stream.stats.drift_ppm is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert all(opened.closed for opened in Stream.opened)


def test_stopping_by_request_is_no_event(sound):
    stream = LiveStream(Delay(0), block_size=64)
    with stream:
        stream.stop()
        Stream.opened[0].options["finished_callback"]()
    assert stream.events() == []


def test_a_started_stream_is_not_started_twice_and_a_closed_one_never(sound):
    with LiveStream(Delay(0), block_size=64) as stream, pytest.raises(StreamStateError, match="it is started"):
        stream.start()
    with pytest.raises(StreamStateError, match="it is closed"):
        stream.start()


def test_a_number_is_remembered_as_a_name_and_a_remembered_device_that_is_gone_is_told_so(
    sound, build, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    started = []
    monkeypatch.setattr(live, "watch", lambda stream, **options: started.append(stream) or 0)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("rtae.live.LiveStream", lambda model, **options: LiveStream(Delay(0), **in_process(options)))
    assert main(["live", "-i", "2", "-o", "0"]) == 0
    assert load_settings().input == "USB Camera, ALSA" and load_settings().output == "Built-in [Analog], ALSA"
    started.pop().close()
    sound.found = DEVICES[:2]
    assert main(["live"]) == 2
    assert "('USB Camera, ALSA' is from last time: --input default)" in capsys.readouterr().err
    assert main(["live", "-i", "default"]) == 0
    assert load_settings().input is None
    started.pop().close()


def in_process(options):
    return {name: options[name] for name in ("input", "output")}


def test_without_portaudio_live_says_what_to_install_and_files_still_work(tmp_path, build):
    # A module of that name in front of the real one; the engine process inherits the path.
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")')
    program = """
        import sys
        model, noisy, clean, path = sys.argv[1:]
        sys.path.insert(0, path)
        from rtae.cli import live, main
        print(main(["devices"]), main(["live", "-m", model]), main(["denoise", noisy, "-o", clean, "-m", model]))
    """
    noisy, clean = tmp_path / "noisy.wav", tmp_path / "clean.wav"
    soundfile.write(noisy, np.full(4_800, 0.25), 48_000)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(build("identity")), str(noisy), str(clean), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "2 2 0"
    assert result.stderr.count("apt install libportaudio2") == 2
    assert "Traceback" not in result.stderr
    np.testing.assert_array_equal(soundfile.read(clean)[0], soundfile.read(noisy)[0])
