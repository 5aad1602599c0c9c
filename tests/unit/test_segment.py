"""Speech and sounds found in streams: the rules on made-up values, the segmenters on signals and recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from rtae.errors import ParameterError, StreamStateError
from rtae.evaluate.activity import find_activity
from rtae.segment import (
    Hysteresis,
    Segment,
    SoundSegmenter,
    SpeechSegmenter,
    apart_from_speech,
    segment_blocks,
)

DATA = Path(__file__).parents[1] / "data"
CLIPS = sorted(path.name.removesuffix("-noisy.flac") for path in DATA.glob("*-noisy.flac"))


def events_of(values, step=0.01, **options):
    tracker = Hysteresis("speech", 0.9, 0.5, options.pop("hold_s", 0.03), options.pop("look_back_s", 0.05), **options)
    found = []
    for index, value in enumerate(values):
        if event := tracker.update(value, index * step, (index + 1) * step):
            found.append(event)
    last = tracker.finish(len(values) * step)
    return found + [last] * (last is not None)


def test_a_segment_begins_where_the_value_rose_and_ends_where_it_fell():
    values = [0, 0.6, 0.7, 0.95, 0.95, 0.6, 0.2, 0.2, 0.2, 0.2]
    start, end = events_of(values)
    assert (start.kind, end.kind) == ("speech_start", "speech_end")
    assert start.time_s == pytest.approx(0.01) and start.decided_s == pytest.approx(0.04)
    assert end.time_s == pytest.approx(0.06) and end.decided_s == pytest.approx(0.09)


def test_look_back_is_bounded_and_forgets_what_fell_again():
    (start, _) = events_of([0.6] * 20 + [1.0])
    assert start.time_s == pytest.approx(0.15)
    (start, _) = events_of([0.6, 0.6, 0.1, 0.7, 1.0])
    assert start.time_s == pytest.approx(0.03)
    (start, _) = events_of([0.6, 0.1, 1.0])
    assert start.time_s == pytest.approx(0.02)


def test_nothing_begins_while_the_stream_settles_and_what_lasts_is_dated_back():
    assert events_of([1.0, 1.0, 0.1, 0.1, 0.1], settling_s=0.02) == []
    (start, _) = events_of([1.0] * 5, settling_s=0.02)
    assert (start.time_s, start.decided_s) == (0.0, pytest.approx(0.03))


def test_short_pauses_are_bridged_and_weak_rises_ignored():
    assert len(events_of([1.0, 0.1, 0.1, 1.0, 1.0])) == 2
    assert len(events_of([1.0, 0.1, 0.1, 0.1, 1.0])) == 4
    assert events_of([0.89] * 50) == []
    assert events_of([]) == []


def test_impossible_thresholds_are_refused():
    for numbers in ((0.5, 0.6, 0.1), (0.5, 0.4, -0.1), (float("nan"), 0.4, 0.1)):
        with pytest.raises(ParameterError, match="off must not be above on"):
            Hysteresis("speech", *numbers)
    with pytest.raises(ParameterError, match="off must not be above on"):
        SpeechSegmenter(on=0.2, off=0.5)


@pytest.fixture(scope="module")
def clips():
    return {
        name: tuple(soundfile.read(DATA / f"{name}-{side}.flac", dtype="float32")[0] for side in ("noisy", "clean"))
        for name in CLIPS
    }


def run_through(segmenter, audio, sizes):
    events, start, index = [], 0, 0
    while start < len(audio):
        size = sizes[index % len(sizes)]
        events += segmenter.process(audio[start : start + size])
        start, index = start + size, index + 1
    return events + segmenter.flush()


def test_blocks_do_not_matter_and_reset_is_fresh(clips):
    noisy, _ = clips[CLIPS[0]]
    speech, sound = SpeechSegmenter(), SoundSegmenter()
    for segmenter in (speech, sound):
        whole = run_through(segmenter, noisy, [len(noisy)])
        assert len(whole) >= 2
        for sizes in ([480], [1, 255, 257, 5_000]):
            segmenter.reset()
            assert run_through(segmenter, noisy, sizes) == whole
        kinds = [event.kind.rpartition("_")[2] for event in whole]
        assert kinds == ["start", "end"] * (len(whole) // 2)
        times = [event.time_s for event in whole]
        assert times == sorted(times) and times[-1] <= len(noisy) / 48_000
        assert all(event.time_s <= event.decided_s + 1e-9 for event in whole)
    with pytest.raises(StreamStateError, match="end"):
        speech.process(noisy)


def test_speech_is_found_where_the_clean_recording_has_it(clips):
    hits = found_total = true_total = 0
    for noisy, clean in clips.values():
        active = find_activity(clean, 48_000).active
        centres = (np.arange(len(active)) + 0.5) * 0.01
        found = np.zeros(len(active), bool)
        for one in segment_blocks([noisy[:, np.newaxis]], [SpeechSegmenter()]):
            found |= (one.start_s <= centres) & (centres < one.end_s)
        hits, found_total = hits + (found & active).sum(), found_total + found.sum()
        true_total += active.sum()
    assert true_total > 100
    assert 2 * hits / (found_total + true_total) > 0.75  # all of it called speech: 0.61


def test_other_rates_and_channels_hear_the_same(clips):
    noisy, _ = clips["full-band-17dB"]
    expected = list(segment_blocks([noisy[:, np.newaxis]], [SpeechSegmenter()]))
    stereo = np.stack([np.zeros_like(noisy), noisy], axis=1)
    assert list(segment_blocks([stereo], [SpeechSegmenter(channels=2)])) == expected
    double = resample_poly(noisy, 2, 1).astype(np.float32)[:, np.newaxis]
    found = list(segment_blocks([double], [SpeechSegmenter(sample_rate=96_000)]))
    assert len(found) == len(expected) >= 2
    shared = sum(min(a.end_s, b.end_s) - max(a.start_s, b.start_s) for a, b in zip(found, expected, strict=True))
    assert shared > 0.9 * sum(one.end_s - one.start_s for one in expected)


def test_speech_that_is_there_from_the_start_is_dated_back_to_it(clips):
    _, clean = clips["full-band-17dB"]
    first, *_ = segment_blocks([clean[24_000:, np.newaxis]], [SpeechSegmenter()])
    assert first.start_s == 0.0 and first.end_s > 0.2


def test_silence_and_nothing_have_no_segments():
    for samples in (0, 1, 48_000):
        silence = np.zeros((samples, 1), np.float32)
        assert list(segment_blocks([silence], [SpeechSegmenter(), SoundSegmenter()])) == []


def test_a_sound_above_the_background_is_found():
    print("seed", 4)
    audio = 0.002 * np.random.default_rng(4).standard_normal(6 * 48_000).astype(np.float32)
    audio[3 * 48_000 : 4 * 48_000] *= 50
    (sound,) = segment_blocks([audio[:, np.newaxis]], [SoundSegmenter()])
    assert sound.label == "sound"
    assert sound.start_s == pytest.approx(3.0, abs=0.02) and sound.end_s == pytest.approx(4.0, abs=0.03)
    with pytest.raises(ParameterError, match="must have shape"):
        SoundSegmenter(channels=2).process(audio)


def test_sounds_are_what_is_left_beside_speech():
    found = apart_from_speech(
        [
            Segment("sound", 1.0, 5.0),
            Segment("speech", 2.0, 3.0),
            Segment("speech", 4.95, 6.0),
            Segment("sound", 8, 8.05),
        ]
    )
    assert found == [
        Segment("sound", 1.0, 2.0),
        Segment("speech", 2.0, 3.0),
        Segment("sound", 3.0, 4.95),
        Segment("speech", 4.95, 6.0),
    ]
