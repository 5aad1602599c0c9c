"""A PipeWire desktop of our own, without a screen: session bus, server, session manager, PulseAudio socket."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from jack_lab import end


class PipeWire:
    """A PipeWire server in a folder of its own, with a silent sink ``fakemic`` whose monitor is the microphone."""

    def __init__(self, folder: Path) -> None:
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        self._log = (folder / "pipewire.log").open("wb")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "PIPEWIRE_"))},
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_CONFIG_HOME": str(folder),
            "XDG_STATE_HOME": str(folder),
            "HOME": str(folder),
            "JACK_NO_START_SERVER": "1",
        }
        self._bus = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._bus.stdout is not None
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = self._bus.stdout.readline().strip()
        self._programs: list[subprocess.Popen[bytes]] = []
        self.start()

    def start(self) -> None:
        for program in ("pipewire", "wireplumber", "pipewire-pulse"):
            self._programs.append(
                subprocess.Popen([program], env=self.environment, stdout=self._log, stderr=subprocess.STDOUT)
            )
            time.sleep(0.3)
        deadline = time.monotonic() + 30
        while self.pactl("info", check=False).returncode:
            assert time.monotonic() < deadline, "PipeWire did not start"
            time.sleep(0.2)
        self.pactl("load-module", "module-null-sink", "sink_name=fakemic", "rate=48000", "channels=1")
        self.pactl("set-default-source", "fakemic.monitor")

    def stop(self) -> None:
        while self._programs:
            end(self._programs.pop())

    def close(self) -> None:
        self.stop()
        end(self._bus)
        assert self._bus.stdout is not None
        self._bus.stdout.close()
        self._log.close()

    def pactl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pactl", *arguments], env=self.environment, capture_output=True, text=True, check=check, timeout=30
        )

    def sources(self) -> list[str]:
        return [line.split("\t")[1] for line in self.pactl("list", "short", "sources").stdout.splitlines()]
