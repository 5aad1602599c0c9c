"""Spectra and recordings of a running stream."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import soundfile
from live_doubles import Gated

from rtae.live import FakeBackend, FileBackend, LiveStream
from rtae.live.tap import BANDS, Recorder
from rtae.live.view import ASCII_BLOCKS, BLOCKS, columns


@pytest.mark.parametrize("frequency", [100.0, 1_000.0, 12_000.0])
def test_a_tone_shows_in_its_band_before_and_after(frequency):
    backend = FakeBackend()
    tone = (0.5 * np.sin(2 * np.pi * frequency / 48_000 * np.arange(48_000))).astype(np.float32)[:, None]
    with LiveStream(Gated(delay=100, gain=0.1), backend=backend, block_size=480) as stream:
        for block in tone.reshape(-1, 480, 1):
            backend.step(block)
        spectrum = stream.tap().spectrum()
    assert len(spectrum.centres_hz) == BANDS
    loudest = int(np.argmax(spectrum.before_db))
    assert loudest == int(np.argmin(np.abs(np.log(np.array(spectrum.centres_hz) / frequency))))
    # All of a sine of amplitude 0.5 is -9 dBFS; some of it may lie in the neighbouring band.
    assert spectrum.before_db[loudest] == pytest.approx(-9.03, abs=1.0)
    assert spectrum.removed_db[loudest] == pytest.approx(20.0, abs=0.1)
    assert min(spectrum.before_db) < -60


def test_a_recording_is_aligned_and_comes_with_numbers(tmp_path):
    print("seed 9")
    audio = np.random.default_rng(9).uniform(-0.5, 0.5, (480 * 400, 1)).astype(np.float32)
    backend = FakeBackend()
    with LiveStream(Gated(delay=333, gain=0.25), backend=backend, block_size=480) as stream:

        def speak():
            for block in audio.reshape(-1, 480, 1):
                backend.step(block)
                time.sleep(0.001)

        speaker = threading.Thread(target=speak)
        speaker.start()
        recording = stream.tap().record(tmp_path, 0.5)
        speaker.join()
    before, after = (soundfile.read(path, dtype="float32")[0] for path in (recording.before, recording.after))
    assert len(before) == len(after) >= 24_000
    assert np.abs(before).max() > 0.4
    np.testing.assert_allclose(after, 0.25 * before, atol=1e-6)
    assert recording.level_before_db == pytest.approx(-10.8, abs=0.3)
    assert recording.level_before_db - recording.level_after_db == pytest.approx(12.04, abs=0.05)
    assert f"{recording.level_before_db:.1f} -> {recording.level_after_db:.1f} dBFS" in str(recording)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([recording.before.name, recording.after.name])


def test_audio_since_an_earlier_call_is_aligned_and_whole():
    print("seed 4")
    audio = np.random.default_rng(4).uniform(-0.5, 0.5, (480 * 100, 1)).astype(np.float32)
    backend = FakeBackend()
    with LiveStream(Gated(delay=333, gain=0.25), backend=backend, block_size=480) as stream:
        tap = stream.tap()
        place, first, _ = tap.since()
        assert (place, len(first)) == (0, 0)
        pieces = []
        for number, block in enumerate(audio.reshape(-1, 480, 1), 1):
            backend.step(block)
            if number % 7 == 0:
                place, before, after = tap.since(place)
                assert len(before) == len(after)
                pieces.append((before, after))
        before, after = (np.concatenate(side) for side in zip(*pieces, strict=True))
        assert len(before) == 98 * 480
        np.testing.assert_array_equal(before[333:], audio[: 98 * 480 - 333])
        np.testing.assert_allclose(after, 0.25 * before, atol=1e-6)
        # Asked too late, the oldest is left out; asked with a number of another run, there is nothing.
        assert tap.since(0)[1].shape == (40 * 480, 1)
        assert len(tap.since(10_000)[1]) == 0


def test_the_recorder_tells_once_what_became_of_it(tmp_path):
    clock = FileBackend(np.zeros(480_000, np.float32), 48_000)
    with LiveStream(Gated(), backend=clock, block_size=480) as stream:
        recorder = Recorder(stream.tap(), tmp_path / "missing", 0.1)
        recorder.start()
        recorder.start()
        deadline = time.monotonic() + 20
        while recorder.busy:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert recorder.outcome().startswith("not recorded: ")
        assert recorder.outcome() == ""
        endless = Recorder(stream.tap(), tmp_path, 1_000.0)
        endless.start()
        time.sleep(0.2)
        endless.close()
        assert endless.outcome().startswith("recorded ")


def test_columns_keep_within_their_heights():
    values = (-200.0, -90.0, -55.0, -20.0, 40.0)
    assert columns(values, (-90.0, -20.0), BLOCKS) == "    ▄▄████"
    assert columns(values, (-90.0, -20.0), ASCII_BLOCKS) == "    ==@@@@"
