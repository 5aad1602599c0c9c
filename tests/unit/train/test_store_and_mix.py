import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rtae.errors import ParameterError
from rtae.train.config import DataConfig, TrainConfig
from rtae.train.mix import Material, Mixer, Source, active_rms
from rtae.train.session import Folders, open_material
from rtae.train.store import Item, Recording, Store, open_store, store_rendered
from rtae.train.synthetic import KINDS, STRIKES, hall, impacts, strikes, synthetic_noise

NOTHING = DataConfig(
    segment_s=0.5,
    clean_share=0.0,
    noise_only_share=0.0,
    second_noise_share=0.0,
    synthetic_share=0.0,
    speed_share=0.0,
    quiet_share=0.0,
    reverb_share=0.0,
    filter_share=0.0,
    narrow_band_share=0.0,
    clip_share=0.0,
    artefact_share=0.0,
    min_snr_db=0.0,
)


@pytest.fixture
def material(config: TrainConfig, folders: Folders) -> Material:
    return open_material(config, folders)[0]


def test_a_folder_is_decoded_once_and_again_when_it_changed(folders: Folders, tmp_path: Path) -> None:
    first = open_store(folders.speech, tmp_path, 16000)
    assert len(first.recordings) == 10
    assert first.seconds == pytest.approx(30.0)
    (built,) = tmp_path.iterdir()
    stamp = (built / "samples.i16").stat().st_mtime_ns
    open_store(folders.speech, tmp_path, 16000)
    assert (built / "samples.i16").stat().st_mtime_ns == stamp
    open_store(folders.speech, tmp_path, 8000)
    assert len(list(tmp_path.iterdir())) == 2


def test_unreadable_files_are_passed_over_and_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    with pytest.raises(ParameterError, match="no sound files"):
        open_store(tmp_path / "noise", tmp_path / "cache", 16000)
    (tmp_path / "noise" / "broken.wav").write_bytes(b"RIFF nonsense")
    with pytest.raises(ParameterError, match="no usable recording"):
        open_store(tmp_path / "noise", tmp_path / "cache", 16000)


def rendered(stop: BaseException | None) -> Iterator[Item]:
    yield "a", "a", np.full(16000, 0.5, np.float32), 8000.0
    if stop is not None:
        raise stop
    yield "b", "b", np.full(16000, 0.25, np.float32), 8000.0


def test_an_interrupted_decoding_leaves_nothing_and_is_done_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        store_rendered(rendered(KeyboardInterrupt()), "key", tmp_path, 16000)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    store = store_rendered(rendered(None), "key", tmp_path, 16000)
    assert [item.path for item in store.recordings] == ["a", "b"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["index.json", "samples.i16"]


def test_killed_between_samples_and_index_decoding_is_done_again(tmp_path: Path) -> None:
    store_rendered(rendered(None), "key", tmp_path, 16000)
    (folder,) = tmp_path.iterdir()
    (folder / "index.json").unlink()
    (folder / "samples.i16").write_bytes(b"other")
    store = store_rendered(rendered(None), "key", tmp_path, 16000)
    assert store.read(store.recordings[1], 0, 4) == pytest.approx([0.25] * 4, abs=1e-3)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    # the limit makes writes beyond it fail as a full disk does; in a process of its own, as it cannot be raised again
    code = (
        "import resource, signal, sys; import numpy as np; from rtae.errors import RtaeError\n"
        "from rtae.train.store import store_rendered\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "item = ('a', 'a', np.full(16000, 0.5, np.float32), 8000.0)\n"
        "try: store_rendered(iter([item]), 'key', sys.argv[1], 16000)\n"
        "except RtaeError as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert "cannot keep decoded recordings" in said and "--cache" in said
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_folds_hold_out_different_groups_that_never_train(folders: Folders) -> None:
    store = open_store(folders.speech, folders.cache, 16000)
    held = []
    for fold in range(3):
        training, validation = store.split(0.2, fold)
        groups = [{item.group for item in part.recordings} for part in (training, validation)]
        assert len(groups[1]) == 2 and not groups[0] & groups[1]
        held.append(groups[1])
    assert not held[0] & held[1]


def test_an_example_depends_on_seed_and_number_alone(material: Material) -> None:
    config = dataclasses.replace(DataConfig(segment_s=0.5), min_snr_db=0.0)
    one, other = (Mixer(material, config, 4) for _ in range(2))
    other.example(3)
    for number in (0, 7, 7):
        np.testing.assert_array_equal(one.example(number).noisy, other.example(number).noisy)
    noisy, clean = one.batch(2, 4, first=1, count=2)
    np.testing.assert_array_equal(noisy[0], one.example(9).noisy)
    assert noisy.shape == clean.shape == (2, 8000)
    assert not np.array_equal(noisy[0], Mixer(material, config, 5).example(9).noisy)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 15.0])
