"""A classifier beside the segmenter: the right stretch, the right time, on any blocks and at any rate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

import rtae
from rtae.cli import main
from rtae.errors import ModelFormatError, ParameterError
from rtae.listen import Listener
from rtae.model import Model
from rtae.segment import SpeechSegmenter, segment_blocks
from rtae.shipped import load
from rtae.spec import ModelSpec
from tests import models

CLIP = Path(__file__).parents[1] / "data" / "wide-band-2dB-noisy.flac"
HOP = 320


def spec(**changes):
    facts = {"hop": HOP, "sample_rate": 16_000, "classes": ("quiet", "loud"), "name": "loudness", **changes}
    return models.spec("classifier", **facts)


@pytest.fixture(scope="module")
def loudness(build):
    """A classifier whose evidence is 1 for quiet and a hundred times the hop's power for loud."""
    return build("classifier", hop=HOP)


@pytest.fixture(scope="module")
def noisy():
    return soundfile.read(CLIP, dtype="float32")[0]


def listen(listener, audio, size):
    heard = []
    for start in range(0, len(audio), size):
        heard += listener.process(audio[start : start + size])
    return heard + listener.flush()


def test_each_stretch_of_speech_gets_the_mean_of_the_evidence_in_what_is_denoised(loudness, noisy):
    noisy = noisy * np.float32(3)
    segments = list(segment_blocks([noisy[:, np.newaxis]], [SpeechSegmenter()]))
    heard = listen(Listener(loudness), noisy, 480)
    assert [(one.start_s, one.end_s) for one in heard] == [(one.start_s, one.end_s) for one in segments]
    assert len(heard) >= 2
    low = resample_poly(rtae.denoise(noisy, 48_000), 1, 3)
    for one in heard:
        first, last = (round(16_000 * time) for time in (max(one.start_s - 0.1, 0), one.end_s + 0.1))
        evidence = 100 * float(np.square(low[first:last]).mean())
        assert one.label == ("loud" if evidence > 1 else "quiet")
        likely = 1 / (1 + np.exp(-abs(evidence - 1)))
        assert one.probability == pytest.approx(likely, abs=0.01)


def test_loud_and_quiet_are_told_apart_on_any_blocks_and_after_a_reset(loudness, noisy):
    listener = Listener(loudness)
    found = {}
    for factor in (0.5, 6.0):
        whole = listen(listener, noisy * np.float32(factor), len(noisy))
        found[factor] = {one.label for one in whole}
        listener.reset()
        assert listener.process(np.zeros(0, np.float32)) == []  # of a live stream nothing may be new
        assert listen(listener, noisy * np.float32(factor), 777) == whole
        listener.reset()
    assert found[0.5] == {"quiet"} and "loud" in found[6.0]


def test_channels_are_heard_together(loudness, noisy):
    stereo = np.stack([noisy, noisy], axis=1)
    expected = listen(Listener(loudness), noisy, 4_800)
    assert listen(Listener(loudness, channels=2), stereo, 4_800) == expected


def test_what_is_no_classifier_is_refused(loudness, build):
    with pytest.raises(ParameterError, match="not a classifier"):
        Listener("denoise")
    with pytest.raises(ParameterError, match="needs a model of kind 'denoiser'"):
        Model(loudness).step(np.zeros((1, HOP), np.float32))
    with pytest.raises(ParameterError, match="needs a model of kind 'classifier'"):
        Model(build("identity")).classify_step(np.zeros((1, 128), np.float32))


def test_the_spec_of_a_classifier_has_classes_and_format_2():
    assert spec().format_version == 2
    assert ModelSpec.from_json(spec().to_json()).classes == ("quiet", "loud")
    for wrong in (
        {"classes": ()},
        {"classes": ("one",)},
        {"classes": "ab"},
        {"classes": (1, 2)},
        {"format_version": 1},
    ):
        with pytest.raises(ModelFormatError):
            spec(**wrong)
    with pytest.raises(ModelFormatError, match="declares 2 classes"):
        models.spec("denoiser", classes=("a", "b"))


def test_the_command_prints_what_was_heard(loudness, capsys):
    assert main(["listen", str(CLIP), "-c", str(loudness)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main(["listen", str(CLIP), "-c", str(loudness), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(lines) >= 2
    assert all(row["label"] in line for row, line in zip(rows, lines, strict=True))
    assert main(["listen", str(CLIP), "-c", "denoise"]) == 2
    error = capsys.readouterr().err
    assert "not a classifier" in error and error.count("\n") == 1


def test_the_shipped_classifier_listens_where_none_is_named(capsys):
    assert main(["listen", str(CLIP), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    classes = load("words").spec.classes
    assert len(rows) >= 2 and len(classes) == 10
    assert all(row["label"] in classes for row in rows)
