"""The desktop program without a screen: its window, its streams, the command of its README."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

os.environ["QT_QPA_PLATFORM"] = "offscreen"
sys.path.insert(0, str(Path(__file__).with_name("live")))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "desktop"))

from jack_lab import JackServer
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from rtae_desktop import theme
from rtae_desktop.devices import sound_devices
from rtae_desktop.player import Options, Player, open_devices
from rtae_desktop.spectrogram import ROWS, Columns, mel
from rtae_desktop.tray import Tray
from rtae_desktop.window import Window

from rtae.errors import DeviceError
from rtae.live import FakeBackend, FileBackend, LiveStream

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "desktop"
CLIP = ROOT / "tests" / "data" / "full-band-17dB-noisy.flac"
DEVICES = [
    {"name": "Laptop", "host_api": "ALSA", "input_channels": 2, "output_channels": 2},
    {"name": "USB microphone", "host_api": "ALSA", "input_channels": 1, "output_channels": 0},
]


@pytest.fixture(scope="session")
def program():
    program = QApplication.instance() or QApplication([])
    program.setStyleSheet(theme.STYLE)
    return program


class Streams:
    """Opens streams on clocks of their own, and remembers what was asked for."""

    def __init__(self, model):
        self.model = model
        self.asked = []
        self.backend = None
        self.error = None
        self.open_now = threading.Event()
        self.open_now.set()
        self.closed = 0

    def __call__(self, options, tell):
        self.asked.append(options)
        assert self.open_now.wait(60)
        if self.error is not None:
            raise self.error
        self.backend = FakeBackend()
        return LiveStream(self.model, backend=self.backend, block_size=480, latency=options.latency, on_event=tell)


@pytest.fixture
def streams(build):
    return Streams(build("gain"))


@pytest.fixture
def window(program, streams):
    window = Window(Player(streams), look=lambda: DEVICES)
    window.tray = Tray(window)
    window.show()
    until(program, lambda: window.input.count() == 3 and window.model.count() > 1)
    yield window
    streams.open_now.set()
    window.quit()
    assert not window.isVisible()


def until(program, condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        program.processEvents()
        time.sleep(0.002)


def shown(window):
    return window.pill.property("state")


def start(program, window):
    window.power.click()
    until(program, lambda: shown(window) == "live")


def brightness(picture):
    return int(picture._shades.max())


def test_it_shows_what_the_stream_does(program, window, streams):
    start(program, window)
    assert window.pill.text() == "gain · 48 kHz" and window.power.text() == "Stop"
    assert window.total.text() == f"{window.player.stream.latency.total_ms:.1f} ms"
    assert brightness(window.before) == brightness(window.after) == 0
    tone = (0.01 * np.sin(2 * np.pi * 1_000 / 48_000 * np.arange(48_000))).astype(np.float32)
    for block in tone.reshape(-1, 480, 1):
        streams.backend.step(block)
        window.refresh()
    # The model takes 20 dB away, a quarter of the colours.
    before, after = brightness(window.before), brightness(window.after)
    assert before == int(255 * (105 - 40) / 80) and after == int(255 * (105 - 60) / 80)
    (row,) = np.unique(window.before._shades[:, -50:].argmax(axis=0))
    assert row == pytest.approx(ROWS * (mel(20_000) - mel(1_000)) / (mel(20_000) - mel(80)), abs=2)
    levels = [float(meter.toolTip().removesuffix(" dBFS")) for meter in window.meters]
    assert levels == pytest.approx([-43.0, -63.0], abs=1.5)  # the meters take half a second
    assert re.fullmatch(r"taken away 20 dB   load \d+ %   late 0   xruns 0", window.numbers.text())
    colours = window.grab().toImage()
    assert len({colours.pixel(x, y) for x in range(0, 700, 7) for y in range(0, 700, 7)}) > 20
    window.power.click()
    until(program, lambda: shown(window) == "stopped")
    assert window.player.stream is None and window.power.text() == "Start"


def test_what_is_heard_is_what_is_seen(program, window, streams):
    start(program, window)
    print("seed 8")
    random = np.random.default_rng(8)
    seen = {}
    for value in ("processed", "dry", "removed"):
        window.heard.buttons[value].click()
        assert window.player.stream.listen == value
        for _ in range(60):
            streams.backend.step(random.uniform(-0.05, 0.05, (480, 1)).astype(np.float32))
            window.refresh()
        seen[value] = float(window.after._shades[:, -20:].mean() - window.before._shades[:, -20:].mean())
    assert seen["processed"] == pytest.approx(-20 * 255 / 80, abs=1.5)
    assert seen["dry"] == 0.0
    assert seen["removed"] == pytest.approx(20 * np.log10(0.9) * 255 / 80, abs=1.0)


def test_strength_and_bypass_act_on_the_running_stream_and_the_next(program, window):
    start(program, window)
    stream = window.player.stream
    assert stream.attenuation_limit_db is None and window.strength_text.text() == "all it can"
    window.strength.setValue(12)
    assert stream.attenuation_limit_db == 12.0 and window.strength_text.text() == "at most 12 dB"
    QTest.keyClick(window, Qt.Key.Key_B)
    assert stream.bypass and window.heard.buttons["dry"].isChecked() and window.tray.bypass.isChecked()
    window.tray.bypass.trigger()
    assert not stream.bypass and window.heard.buttons["processed"].isChecked()
    window.tray.bypass.trigger()
    window.latency.setCurrentIndex(window.latency.findText("Safest"))
    until(program, lambda: window.player.stream not in (None, stream))
    until(program, lambda: shown(window) == "live")
    assert window.player.stream.bypass and window.player.stream.attenuation_limit_db == 12.0


def test_choices_open_another_stream(program, window, streams):
    window.input.setCurrentIndex(2)
    assert [window.output.itemText(place) for place in range(window.output.count())] == [
        "System default",
        "Laptop, ALSA",
    ]
    assert streams.asked == []
    start(program, window)
    assert streams.asked == [Options(input="USB microphone, ALSA")]
    window.output.setCurrentIndex(1)
    until(program, lambda: len(streams.asked) == 2)
    assert streams.asked[1] == Options(input="USB microphone, ALSA", output="Laptop, ALSA")
    until(program, lambda: shown(window) == "live")
    window.tray.virtual.trigger()
    assert window.virtual.isChecked() and not window.output.isEnabled()
    until(program, lambda: len(streams.asked) == 3)
    assert streams.asked[2].virtual_microphone
    window.virtual.click()
    assert not window.tray.virtual.isChecked() and window.output.isEnabled()


def test_a_model_of_a_file_can_be_chosen(program, window, streams, build, monkeypatch):
    from rtae_desktop import window as module

    path = str(build("identity"))
    chosen = iter([(path, ""), ("", "")])
    entries = window.model.count()
    monkeypatch.setattr(module.QFileDialog, "getOpenFileName", lambda *words: next(chosen))
    for expected in (path, "denoise"):
        window.model.setCurrentIndex(window.model.count() - 1)
        window.model.activated.emit(window.model.currentIndex())
        assert window.options.model == expected
    assert window.model.count() == entries + 1


def test_the_window_goes_on_while_devices_are_opened_and_only_the_newest_wish_counts(program, window, streams):
    streams.open_now.clear()
    window.power.click()
    until(program, lambda: shown(window) == "opening")
    for name in ("Safest", "60 ms", "120 ms", "30 ms"):
        window.latency.setCurrentIndex(window.latency.findText(name))
        window.strength.setValue(window.strength.value() - 1)
        program.processEvents()
    assert shown(window) == "opening" and window.player.stream is None
    streams.open_now.set()
    until(program, lambda: len(streams.asked) > 1 and shown(window) == "live")
    until(program, lambda: window.player.stream is not None)
    assert [options.latency for options in streams.asked] == ["low", 30.0]
    assert window.player.stream.attenuation_limit_db == 36.0


def test_what_cannot_be_opened_is_said(program, window, streams):
    streams.error = DeviceError("input device 'USB' is gone; connect it")
    window.power.click()
    until(program, lambda: window.message.text() == "input device 'USB' is gone; connect it")
    until(program, lambda: shown(window) == "stopped")
    assert window.message.property("bad") == "true" and window.power.text() == "Start"
    streams.error = None
    start(program, window)
    assert window.message.property("bad") == "false"


def test_an_end_is_said_and_the_stream_is_closed(program, window, streams, build):
    backend = FileBackend(np.zeros(4_800, np.float32), 48_000, realtime=False)
    window.player._open = lambda options, tell: LiveStream(build("gain"), backend=backend, on_event=tell)
    window.power.click()
    until(program, lambda: window.message.text() == "the file is at its end" and shown(window) == "stopped")


def test_closing_the_window_leaves_the_stream_to_the_tray(program, window):
    start(program, window)
    window.stays = True
    window.close()
    assert not window.isVisible() and window.player.stream.active
    (show,) = (action for action in window.tray.contextMenu().actions() if action.text().startswith("Show"))
    assert isinstance(show, QAction)
    show.trigger()
    assert window.isVisible()


def test_what_opens_while_the_window_closes_is_closed_too(program, streams):
    streams.open_now.clear()
    player = Player(streams)
    player.start(Options())
    until(program, lambda: streams.asked)
    closing = threading.Thread(target=player.close)
    closing.start()
    until(program, lambda: not player._wishes.empty())
    streams.open_now.set()
    closing.join()
    assert player.stream is None and streams.backend is not None


def test_a_hundred_windows_leave_no_thread(program, build):
    before = threading.active_count()
    for _ in range(100):
        player = Player(Streams(build("gain")))
        player.start(Options())
        player.close()
        assert player.stream is None
    assert threading.active_count() == before


def test_columns_do_not_depend_on_the_pieces():
    print("seed 6")
    audio = np.random.default_rng(6).uniform(-0.5, 0.5, 48_000).astype(np.float32)
    whole = Columns(48_000).add(audio)
    pieces, columns, place = Columns(48_000), [], 0
    for size in [1, 479, 480, 481, 5_000, 7, 41_552]:
        columns.append(pieces.add(audio[place : place + size]))
        place += size
    assert place == len(audio) and whole.shape == (ROWS, 100) and whole.any()
    np.testing.assert_array_equal(np.concatenate(columns, axis=1), whole)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = JackServer(tmp_path_factory.mktemp("jack"), 1024)
    yield server
    server.close()


@pytest.fixture
def jack(server, monkeypatch):
    for name in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER", "JACK_NO_AUDIO_RESERVATION"):
        monkeypatch.setenv(name, server.environment[name])


def test_the_devices_are_listed(jack):
    (found,) = (device for device in sound_devices() if "JACK" in device["host_api"])
    assert (found["name"], found["input_channels"], found["output_channels"]) == ("system", 1, 1)


def test_a_window_that_stands_still_does_not_stop_the_audio(jack, program, build):
    def open_stream(options, tell):
        return open_devices(Options(str(build("gain")), "system, jack", "system, jack", "safe"), tell)

    window = Window(Player(open_stream), look=lambda: DEVICES)
    try:
        start(program, window)
        stream = window.player.stream
        assert stream.isolated
        first, deadline = stream.stats.blocks, time.monotonic() + 60
        # The window's thread neither shows anything nor lets another thread of the program run for long.
        while stream.stats.blocks < first + 200:
            assert time.monotonic() < deadline
        assert shown(window) == "live" and stream.active
    finally:
        window.quit()
    assert window.player.stream is None


def test_one_command_of_the_readme_works(tmp_path):
    assert "`examples/desktop/run.sh --file recording.flac --start`" in (SOURCE / "README.md").read_text()
    words = [SOURCE / "run.sh", "--file", CLIP, "--start"]
    environment = {**os.environ, "PYTHON": sys.executable}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        try:
            assert done.stdout.readline() == "rtae: file → file\n"
            done.send_signal(signal.SIGTERM)
            errors = done.communicate(timeout=60)[1]
        finally:
            done.kill()
    assert done.returncode == 0
    assert [line for line in errors.splitlines() if "propagateSizeHints" not in line] == []


def test_a_file_that_is_no_sound_is_one_line(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    words = [SOURCE / "run.sh", "--file", tmp_path / "text.wav"]
    done = subprocess.run(words, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("rtae_desktop: ") and done.stderr.count("\n") == 1


def test_the_picture_of_the_readme_is_there():
    (name,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (SOURCE / "README.md").read_text())
    assert (SOURCE / name).stat().st_size > 10_000