def test_the_ratio_of_speech_to_noise_is_as_configured(material: Material, snr_db: float) -> None:
    mixer = Mixer(material, dataclasses.replace(NOTHING, snr_db=(snr_db, snr_db)), 1)
    for number in range(5):
        example = mixer.example(number)
        speech, noise = example.clean, example.noisy - example.clean
        ratio = active_rms(speech, 16000) / active_rms(noise, 16000)
        assert 20 * np.log10(ratio) == pytest.approx(snr_db, abs=0.2)


def test_nothing_exceeds_full_scale_and_the_target_stays_in_the_mixture(material: Material) -> None:
    mixer = Mixer(material, dataclasses.replace(NOTHING, clean_share=1.0, level_db=(-3.0, 0.0)), 1)
    for number in range(5):
        example = mixer.example(number)
        assert 0 < np.abs(example.noisy).max() <= 1.0
        np.testing.assert_array_equal(example.noisy, example.clean)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ("reverb_share", r"in a room"),
        ("speed_share", r"speech [01]\.\d\d times as fast"),
        ("filter_share", r"equalised"),
        ("narrow_band_share", r"nothing above \d+ Hz"),
        ("clip_share", r"clipped"),
        ("artefact_share", r"sent through Opus|badly resampled .*|of \d+ bits"),
        ("second_noise_share", r"class\d"),
        ("synthetic_share", r"synthetic/\w+"),
        ("quiet_share", r"muted from .* s|(above .* dB, )?noise \d+ dB quieter until .* s"),
    ],
)
def test_each_disturbance_changes_the_example_says_so_and_keeps_it_finite(
    material: Material, share: str, said: str
) -> None:
    plain = Mixer(material, NOTHING, 2)
    disturbed = Mixer(material, dataclasses.replace(NOTHING, **{share: 1.0}), 2)
    for number in range(6):
        found, before = disturbed.example(number), plain.example(number)
        assert np.isfinite(found.noisy).all() and np.isfinite(found.clean).all()
        assert np.abs(found.noisy - before.noisy).max() > 1e-4
        assert sum(re.fullmatch(said, words) is not None for words in found.done) == 1 + (share == "second_noise_share")
        assert len(before.done) == 2 and before.done[1].endswith("dB above the noise")


def test_a_muted_microphone_is_silent_and_a_late_noise_quiet_until_it_sets_in(material: Material) -> None:
    mixer = Mixer(material, dataclasses.replace(NOTHING, segment_s=5.0, quiet_share=1.0), 2)
    seen = set()
    for number in range(30):
        example = mixer.example(number)
        noise = example.noisy - example.clean
        (said,) = [words for words in example.done if " s" in words]
        kind, *numbers = said.split()[0], *map(float, re.findall(r"\d+\.\d", said))
        seen.add(kind)
        stop = round(16000 * numbers[-1])
        if kind == "muted":
            inside = slice(round(16000 * numbers[0]) + 800, stop - 800)  # the words are rounded to .1 s
            assert not example.noisy[inside].any() and not example.clean[inside].any()
        else:
            quieter = np.abs(noise[: max(0, stop - 5600)])  # it rises in .3 s at most
            assert quieter.size == 0 or quieter.max() < 0.5 * np.abs(noise[stop + 800 :]).max()
        assert np.abs(noise[stop + 800 :]).max() > 0
    assert seen == {"muted", "noise", "above"}


@pytest.mark.parametrize("clean_share", [1.0, 0.0])
def test_the_floor_below_a_late_noise_lasts_at_the_level_that_is_said(material: Material, clean_share: float) -> None:
    almost_clean = dataclasses.replace(NOTHING, quiet_share=1.0, clean_share=clean_share, snr_db=(120.0, 120.0))
    mixer = Mixer(material, almost_clean, 2)
    beside = []
    for number in range(60):
        example = mixer.example(number)
        floor = example.noisy - example.clean
        said = re.search(r"above a floor of -(\d+) dB", " ".join(example.done))
        if said is None:
            assert floor.std() < 1e-5
        elif active_rms(example.clean, 16000):
            beside.append(20 * np.log10(floor.std() / active_rms(example.clean, 16000)) + float(said[1]))
    # Of some the speech was for the most part where it is muted, so the median.
    assert len(beside) > 10 and np.median(beside) == pytest.approx(0, abs=1)


