"""``rtae segment``: the same segments in every form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from rtae.cli import main

CLIP = Path(__file__).parents[1] / "data" / "wide-band-2dB-noisy.flac"


def printed(capsys, *arguments):
    assert main(["segment", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_form_tells_the_same(capsys):
    (line,) = printed(capsys, CLIP, "--json")
    segments = json.loads(line)["segments"]
    assert len(segments) >= 2 and {one["label"] for one in segments} <= {"speech", "sound"}
    labels = [row.split("\t") for row in printed(capsys, CLIP, "--audacity")]
    assert [(round(float(a), 4), round(float(b), 4), label) for a, b, label in labels] == [
        (one["start_s"], one["end_s"], one["label"]) for one in segments
    ]
    rows = [row.split() for row in printed(capsys, CLIP, "--rttm")]
    assert all(len(row) == 10 and row[1] == CLIP.stem for row in rows)
    starts = [float(row[3]) for row in rows]
    np.testing.assert_allclose(starts, [one["start_s"] for one in segments], atol=1e-3)
    assert [row[0] == "SPEAKER" for row in rows] == [one["label"] == "speech" for one in segments]
    assert len(printed(capsys, CLIP)) == len(segments)


def test_what_cannot_be_segmented_is_one_line(tmp_path, capsys):
    slow = tmp_path / "slow.wav"
    soundfile.write(slow, np.zeros(100), 1_000)
    for arguments, part in (([tmp_path / "none.wav"], "cannot read"), ([slow], "sample_rate is 1000")):
        assert main(["segment", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert part in error and error.count("\n") == 1
