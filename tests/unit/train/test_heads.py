"""Heads: streaming equals the whole, the past alone counts, they learn, and their files are what was trained."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from rtae.errors import ModelFormatError, ParameterError, RtaeError
from rtae.model import Model
from rtae.train.checkpoint import save_checkpoint
from rtae.train.export_head import Classifier, evidence, export_head, export_head_checkpoint, verify_head
from rtae.train.head_data import Sounds, in_noise, load_events, load_words, log_mel
from rtae.train.head_session import Trained, find_head_config, is_head, save_head
from rtae.train.head_task import conditions, folds, held_out
from rtae.train.head_training import Examples, confusion, macro_f1, predictions, train_head
from rtae.train.heads import BANDS, HOP, Head, HeadConfig, LogMel, head_configs, load_head_config

KINDS = ("attention", "convolution", "recurrent")


def small(kind, **changes):
    return dataclasses.replace(head_configs()[kind], width=16, context=8, **changes)


def test_the_package_has_a_configuration_of_each_kind():
    assert tuple(head_configs()) == KINDS == tuple(config.kind for config in head_configs().values())


@pytest.mark.parametrize("kind", KINDS)
def test_frame_by_frame_is_the_whole_and_nothing_looks_ahead(kind):
    torch.manual_seed(3)
    head = Head(small(kind), 5, 4).eval()
    x = torch.randn(40, 3, 5)
    with torch.no_grad():
        whole, last = head(x, head.initial_state(3))
        state, frames = head.initial_state(3), []
        for frame in x:
            logits, state = head(frame.unsqueeze(0), state)
            frames.append(logits)
        changed = x.clone()
        changed[20:] = 0.0
        other, _ = head(changed, head.initial_state(3))
    assert whole.shape == (40, 3, 4)
    torch.testing.assert_close(torch.cat(frames), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other[:20], whole[:20])
    assert not torch.allclose(other[20:], whole[20:])


def test_log_mel_frames_do_not_depend_on_where_the_stream_is_cut():
    print("seed", 1)
    audio = 0.1 * np.random.default_rng(1).standard_normal((2, 10 * HOP)).astype(np.float32)
    module = LogMel()
    whole = log_mel(audio)
    assert whole.shape == (2, 10, BANDS)
    state, parts = torch.zeros(2, module.state_size), []
    for start in range(0, audio.shape[1], HOP):
        bands, state = module(torch.from_numpy(audio[:, start : start + HOP]), state)
        parts.append(bands)
    np.testing.assert_allclose(torch.cat(parts).transpose(0, 1).numpy(), whole, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_learns_what_can_be_told_apart(kind):
    print("seed", 5)
    rng = np.random.default_rng(5)
    labels = rng.integers(3, size=120)
    features = rng.standard_normal((120, 2, 20, 6)).astype(np.float32)
    features[np.arange(120), :, 8:14, labels] += 4.0
    config = small(kind, steps=60, batch=16, learning_rate=1e-2)
    head = train_head(config, Examples(features[:90], labels[:90]), 3, seed=1, crop=20)
    matrix = confusion(predictions(head, features[90:, 0]), labels[90:], 3)
    assert matrix.sum() == 30 and np.trace(matrix) >= 24  # by chance: 10
    assert macro_f1(matrix) > 0.75


def test_confusion_and_f1_are_those_of_the_definition():
    matrix = confusion(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 2]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert macro_f1(matrix) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_an_exported_head_streams_as_it_was_trained(tmp_path):
    torch.manual_seed(4)
    config = small("recurrent")
    head = Head(config, BANDS, 3).eval()
    checkpoint, path = tmp_path / "head.safetensors", tmp_path / "words.onnx"
    save_head(checkpoint, Trained(head, config, ("a", "b", "c"), {"clean": 0.6}, {"clean": 0.5, "0 dB": 0.25}))
    assert is_head(checkpoint)
    found = export_head_checkpoint(checkpoint, path, "words", "three vowels")
    assert found["streaming against offline"] < 1e-4
    spec = Model(path).spec
    assert (spec.kind, spec.classes, spec.hop) == ("classifier", ("a", "b", "c"), HOP)
    assert spec.metrics == {"accuracy": {"clean": 0.5, "0 dB": 0.25}} and spec.training["data"] == "three vowels"
    audio = 0.1 * np.random.default_rng(1).standard_normal((1, 8 * HOP)).astype(np.float32)
    with torch.no_grad():
        expected = head(torch.from_numpy(log_mel(audio)).transpose(0, 1), head.initial_state(1))[0]
    np.testing.assert_allclose(evidence(path, audio), expected.numpy(), atol=1e-4)
    other = Classifier(Head(config, BANDS, 3).eval())
    with pytest.raises(RtaeError, match="streaming against offline"):
        verify_head(other, path)
    with pytest.raises(RtaeError, match="cannot write"):
        export_head(head, tmp_path / "none" / "x.onnx", "x", ("a", "b", "c"), {}, {})


def test_wrong_configurations_and_files_are_named(tmp_path):
    path = tmp_path / "head.toml"
    for text, message in (
        ("kind = 3", "expected str"),
        ("wide = 3", "unknown key 'wide'"),
        ("kind =", "not valid TOML"),
    ):
        path.write_text(text)
        with pytest.raises(ParameterError, match=message):
            load_head_config(path)
    with pytest.raises(ParameterError, match="cannot read config"):
        load_head_config(tmp_path / "none.toml")
    with pytest.raises(ParameterError, match="known: convolution"):
        Head(HeadConfig(kind="forest"), 4, 2)
    with pytest.raises(ParameterError, match="multiple of 4"):
        Head(HeadConfig(kind="attention", width=10), 4, 2)
    with pytest.raises(ModelFormatError, match="not a head's"):
        save_checkpoint(tmp_path / "other.safetensors", {"x": torch.zeros(1)}, {"config": {}})
        export_head_checkpoint(tmp_path / "other.safetensors", tmp_path / "x.onnx", "x")
    with pytest.raises(ParameterError, match="no configuration heads/none of a head"):
        find_head_config("heads/none")
    for load in (load_words, load_events):
        with pytest.raises(ParameterError, match="no "):
            load(tmp_path)


def test_noise_is_added_at_its_ratio():
    print("seed", 2)
    rng = np.random.default_rng(2)
    sound = rng.standard_normal((4, 16_000)).astype(np.float32)
    noisy = in_noise(sound, [rng.standard_normal(9_000).astype(np.float32)], np.array([0.0, 10.0, 20.0, -5.0]), seed=1)
    ratio = 10 * np.log10(np.square(sound).mean(axis=1) / np.square(noisy - sound).mean(axis=1))
    np.testing.assert_allclose(ratio, [0, 10, 20, -5], atol=1.0)


def of_groups(groups):
    groups = np.array(groups)
    return Sounds(np.zeros((len(groups), 4), np.float32), np.zeros(len(groups), int), groups, ("a", "b"))


def test_no_speaker_is_on_two_sides_and_every_example_on_one():
    sounds = of_groups([f"speaker{number % 30:02}" for number in range(90)])
    split = held_out(sounds)
    parts = [split.train, split.validation, split.test]
    assert [len(part) for part in parts] == [60, 12, 18]
    speakers = [set(sounds.groups[part]) for part in parts]
    assert not speakers[0] & speakers[1] and not speakers[0] & speakers[2] and not speakers[1] & speakers[2]
    assert sorted(np.concatenate(parts)) == list(range(90))
    np.testing.assert_array_equal(split.unseen, sorted([*split.validation, *split.test]))
    with pytest.raises(ParameterError, match="of 2 speakers"):
        held_out(of_groups(["a", "b"]))


def test_folds_hold_out_each_group_once():
    splits = folds(of_groups(["00", "01", "02", "01"]))
    assert [split.test.tolist() for split in splits] == [[0], [1, 3], [2]]
    assert [split.train.tolist() for split in splits] == [[1, 2, 3], [0, 2], [0, 1, 3]]
    assert not any(len(split.validation) for split in splits)


def test_conditions_are_what_their_names_say():
    print("seed", 6)
    rng = np.random.default_rng(6)
    audio, noise = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 8_000), 9_000))
    made = {name: make() for name, make in conditions(audio, [noise]).items()}
    np.testing.assert_array_equal(made.pop("clean"), audio)
    ratios = {
        name: 10 * np.log10(np.square(audio).mean() / np.square(noisy - audio).mean()) for name, noisy in made.items()
    }
    assert ratios == {"10 dB": pytest.approx(10, abs=1), "0 dB": pytest.approx(0, abs=1)}
