"""``rtae stress`` drives the real engine by a clock and comes to an end."""

from __future__ import annotations

import json

from rtae.cli import main


def test_loads_are_endured_and_told(capsys, build):
    arguments = ["stress", "-m", str(build("identity")), "--latency", "safe", "--seconds", "0.5", "--calm", "1.5"]
    status = main([*arguments, "--loads", "idle", "memory", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "rtae-stress" and report["machine"]["cpu"]
    found = report["loads"]
    assert [item["load"] for item in found] == ["idle", "memory"]
    assert status == (1 if any(item["recovery_ms"] is None for item in found) else 0)
    for item in found:
        assert item["blocks"] > 10 and item["failures"] == 0
        assert item["late"] <= item["blocks"] and item["hop_p99_ms"] <= item["hop_max_ms"] * 1.1


def test_wrong_usage_is_one_line(capsys, build):
    for arguments, part in ((["--seconds", "0"], "--seconds is 0"), (["-i", "mic"], "both --input and --output")):
        assert main(["stress", "-m", str(build("identity")), *arguments]) == 2
        error = capsys.readouterr().err
        assert part in error and error.count("\n") == 1
