"""``rtae send`` and ``rtae receive`` as a user starts them, without a sound card."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from rtae.cli import main
from tests.unit.codec.conftest import pair

__all__ = ["pair"]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_file_is_spoken_into_another(pair, tmp_path, capsys):
    codec = str(pair(8_000, 40))
    spoken, heard, port = tmp_path / "spoken.wav", tmp_path / "heard.wav", str(free_port())
    soundfile.write(spoken, np.full(16_000, 0.25), 16_000, subtype="FLOAT")
    command = [sys.executable, "-m", "rtae", "receive", port, "-m", codec, "-o", str(heard), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        started = json.loads(receiver.stdout.readline())
        assert started["address"] == "127.0.0.1" and started["output"] == str(heard)
        assert main(["send", f"localhost:{port}", "-m", codec, "-i", str(spoken), "--kbps", "128", "--json"]) == 0
        told = [json.loads(line) for line in receiver.stdout]
        assert receiver.wait(timeout=60) == 0
    sent = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sent[0]["type"] == "started" and sent[-1]["packets"] > 100 and sent[-1]["refused"] == 0
    assert [line["kind"] for line in told if line["type"] == "event"] == ["began", "ended"]
    assert told[-1]["type"] == "stopped" and told[-1]["received"] == sent[-1]["packets"]
    audio, rate = soundfile.read(heard)
    # What a late packet costs here and there on a busy machine, and the resampling around it, leave the median alone.
    assert rate == 8_000 and np.median(audio[np.abs(audio) > 0.1]) == pytest.approx(0.25, abs=0.02)
    assert np.count_nonzero(np.abs(audio) > 0.1) > 0.8 * 8_000


@pytest.mark.parametrize(
    "words, reason",
    [
        (["send", "nowhere"], "is no address"),
        (["send", "::1:5000"], "is no address"),
        (["send", "host:0"], "port is '0'"),
        (["receive", "70000"], "port is '70000'"),
        (["receive", "5004", "--interface", "nonsense0"], "there is no interface 'nonsense0'"),
        (["send", "127.0.0.1:9", "-i", "missing.wav"], "cannot read 'missing.wav'"),
    ],
)
def test_a_wrong_word_is_one_line(pair, capsys, words, reason):
    assert main([*words, "-m", str(pair(8_000, 40))]) == 2
    told = capsys.readouterr().err
    assert reason in told and told.count("\n") == 1


def test_a_receiver_that_heard_nothing_leaves_no_file_and_says_so(pair, tmp_path, capsys):
    heard = tmp_path / "heard.wav"
    words = ["receive", str(free_port()), "-m", str(pair(8_000, 40)), "-o", str(heard), "--duration", "0.2"]
    assert main(words) == 2
    assert "no voice came" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
