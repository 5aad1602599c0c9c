"""Small widgets of the window: a level meter, a switch, a choice of one, a bar of latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QHBoxLayout, QPushButton, QWidget

from rtae_desktop import theme

LOWEST_DB = -70.0
FALL_DB = 0.6
"""By how much the mark of a meter's peak falls each time it is shown."""


class Meter(QWidget):
    """A level in dBFS as a standing bar with a mark at its recent peak, and as a number below."""

    def __init__(self) -> None:
        super().__init__()
        self._level = self._peak = LOWEST_DB
        self.setFixedWidth(26)

    def show_level(self, level_db: float) -> None:
        """Show a level."""
        self._level = min(max(level_db, LOWEST_DB), 0.0)
        self._peak = max(self._level, self._peak - FALL_DB)
        self.setToolTip(f"{level_db:.0f} dBFS")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the bar."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        whole = QRectF(self.rect())
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        if self._level > LOWEST_DB:
            painter.setPen(QColor(theme.MUTED))
            text = f"{self._level:.0f}".replace("-", "\N{MINUS SIGN}")
            painter.drawText(whole, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignHCenter, text)
        area = whole.adjusted(6, 0, -6, -18)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.BACK))
        painter.drawRoundedRect(area, 5, 5)
        colours = QLinearGradient(0, area.bottom(), 0, 0)
        for place, colour in ((0.0, "#2f9e88"), (0.7, theme.ACCENT), (0.88, theme.WARN), (1.0, theme.BAD)):
            colours.setColorAt(place, QColor(colour))
        painter.setBrush(colours)
        top = area.height() * self._level / LOWEST_DB
        if self._level > LOWEST_DB:
            painter.drawRoundedRect(area.adjusted(2, top, -2, -2), 3, 3)
        mark = area.height() * self._peak / LOWEST_DB
        painter.setBrush(QColor(theme.TEXT))
        if self._peak > LOWEST_DB:
            painter.drawRect(QRectF(area.left() + 2, min(mark, area.height() - 4), area.width() - 4, 2))


class Switch(QAbstractButton):
    """On or off."""

    def __init__(self) -> None:
        super().__init__()
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        """Return its size."""
        return QSize(38, 22)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(1.0 if self.isEnabled() else 0.4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.ACCENT if self.isChecked() else theme.LINE))
        painter.drawRoundedRect(QRectF(0, 0, 38, 22), 11, 11)
        painter.setBrush(QColor(theme.TEXT))
        painter.drawEllipse(QRectF(19 if self.isChecked() else 3, 3, 16, 16))


class Segments(QWidget):
    """A choice of one of a few, side by side."""

    chosen = Signal(str)

    def __init__(self, choices: Mapping[str, str]) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for place, (value, text) in enumerate(choices.items()):
            button = QPushButton(text, objectName="segment", checkable=True)
            button.setProperty("place", {0: "first", len(choices) - 1: "last"}.get(place, "middle"))
            button.clicked.connect(lambda _, value=value: self.chosen.emit(value))
            group.addButton(button)
            layout.addWidget(button)
            self.buttons[value] = button

    def choose(self, value: str) -> None:
        """Show a value as chosen, without telling."""
        self.buttons[value].setChecked(True)


class LatencyBar(QWidget):
    """Where the time between microphone and ear goes, part by part."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: Sequence[tuple[str, str, float]] = ()
        self.setFixedHeight(40)

    def show_parts(self, parts_ms: Mapping[str, float]) -> None:
        """Show parts in milliseconds, by the names of :meth:`rtae.live.Latency.parts_ms`."""
        self._parts = [(*theme.PARTS[name], value) for name, value in parts_ms.items()]
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the bar and what its colours mean."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.BACK))
        painter.drawRoundedRect(QRectF(0, 0, self.width(), 12), 6, 6)
        total = sum(value for _, _, value in self._parts)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        x, left = 0.0, 0.0
        for name, colour, value in self._parts:
            if value <= 0:
                continue
            width = self.width() * value / total
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colour))
            painter.drawRoundedRect(QRectF(x, 0, max(width - 2, 2), 12), 3, 3)
            x += width
            painter.drawEllipse(QRectF(left, 24, 8, 8))
            painter.setPen(QColor(theme.MUTED))
            text = f"{name} {value:.1f}"
            painter.drawText(QRectF(left + 13, 20, 160, 16), Qt.AlignmentFlag.AlignVCenter, text)
            left += 13 + painter.fontMetrics().horizontalAdvance(text) + 18
