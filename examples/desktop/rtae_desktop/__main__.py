"""``python -m rtae_desktop``: the program."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QSystemTrayIcon

from rtae.audio import AudioReader
from rtae.errors import RtaeError
from rtae.live import FileBackend, LiveStream
from rtae.live.backend import Audio
from rtae_desktop import theme
from rtae_desktop.player import Options, Player, Tell, open_devices
from rtae_desktop.tray import Tray
from rtae_desktop.window import Window


def over_and_over(path: Path) -> Iterator[Audio]:
    """Give the blocks of a sound file for ever."""
    while True:
        with AudioReader(path) as reader:
            yield from reader.blocks()


def open_file(path: Path, options: Options, tell: Tell) -> LiveStream:
    """Open a stream that hears a sound file instead of a microphone, and plays nowhere."""
    with AudioReader(path) as reader:
        rate = reader.sample_rate
    backend = FileBackend(over_and_over(path), rate, sink=lambda block: None)
    return LiveStream(options.model, latency=options.latency, backend=backend, on_event=tell)


def main(words: list[str]) -> int:
    """Run the program until its window is closed."""
    parser = argparse.ArgumentParser(prog="rtae_desktop", description=__doc__)
    parser.add_argument("--file", type=Path, metavar="SOUND", help="hear this file, over and over, without any device")
    parser.add_argument("--start", action="store_true", help="start at once")
    arguments = parser.parse_args(words)
    file: Path | None = arguments.file
    if file is not None:
        try:
            AudioReader(file).close()
        except RtaeError as error:
            print(f"rtae_desktop: {error}", file=sys.stderr)
            return 2
    program = QApplication(sys.argv[:1])
    program.setApplicationName("rtae")
    program.setStyleSheet(theme.STYLE)
    opener = open_devices if file is None else lambda options, tell: open_file(file, options, tell)
    window = Window(Player(opener), fixed_devices=file is not None)
    window.said.connect(lambda text: print(f"rtae: {text}", flush=True))
    tray = Tray(window)
    if QSystemTrayIcon.isSystemTrayAvailable():
        tray.show()
        window.stays = True
        program.setQuitOnLastWindowClosed(False)
    program.aboutToQuit.connect(window.end)
    window.show()
    if arguments.start:
        window.toggle()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Later: a signal can come while the window is being painted.
        signal.signal(number, lambda number, frame: QTimer.singleShot(0, window.quit))
    # Qt sleeps in its own code: now and then Python must look whether there was a signal.
    awake = QTimer(program, interval=200)
    awake.timeout.connect(lambda: None)
    awake.start()
    return program.exec()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