@pytest.mark.parametrize(("room", "both"), [(True, False), (True, True), (False, True)])
def test_filters_are_of_both_sides_and_a_room_of_the_speech_alone(material: Material, room: bool, both: bool) -> None:
    shares = {"reverb_share": float(room), "narrow_band_share": float(both), "synthetic_share": 1.0}
    mixer = Mixer(material, dataclasses.replace(NOTHING, snr_db=(0.0, 0.0), **shares), 2)
    for number in range(4):
        rng = np.random.default_rng([2, number])
        rng.random()
        done: list[str] = []
        speech, noise = mixer._draw_speech(rng, []), mixer._draw_noise(rng, [])
        target, heard, left = mixer._disturb(rng, speech, noise, done)
        assert np.array_equal(target, heard) != room
        assert np.array_equal(left, noise) != both
        if both:
            corner_hz = float(done[0].split()[2])
            for signal in (target, heard, left):
                power = np.square(np.abs(np.fft.rfft(signal)))
                assert power[: int(corner_hz / 2)].sum() > 0
                assert power[int(corner_hz / 2) + 1 :].sum() <= 1e-6 * power.sum()


@pytest.mark.parametrize("speed", [0.6, 1.0, 1.4])
def test_a_recording_that_is_played_faster_rises_in_pitch_and_keeps_its_level(speed: float) -> None:
    # within a hundredth: the length read is one that transforms fast
    tone = (10000 * np.sin(2 * np.pi * 1000 * np.arange(64000) / 16000)).astype(np.int16)
    store = Store(tone, [Recording("tone", "tone", 0, tone.size, 8000.0, 60.0)], 16000)
    audio, _ = Source(store, store.recordings).draw(np.random.default_rng(1), 16000, speed)
    assert audio.shape == (16000,) and audio.dtype == np.float32
    assert np.abs(np.fft.rfft(audio)).argmax() == pytest.approx(1000 * speed, rel=0.01)
    assert np.square(audio).mean() == pytest.approx((10000 / 32768) ** 2 / 2, rel=0.02)


def test_noise_alone_has_silence_for_its_target(material: Material) -> None:
    mixer = Mixer(material, dataclasses.replace(NOTHING, noise_only_share=1.0), 3)
    example = mixer.example(0)
    assert np.abs(example.noisy).max() > 0.001
    assert not example.clean.any()


def test_speech_that_is_not_clean_enough_is_refused(material: Material) -> None:
    with pytest.raises(ParameterError, match="min_snr_db"):
        Mixer(material, dataclasses.replace(NOTHING, min_snr_db=1000.0), 1)


def test_synthetic_noises_are_of_every_kind_and_no_two_alike(material: Material) -> None:
    found: dict[str, list[np.ndarray]] = {}
    for seed in range(60):
        noise, of = synthetic_noise(np.random.default_rng(seed), material.speech, 8000)
        assert noise.shape == (8000,) and noise.dtype == np.float32
        assert active_rms(noise, 16000) > 0.01
        found.setdefault(of.removeprefix("synthetic/"), []).append(noise)
    assert found.keys() == KINDS.keys()
    for one, other in (noises[:2] for noises in found.values()):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.5


def test_every_second_thing_is_in_a_case_and_no_two_of_its_strikes_are_alike() -> None:
    cased, rise_s = 0, []
    for seed in range(40):
        shapes = strikes(np.random.default_rng(seed), 16000)
        assert shapes.shape[0] == STRIKES and np.isfinite(shapes).all()
        assert np.corrcoef(shapes)[~np.eye(STRIKES, dtype=bool)].max() < 0.99
        power = np.square(np.abs(np.fft.rfft(shapes)))
        highest = power[:, power.shape[1] * 15 // 16 :].mean() / power.mean()
        cased += highest < 1e-3
        energy = np.cumsum(np.square(shapes).sum(axis=0))
        rise_s.append(np.searchsorted(energy, 0.1 * energy[-1]) / 16000)
    assert 5 <= cased <= 35
    assert 8 <= sum(rise > 0.003 for rise in rise_s) <= 32  # a clatter, and what rings at once


def test_impacts_stand_out_of_silence() -> None:
    for seed in range(8):
        noise = impacts(np.random.default_rng(seed), 32000, 16000)
        assert noise.shape == (32000,) and noise.dtype == np.float32
        assert noise.std() == pytest.approx(1, rel=0.01) and np.abs(noise).max() > 5


def test_a_hall_keeps_the_level_and_rings_on() -> None:
    click = np.zeros(16000, np.float32)
    click[100] = 1.0
    rung = hall(np.random.default_rng(3), click, 16000)
    assert rung.shape == click.shape and np.abs(rung[:99]).max() < 1e-5
    assert rung.std() == pytest.approx(click.std(), rel=0.01)
    early, late = (np.square(rung[start : start + 1600]).sum() for start in (101, 1701))
    assert early > late > 0
