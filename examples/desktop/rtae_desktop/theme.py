"""Colours, style sheet and icon."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap

BACK, CARD, LINE = "#0f1117", "#181b24", "#2a2f3c"
TEXT, MUTED = "#e8eaf0", "#8d94a6"
ACCENT, WARN, BAD = "#4fd1b5", "#f2c14e", "#ef6461"

PARTS = {
    "input_device": ("microphone", "#5b8def"),
    "model": ("model", "#4fd1b5"),
    "hop_wait": ("blocks", "#2f9e88"),
    "headroom": ("safety", "#f2c14e"),
    "output_device": ("output", "#b07df0"),
}
"""Name and colour of each part of a latency."""

_ANCHORS = ("#0b0d14", "#2a1658", "#7d2a78", "#d6496a", "#fb9f5b", "#fff3c4")

STYLE = f"""
* {{ color: {TEXT}; font-size: 13px; }}
QMainWindow, QMenu {{ background: {BACK}; }}
QFrame#card {{ background: {CARD}; border: 1px solid {LINE}; border-radius: 10px; }}
QLabel {{ background: transparent; }}
QLabel:disabled {{ color: {MUTED}; }}
QLabel#title {{ font-size: 20px; font-weight: 700; }}
QLabel#muted {{ color: {MUTED}; font-size: 12px; }}
QLabel#pill {{ border-radius: 11px; padding: 3px 12px; background: {LINE}; color: {MUTED}; font-size: 12px; }}
QLabel#pill[state="live"] {{ background: #123c36; color: {ACCENT}; }}
QLabel#pill[state="opening"] {{ background: #3b3113; color: {WARN}; }}
QLabel#message[bad="true"] {{ color: {BAD}; }}
QComboBox {{ background: {BACK}; border: 1px solid {LINE}; border-radius: 6px; padding: 5px 10px; min-height: 20px; }}
QComboBox:hover, QComboBox:focus {{ border-color: {ACCENT}; }}
QComboBox:disabled {{ color: {MUTED}; }}
QComboBox::drop-down {{ border: none; width: 22px; }}
QComboBox QAbstractItemView {{ background: {CARD}; border: 1px solid {LINE}; selection-background-color: {LINE}; }}
QPushButton {{ background: {LINE}; border: none; border-radius: 6px; padding: 7px 16px; }}
QPushButton:hover {{ background: #363c4c; }}
QPushButton#power {{ background: {ACCENT}; color: #06231e; font-weight: 700; min-width: 70px; }}
QPushButton#power:hover {{ background: #6fe0c6; }}
QPushButton#power[on="true"] {{ background: {LINE}; color: {TEXT}; }}
QPushButton#segment {{ background: {BACK}; border: 1px solid {LINE}; border-radius: 0; color: {MUTED}; }}
QPushButton#segment[place="first"] {{ border-top-left-radius: 6px; border-bottom-left-radius: 6px; }}
QPushButton#segment[place="last"] {{ border-top-right-radius: 6px; border-bottom-right-radius: 6px; }}
QPushButton#segment:checked {{ background: #123c36; border-color: {ACCENT}; color: {ACCENT}; }}
QSlider::groove:horizontal {{ height: 4px; background: {LINE}; border-radius: 2px; }}
QSlider::sub-page:horizontal {{ background: {ACCENT}; border-radius: 2px; }}
QSlider::handle:horizontal {{ background: {TEXT}; width: 16px; margin: -6px 0; border-radius: 8px; }}
QMenu::item {{ padding: 6px 24px; }}
QMenu::item:selected {{ background: {LINE}; }}
QMenu::item:disabled {{ color: {MUTED}; }}
QMenu::indicator {{ width: 8px; height: 8px; margin-left: 8px; border-radius: 4px; border: 1px solid {MUTED}; }}
QMenu::indicator:checked {{ background: {ACCENT}; border-color: {ACCENT}; }}
QMenu {{ border: 1px solid {LINE}; }}
QMenu::separator {{ height: 1px; background: {LINE}; margin: 4px 8px; }}
"""


def heat() -> list[int]:
    """Return 256 colours from silence to loud, for a spectrogram."""
    stops = [QColor(name) for name in _ANCHORS]
    colours = []
    for level in range(256):
        place = level / 255 * (len(stops) - 1)
        low = min(int(place), len(stops) - 2)
        part = place - low
        pairs = zip(stops[low].getRgb()[:3], stops[low + 1].getRgb()[:3], strict=True)
        colours.append(QColor(*(round(a + part * (b - a)) for a, b in pairs)).rgb())
    return colours


def icon(live: bool = True) -> QIcon:
    """Return the program's icon: bars that fall silent, in colour while a stream runs."""
    pixmap = QPixmap(64, 64)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(CARD))
    painter.drawRoundedRect(QRectF(0, 0, 64, 64), 14, 14)
    painter.setBrush(QColor(ACCENT if live else MUTED))
    for place, height in enumerate((34, 46, 26, 12, 6)):
        painter.drawRoundedRect(QRectF(9 + 10 * place, 32 - height / 2, 6, height), 3, 3)
    painter.end()
    return QIcon(pixmap)
