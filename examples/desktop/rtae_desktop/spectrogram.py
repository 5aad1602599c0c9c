"""A spectrogram that scrolls: newest sound at the right, low frequencies at the bottom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QWidget

from rtae_desktop import theme

COLUMN_S, SHOWN_S = 0.01, 6.0
ROWS = 112
LOWEST_HZ, HIGHEST_HZ = 80.0, 20_000.0
FLOOR_DB, TOP_DB = -105.0, -25.0
"""Levels of the darkest and the brightest colour: power in a bin, in dBFS."""

_TICKS_HZ = (250, 1_000, 4_000, 12_000)
_AXIS = 46
"""Room for the frequencies at the right, in pixels."""


def mel(frequency: float) -> float:
    """Return a frequency on the scale of the ear (O'Shaughnessy, "Speech communication", 1987)."""
    return float(2595.0 * np.log10(1.0 + frequency / 700.0))


class Columns:
    """Turns audio, as it comes, into columns of a spectrogram.

    Parameters
    ----------
    sample_rate : int
        Hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._hop = round(COLUMN_S * sample_rate)
        self._window = np.hanning(4 * self._hop).astype(np.float32)
        self._rest = np.zeros(3 * self._hop, np.float32)
        edges = np.linspace(mel(LOWEST_HZ), mel(min(HIGHEST_HZ, 0.49 * sample_rate)), ROWS)
        frequencies = 700.0 * (10.0 ** (edges / 2595.0) - 1.0)
        self._bins = np.round(frequencies * len(self._window) / sample_rate).astype(int)

    def add(self, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Take samples of one channel, give shades of shape ``(ROWS, columns)``, the highest frequency first."""
        self._rest = np.concatenate([self._rest, audio])
        if len(self._rest) < len(self._window):
            return np.zeros((ROWS, 0), np.uint8)
        frames = np.lib.stride_tricks.sliding_window_view(self._rest, len(self._window))[:: self._hop]
        self._rest = self._rest[len(frames) * self._hop :].copy()
        amplitude = np.abs(np.fft.rfft(frames * self._window, axis=1)) * (2.0 / self._window.sum())
        # A row takes the loudest of its bins: high rows have several, low rows share one.
        loudest = np.maximum.reduceat(amplitude, self._bins, axis=1)
        level = 20.0 * np.log10(loudest + 1e-9)
        shades = np.clip((level - FLOOR_DB) / (TOP_DB - FLOOR_DB), 0.0, 1.0) * 255.0
        return np.ascontiguousarray(shades.T[::-1].astype(np.uint8))


class Spectrogram(QWidget):
    """The widget.

    Parameters
    ----------
    title : str
        What is shown, written into its corner.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self._shades = np.zeros((ROWS, round(SHOWN_S / COLUMN_S)), np.uint8)
        self._colours = theme.heat()
        self._columns: Columns | None = None
        self.setMinimumHeight(96)

    def begin(self, sample_rate: int) -> None:
        """Begin with another stream; what is shown stays until it has scrolled away."""
        self._columns = Columns(sample_rate)

    def add(self, audio: npt.NDArray[np.float32]) -> None:
        """Show more audio, of shape ``(samples, channels)``."""
        if self._columns is None or not len(audio):
            return
        new = self._columns.add(audio.mean(axis=1))[:, -self._shades.shape[1] :]
        if new.shape[1]:
            self._shades = np.ascontiguousarray(np.concatenate([self._shades[:, new.shape[1] :], new], axis=1))
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the picture, its title and the frequencies."""
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        area = QRectF(self.rect()).adjusted(0, 0, -_AXIS, 0)
        rows, columns = self._shades.shape
        image = QImage(self._shades.data, columns, rows, columns, QImage.Format.Format_Indexed8)
        image.setColorTable(self._colours)
        outline = QPainterPath()
        outline.addRoundedRect(area, 8, 8)
        painter.save()
        painter.setClipPath(outline)
        painter.drawImage(area, image)
        painter.restore()
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        for second in range(1, round(SHOWN_S)):
            x = area.width() * second / SHOWN_S
            painter.setPen(QColor(255, 255, 255, 30))
            painter.drawLine(QPointF(x, area.height() - 5), QPointF(x, area.height()))
        low, high = mel(LOWEST_HZ), mel(HIGHEST_HZ)
        for tick in _TICKS_HZ:
            y = area.height() * (high - mel(tick)) / (high - low)
            painter.setPen(QColor(255, 255, 255, 30))
            painter.drawLine(QPointF(0, y), QPointF(area.width(), y))
            painter.setPen(QColor(theme.MUTED))
            text = f"{tick // 1000} kHz" if tick >= 1000 else f"{tick} Hz"
            painter.drawText(QRectF(area.width() + 6, y - 8, _AXIS, 16), Qt.AlignmentFlag.AlignVCenter, text)
        font.setPixelSize(12)
        font.setBold(True)
        painter.setFont(font)
        badge = QRectF(8, 8, painter.fontMetrics().horizontalAdvance(self.title) + 16, 20)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 150))
        painter.drawRoundedRect(badge, 6, 6)
        painter.setPen(QColor(theme.TEXT))
        painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, self.title)
