"""The window: what to choose above, what can be seen in the middle, what can be heard below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QColor, QKeySequence, QPainter, QPaintEvent, QPen, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from rtae.live import Stats
from rtae_desktop import theme
from rtae_desktop.devices import Lookup, denoisers, sound_devices
from rtae_desktop.player import Options, Player
from rtae_desktop.spectrogram import Spectrogram
from rtae_desktop.widgets import LatencyBar, Meter, Segments, Switch

PERIOD_MS = 33
"""How often the window looks at the stream."""

LATENCIES: tuple[tuple[str, str | float], ...] = (
    ("Lowest", "low"),
    ("Safest", "safe"),
    ("30 ms", 30.0),
    ("60 ms", 60.0),
    ("120 ms", 120.0),
)
LISTEN = {"processed": "Clean", "dry": "Original", "removed": "Removed"}
FULL_STRENGTH = 40
"""Right end of the slider, in decibels; there the limit is off."""

_OPEN_FILE = "Open a model file …"
_BOX_POLICY = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon


class Choice(QComboBox):
    """A box that asks for news when it is opened."""

    opened = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(_BOX_POLICY)
        self.setMinimumContentsLength(8)
        self.currentTextChanged.connect(self.setToolTip)

    def showPopup(self) -> None:
        """Open."""
        self.opened.emit()
        super().showPopup()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the box, and the arrow that a style sheet takes away."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(theme.MUTED), 1.6))
        x, y = self.width() - 18, self.height() / 2 - 2
        painter.drawPolyline([QPointF(x, y), QPointF(x + 4, y + 4), QPointF(x + 8, y)])

    def offer(self, items: list[tuple[str, object]]) -> None:
        """Replace what is offered, and keep what was chosen if it is still there."""
        if items == [(self.itemText(place), self.itemData(place)) for place in range(self.count())]:
            return
        chosen = self.currentData()
        blocked = self.blockSignals(True)
        self.clear()
        for text, value in items:
            self.addItem(text, value)
        self.setCurrentIndex(max(self.findData(chosen), 0))
        self.blockSignals(blocked)


class Window(QMainWindow):
    """The program's window.

    Parameters
    ----------
    player : Player
        What it shows and steers.
    look : callable, optional
        What lists the sound devices.
    fixed_devices : bool, default False
        The sound comes from elsewhere: no devices are offered.
    """

    state = Signal(str)
    """"opening", "live" or "stopped", once the window shows it."""
    listened = Signal(str)
    """What is heard was changed."""
    said = Signal(str)
    """What the line at the bottom says."""

    def __init__(self, player: Player, look: Callable[[], object] = sound_devices, fixed_devices: bool = False) -> None:
        super().__init__()
        self.player = player
        self.stays = False  # closing only hides it: the tray brings it back
        self._tap = None
        self._place = -1
        self._fixed = fixed_devices
        self._look = Lookup(look)
        self._models = Lookup(denoisers)
        self.setWindowTitle("rtae")
        self.setWindowIcon(theme.icon())
        self._make_widgets()
        self._lay_out()
        self._connect()
        self._show_state("stopped")
        self._models.start()
        if not fixed_devices:
            self._look.start()

    @property
    def options(self) -> Options:
        """What is chosen now."""
        return Options(
            model=self.model.currentData(),
            input=self.input.currentData(),
            output=self.output.currentData(),
            latency=self.latency.currentData(),
            virtual_microphone=self.virtual.isChecked(),
        )

    @property
    def running(self) -> bool:
        """Whether a stream runs or is being opened."""
        return self._state != "stopped"

    def toggle(self) -> None:
        """Start or stop."""
        if self.running:
            self.player.stop()
        else:
            self.player.start(self.options)

    def listen(self, value: str) -> None:
        """Choose what is heard."""
        self.player.listen = value
        self.heard.choose(value)
        self.listened.emit(value)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Hide in the tray if there is one, end otherwise."""
        if self.stays:
            event.ignore()
            self.hide()
            return
        self.end()
        super().closeEvent(event)

    def end(self) -> None:
        """Close the stream and wait for what is under way; nothing is shown any more."""
        self._timer.stop()
        self.player.close()
        for lookup in (self._look, self._models):
            lookup.close()

    def _make_widgets(self) -> None:
        self.input, self.output, self.model, self.latency = Choice(), Choice(), Choice(), Choice()
        for box in (self.input, self.output):
            box.offer([("a recording" if self._fixed else "System default", None)])
            box.setEnabled(not self._fixed)
        self.model.offer([("denoise", "denoise")])
        self.latency.offer(list(LATENCIES))
        # A recording is played in this very process, which the window disturbs: it needs more patience than a device.
        self.latency.setCurrentIndex(self.latency.findText("120 ms") if self._fixed else 0)
        self.virtual = Switch()
        self.virtual.setEnabled(not self._fixed)
        self.power = QPushButton("Start", objectName="power")
        self.pill = QLabel(objectName="pill")
        self.before, self.after = Spectrogram("Microphone"), Spectrogram("Output")
        self.meters = Meter(), Meter()
        self.heard = Segments(LISTEN)
        self.heard.choose("processed")
        self.strength = QSlider(Qt.Orientation.Horizontal, minimum=0, maximum=FULL_STRENGTH, value=FULL_STRENGTH)
        self.strength.setMinimumWidth(110)
        self.strength_text = QLabel(objectName="muted")
        self.strength_text.setMinimumWidth(92)
        self.parts = LatencyBar()
        self.total = QLabel("–")
        self.numbers = QLabel("", objectName="muted")
        self.message = QLabel("", objectName="message", wordWrap=True)
        self._show_strength(FULL_STRENGTH)

    def _lay_out(self) -> None:
        head = _row(_label("rtae", "title"), self.pill, None, self.power)
        choices = QGridLayout(horizontalSpacing=14, verticalSpacing=4)
        for column, (text, box) in enumerate([("Microphone", self.input), ("Output", self.output)]):
            choices.addWidget(_label(text, "muted"), 0, column)
            choices.addWidget(box, 1, column)
        for column, (text, box) in enumerate([("Model", self.model), ("Latency budget", self.latency)]):
            choices.addWidget(_label(text, "muted"), 2, column, Qt.AlignmentFlag.AlignBottom)
            choices.addWidget(box, 3, column)
        hint = _label("Virtual microphone: other programs can choose it in place of yours")
        hint.setEnabled(not self._fixed)
        choices.addLayout(_row(self.virtual, hint, None), 4, 0, 1, 2)
        choices.setRowMinimumHeight(2, 26)
        choices.setRowMinimumHeight(4, 36)
        pictures = QVBoxLayout(spacing=8)
        for picture, meter in zip((self.before, self.after), self.meters, strict=True):
            row = _row(picture, meter)
            row.setStretch(0, 1)
            pictures.addLayout(row, 1)
        sound = _row(
            _label("Hear", "muted"), self.heard, None, _label("Take away", "muted"), self.strength, self.strength_text
        )
        sound.setStretch(4, 2)
        budget = QVBoxLayout(spacing=6)
        budget.addLayout(_row(_label("Microphone to ear", "muted"), self.total, None, self.numbers))
        budget.addWidget(self.parts)
        whole = QVBoxLayout(spacing=12)
        whole.setContentsMargins(18, 16, 18, 14)
        whole.addLayout(head)
        whole.addWidget(_card(choices))
        whole.addWidget(_card(pictures), 1)
        whole.addWidget(_card(sound))
        whole.addWidget(_card(budget))
        whole.addWidget(self.message)
        body = QWidget()
        body.setLayout(whole)
        self.setCentralWidget(body)
        self.resize(760, 780)

    def _connect(self) -> None:
        self.power.clicked.connect(self.toggle)
        self.heard.chosen.connect(self.listen)
        self.strength.valueChanged.connect(self._set_strength)
        self.virtual.toggled.connect(self._set_virtual)
        self.model.activated.connect(self._set_model)
        for box in (self.input, self.output, self.latency):
            box.currentIndexChanged.connect(self._reopen)
        for box in (self.input, self.output):
            box.opened.connect(self._look.start)
        self._look.found.connect(self._offer_devices)
        self._look.failed.connect(lambda text: self._say(text, bad=True))
        self._models.found.connect(self._offer_models)
        self._models.failed.connect(lambda text: self._say(text, bad=True))
        self.player.changed.connect(self._show_state)
        self.player.failed.connect(lambda text: self._say(text, bad=True))
        self.player.happened.connect(self._tell)
        for keys, action in (("Space", self.toggle), ("B", self.toggle_bypass), ("Ctrl+Q", self.quit)):
            QShortcut(QKeySequence(keys), self, activated=action)
        self._timer = QTimer(self, interval=PERIOD_MS)
        self._timer.timeout.connect(self.refresh)

    def toggle_bypass(self) -> None:
        """Switch between the original and the clean signal."""
        self.listen("processed" if self.player.listen == "dry" else "dry")

    def quit(self) -> None:
        """Close for good, and end the program."""
        self.stays = False
        self.close()
        QApplication.quit()

    def _reopen(self) -> None:
        if self.running:
            self.player.start(self.options)

    def _set_virtual(self, on: bool) -> None:
        self.output.setEnabled(not on)
        self._reopen()

    def _set_model(self) -> None:
        if self.model.currentData() is None:
            name, _ = QFileDialog.getOpenFileName(self, "Open a model", "", "Models (*.onnx)")
            models = [(self.model.itemText(place), self.model.itemData(place)) for place in range(self.model.count())]
            if name:
                models.insert(-1, (Path(name).stem, name))
                self.model.offer(models)
            self.model.setCurrentIndex(max(self.model.findData(name), 0))
        self._reopen()

    def _set_strength(self, value: int) -> None:
        self._show_strength(value)
        self.player.limit_db = None if value == FULL_STRENGTH else float(value)

    def _show_strength(self, value: int) -> None:
        self.strength_text.setText("all it can" if value == FULL_STRENGTH else f"at most {value} dB")

    def _offer_devices(self, devices: list[dict]) -> None:
        for box, side in ((self.input, "input"), (self.output, "output")):
            names = [f"{device['name']}, {device['host_api']}" for device in devices if device[f"{side}_channels"]]
            box.offer([("System default", None), *((name, name) for name in names)])
        if not devices and not self.running:
            self._say("No sound device was found: connect one, or start the sound server.", bad=True)

    def _offer_models(self, names: list[str]) -> None:
        self.model.offer([*((name, name) for name in names), (_OPEN_FILE, None)])

    def _show_state(self, state: str) -> None:
        self._state = state
        text = {"live": "live", "opening": "opening …", "stopped": "stopped"}[state]
        if state == "live" and (stream := self.player.stream) is not None:
            rate = stream.latency.sample_rate
            text = f"{stream.name} · {rate / 1000:g} kHz"
            for picture in (self.before, self.after):
                picture.begin(rate)
            self._tap, self._place = stream.tap(), -1
            self.parts.show_parts(stream.latency.parts_ms())
            self.total.setText(f"{stream.latency.total_ms:.1f} ms")
            self._say(f"{stream.input_name} → {stream.output_name}")
            self._timer.start()
        else:
            self._tap = None
            self._timer.stop()
        self.pill.setText(text)
        _set_property(self.pill, "state", state)
        self.power.setText("Stop" if self.running else "Start")
        _set_property(self.power, "on", "true" if self.running else "false")
        self.state.emit(state)

    def refresh(self) -> None:
        """Show what the stream did since the last look; the window does so by itself."""
        stream, tap = self.player.stream, self._tap
        if stream is None or tap is None:
            return
        self._place, before, after = tap.since(self._place)
        heard = {"processed": after, "dry": before, "removed": before - after}[self.player.listen]
        self.before.add(before)
        self.after.add(heard)
        stats = stream.stats
        self.meters[0].show_level(stats.level_in_db)
        self.meters[1].show_level(stats.level_in_db if self.player.listen == "dry" else stats.level_out_db)
        self.numbers.setText(_numbers(stats))

    def _tell(self, kind: str, text: str) -> None:
        self._say(text, bad=kind in ("failed", "lost", "ended"))
        if kind == "ended":
            self.player.stop()

    def _say(self, text: str, bad: bool = False) -> None:
        self.message.setText(text)
        self.said.emit(text)
        _set_property(self.message, "bad", "true" if bad else "false")


def _numbers(stats: Stats) -> str:
    return (
        f"taken away {max(stats.reduction_db, 0.0):.0f} dB   load {100 * stats.load:.0f} %   "
        f"late {stats.late}   xruns {stats.xruns}"
    )


def _label(text: str, name: str = "") -> QLabel:
    return QLabel(text, objectName=name)


def _row(*items: QWidget | None) -> QHBoxLayout:
    """Put widgets side by side; None is empty room."""
    row = QHBoxLayout(spacing=10)
    for item in items:
        if item is None:
            row.addStretch(1)
        else:
            row.addWidget(item)
    return row


def _card(layout: QGridLayout | QHBoxLayout | QVBoxLayout) -> QFrame:
    card = QFrame(objectName="card")
    layout.setContentsMargins(14, 12, 14, 12)
    card.setLayout(layout)
    return card


def _set_property(widget: QWidget, name: str, value: str) -> None:
    """Set a property that the style sheet asks for."""
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)
