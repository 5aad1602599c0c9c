"""The virtual microphone's surroundings: what is missing, loopback devices elsewhere, the login service."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from rtae.cli import main
from rtae.errors import DeviceError, MissingDependencyError, ParameterError
from rtae.live import Device, FakeBackend, LiveStream, cables
from rtae.live.virtual_mic import connect


def test_without_pulsectl_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pulsectl", None)
    with pytest.raises(MissingDependencyError, match=r"pip install \"rtae\[live\]\""):
        connect()


def test_without_a_server_it_says_what_to_start(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/nobody")
    with pytest.raises(DeviceError, match="no PulseAudio or PipeWire server answers"):
        connect()


def cable(name):
    return Device(3, name, "Core Audio", 0, 2, 48_000, False, False)


@pytest.mark.parametrize(
    "platform, name, advice",
    [("darwin", "BlackHole 2ch", "brew install"), ("win32", "CABLE Input (VB)", "vb-audio.com")],
)
def test_elsewhere_the_loopback_device_is_found_or_named(monkeypatch, platform, name, advice):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(cables, "devices", lambda: [cable("Speakers"), cable(name)])
    assert cables.find_cable().name == name
    monkeypatch.setattr(cables, "devices", lambda: [cable("Speakers")])
    with pytest.raises(DeviceError, match=f"needs a loopback device; install .*{advice}"):
        cables.find_cable()


def test_the_virtual_microphone_is_an_output_of_its_own():
    with pytest.raises(ParameterError, match="an output of its own"):
        LiveStream("denoise", virtual_microphone=True, output="speakers")
    with pytest.raises(ParameterError, match="an output of its own"):
        LiveStream("denoise", virtual_microphone=True, backend=FakeBackend())


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without systemd, and a folder for programs."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return tmp_path


def test_the_service_is_written_switched_on_and_removed(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    (home / "50%.onnx").touch()
    program = home / "bin" / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {home}/calls\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert (
        main(
            ["mic", "--install-service", "--model", "50%.onnx", "--input", "Ann's $5 Mic", "--attenuation-limit", "12"]
        )
        == 0
    )
    unit = home / "config" / "systemd" / "user" / "rtae-mic.service"
    command = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    assert command == (
        f"ExecStart={sys.executable} -m rtae mic --latency low --model {home}/50%%.onnx"
        ' --input "Ann\'s $$5 Mic" --attenuation-limit 12.0'
    )
    assert "runs now and at every login" in capsys.readouterr().out
    assert main(["mic", "--uninstall-service"]) == 0
    assert not unit.exists() and os.listdir(unit.parent) == []
    assert (home / "calls").read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable --now rtae-mic.service",
        "--user disable --now rtae-mic.service",
        "--user daemon-reload",
    ]
    assert main(["mic", "--uninstall-service"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_without_systemd_the_unit_is_written_and_the_command_told(home, capsys):
    assert main(["mic", "--install-service"]) == 0
    assert "systemctl --user enable --now rtae-mic.service" in capsys.readouterr().out
    # What it runs with does not change with the settings.
    unit = home / "config" / "systemd" / "user" / "rtae-mic.service"
    assert "mic --latency low --model denoise --input default --attenuation-limit none\n" in unit.read_text()


def test_a_service_needs_a_system_that_has_them_and_a_place_to_write(home, monkeypatch, capsys):
    (home / "config").mkdir()
    (home / "config" / "systemd").write_text("a file where the folder should be")
    assert main(["mic", "--uninstall-service"]) == 0
    assert main(["mic", "--install-service"]) == 2
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["mic", "--install-service"]) == 2
    assert "systemd unit, which darwin does not have" in capsys.readouterr().err
