"""The icon in the tray: the stream goes on without a window."""

from __future__ import annotations

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from rtae_desktop import theme
from rtae_desktop.window import Window


class Tray(QSystemTrayIcon):
    """The icon and its menu.

    Parameters
    ----------
    window : Window
        What it stands for.
    """

    def __init__(self, window: Window) -> None:
        super().__init__(theme.icon(live=False), window)
        self.window = window
        self.power = QAction("Start", self, triggered=window.toggle)
        self.bypass = QAction("Bypass", self, checkable=True, triggered=self._set_bypass)
        self.virtual = QAction("Virtual microphone", self, checkable=True, triggered=window.virtual.setChecked)
        menu = QMenu(window)
        menu.addAction(QAction("Show the window", self, triggered=self._show))
        menu.addSeparator()
        menu.addActions([self.power, self.bypass, self.virtual])
        menu.addSeparator()
        menu.addAction(QAction("Quit", self, triggered=window.quit))
        self.setContextMenu(menu)
        self.activated.connect(self._clicked)
        window.state.connect(self._show_state)
        window.listened.connect(lambda value: self.bypass.setChecked(value == "dry"))
        window.virtual.toggled.connect(self.virtual.setChecked)
        self.virtual.setEnabled(window.virtual.isEnabled())
        self._show_state("stopped")

    def _set_bypass(self, on: bool) -> None:
        self.window.listen("dry" if on else "processed")

    def _clicked(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason == QSystemTrayIcon.ActivationReason.Trigger:
            self._show()

    def _show(self) -> None:
        self.window.show()
        self.window.raise_()
        self.window.activateWindow()

    def _show_state(self, state: str) -> None:
        self.setIcon(theme.icon(live=state == "live"))
        self.power.setText("Stop" if self.window.running else "Start")
        self.setToolTip(f"rtae: {state}")
