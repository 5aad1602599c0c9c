"""``rtae live --events``: what is said beside the stream, while the audio waits for nobody."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from live_doubles import Gated

from rtae.cli.events import telling_events
from rtae.cli.live import watch
from rtae.errors import ModelNotFoundError
from rtae.live import FakeBackend, FileBackend, LiveStream
from rtae.segment import SpeechSegmenter

CLIP = Path(__file__).parents[2] / "data" / "wide-band-2dB-noisy.flac"
BLOCK = 480


@pytest.mark.parametrize("as_json", [True, False])
def test_speech_is_told_and_named_while_the_stream_runs(build, capsys, as_json):
    speech, rate = soundfile.read(CLIP, dtype="float32")
    audio = np.concatenate([speech, np.zeros(rate, np.float32)])
    stream = LiveStream(Gated(), backend=FileBackend(audio, rate), block_size=BLOCK)
    seconds = len(audio) / rate - 0.1
    listening = telling_events(stream, str(build("classifier")), as_json=as_json)
    assert watch(stream, duration_s=seconds, as_json=as_json, beside=lambda stream: listening) == 0
    text = capsys.readouterr().out
    if not as_json:
        assert "speech_start" in text and "speech_end" in text and " %" in text
        return
    lines = [json.loads(line) for line in text.splitlines()]
    told = {kind: [line for line in lines if line["type"] == kind] for kind in ("speech_start", "speech_end", "heard")}
    assert all(told.values())
    for line in told["speech_start"] + told["speech_end"]:
        assert 0 <= line["time_s"] <= line["decided_s"] <= seconds + 0.5
    for line in told["heard"]:
        assert line["label"] in ("quiet", "loud") and 0.5 <= line["probability"] <= 1
        assert 0 <= line["start_s"] < line["end_s"] <= seconds + 0.5


def test_the_audio_does_not_wait_for_a_classifier_that_hangs(monkeypatch):
    hangs, gate = threading.Event(), threading.Event()

    def process(self, block):
        hangs.set()
        assert gate.wait(30.0)
        return []

    monkeypatch.setattr(SpeechSegmenter, "process", process)
    rng = np.random.default_rng(1)
    audio = rng.uniform(-1, 1, (310 * BLOCK, 1)).astype(np.float32)
    backend, played, steps = FakeBackend(), [], 0
    with LiveStream(Gated(gain=0.5), backend=backend, block_size=BLOCK) as stream:
        with telling_events(stream, None, as_json=True):
            while steps < 100 or not hangs.is_set():
                assert steps < 200 or hangs.wait(10.0)
                played.append(backend.step(audio[steps * BLOCK : (steps + 1) * BLOCK]))
                steps += 1
            for _ in range(100):  # all of them while it hangs
                played.append(backend.step(audio[steps * BLOCK : (steps + 1) * BLOCK]))
                steps += 1
            assert hangs.is_set() and not gate.is_set()
            gate.set()
        late, latency = stream.stats.late, stream.latency.total
    assert late == 0
    output = np.concatenate(played)
    assert len(output) >= 200 * BLOCK > latency
    np.testing.assert_array_equal(output[latency:], 0.5 * audio[: len(output) - latency])


def test_a_classifier_that_is_not_there_ends_it_before_anything_is_told():
    stream = LiveStream(Gated(), backend=FakeBackend(), block_size=BLOCK)
    with (
        pytest.raises(ModelNotFoundError, match="no model 'none'"),
        stream,
        telling_events(stream, "none", as_json=True),
    ):
        pass
