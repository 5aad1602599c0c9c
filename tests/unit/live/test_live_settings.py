"""Settings that persist."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rtae.cli import main
from rtae.errors import ParameterError
from rtae.live.settings import Settings, load_settings, save_settings, settings_path


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "rtae" / "settings.json"


def test_settings_survive_and_leave_no_other_file(config):
    assert load_settings() == Settings()
    wanted = Settings(input="USB", model="denoise", attenuation_limit_db=12.0)
    save_settings(wanted)
    assert load_settings() == wanted
    assert list(config.parent.iterdir()) == [config]


def test_each_platform_has_its_place(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert settings_path() == Path("/home/me/.config/rtae/settings.json")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert settings_path() == Path("/home/me/Library/Application Support/rtae/settings.json")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", "/users/me/roaming")
    assert settings_path() == Path("/users/me/roaming/rtae/settings.json")


@pytest.mark.parametrize(
    "text, reason",
    [
        ("{", "Expecting property name"),
        ("[]", "not a JSON object"),
        ('{"model": 3}', "model is 3"),
        ('{"attenuation_limit_db": -1}', "attenuation_limit_db is -1"),
        ('{"attenuation_limit_db": true}', "attenuation_limit_db is True"),
        ("\udcff", "utf-8"),
    ],
)
def test_a_damaged_file_is_named_and_not_guessed_at(config, text, reason):
    config.parent.mkdir()
    config.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ParameterError, match=f"{reason}.*correct the file or delete it"):
        load_settings()


def test_a_place_that_cannot_be_written_is_named(config):
    config.parent.write_text("a file where the folder should be")
    with pytest.raises(ParameterError, match="cannot save the settings to"):
        save_settings(Settings())


def test_newer_fields_are_left_alone(config):
    config.parent.mkdir()
    config.write_text(json.dumps({"input": "USB", "colour": "green"}))
    assert load_settings() == Settings(input="USB")


def test_show_config_tells_values_and_origins(config, capsys):
    save_settings(Settings(input="USB", model="denoise"))
    assert main(["live", "--show-config", "--model", "other.onnx", "--attenuation-limit", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"settings file: {config}",
        "input: USB (file)",
        "output: default (default)",
        "model: other.onnx (command line)",
        "attenuation_limit_db: 9.0 (command line)",
    ]


def test_the_command_line_takes_back_what_the_file_says(config, capsys):
    save_settings(Settings(input="USB", output="HDMI", model="other.onnx", attenuation_limit_db=12.0))
    flags = ["-i", "default", "-o", "default", "-m", "denoise", "--attenuation-limit", "none"]
    assert main(["live", "--show-config", *flags]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "input: default (default)",
        "output: default (default)",
        "model: denoise (default)",
        "attenuation_limit_db: none (default)",
    ]


def test_a_model_file_is_remembered_wherever_the_next_stream_is_started(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.onnx").touch()
    assert main(["live", "--show-config", "-m", "mine.onnx"]) == 0
    assert f"model: {tmp_path}/mine.onnx (command line)" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["loud", ""])
def test_a_limit_that_is_none_of_them_is_refused(config, word, capsys):
    assert main(["live", "--show-config", "--attenuation-limit", word]) == 2
    assert "is neither a number of decibels nor none" in capsys.readouterr().err
