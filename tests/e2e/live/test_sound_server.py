"""A live stream as a client of a sound server that queues."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pipewire_lab import PipeWire

PROGRAM = str(Path(__file__).with_name("stopped_program.py"))
TRIES = 3


@pytest.fixture(scope="module")
def desktop(tmp_path_factory):
    desktop = PipeWire(tmp_path_factory.mktemp("pipewire"))
    yield desktop
    desktop.close()


def test_after_a_stall_audio_is_no_later_than_before(desktop):
    """The server keeps what arrives while the program is stopped: without more ado all is a second late afterwards."""
    tried = []
    for _ in range(TRIES):
        result = subprocess.run(
            [sys.executable, PROGRAM, "pulse", "1.0"],
            env=desktop.environment | {"PULSE_SINK": "fakemic", "PULSE_SOURCE": "fakemic.monitor"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout)
        tried.append(found)
        events = " ".join(found["events"])
        assert "holds back" in events and "is back" in events, events
        # Its way is nobody's promise, but about what the server reports.
        if None not in found["before"] + found["after"]:
            assert min(found["before"]) > 10.0
            if max(found["after"]) < max(*found["before"], found["declared"]) + 50.0:
                return
    pytest.fail(f"tried: {tried}")
