import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from rtae.cli import main
from rtae.errors import ModelFormatError, ParameterError
from rtae.model import Model
from rtae.train.checkpoint import load_checkpoint
from rtae.train.config import TrainConfig, parse_config
from rtae.train.distributed import World
from rtae.train.loop import BEST, LAST, Trainer
from rtae.train.session import Folders, find_config, load_denoiser, make_trainer
from tests.unit.train.conftest import tiny

ALONE = World(0, 1, torch.device("cpu"))
ADVERSARY = {"adversarial_weight": 0.1, "feature_weight": 0.2, "discriminator_windows": [256]}


@pytest.fixture
def adversarial() -> TrainConfig:
    return tiny(loss=ADVERSARY | {"discriminator_channels": 4})


def step(trainer: Trainer) -> dict[str, float]:
    return trainer.train_step(trainer.task.batch(trainer.step, 0, 4))


def test_the_stage_in_the_package_has_an_adversary_and_the_network_it_goes_on_from() -> None:
    stage = find_config("denoise-adversarial")
    assert stage.loss.adversarial_weight > 0 and stage.loss.feature_weight > 0
    assert stage.net == find_config("denoise-8ms").net


def test_both_sides_learn_and_the_total_is_the_sum_of_the_terms(
    adversarial: TrainConfig, folders: Folders, tmp_path: Path
) -> None:
    trainer = make_trainer(adversarial, folders, tmp_path, ALONE)
    before = {name: value.clone() for name, value in trainer.net.named_parameters()}
    terms = step(trainer)
    parts = {name: value for name, value in terms.items() if name not in ("total", "gradient")}
    assert {"adversarial", "features", "discriminator", "wave"} <= parts.keys()
    assert terms["total"] == pytest.approx(sum(parts.values()), rel=1e-4)
    assert parts["features"] > 0 and parts["discriminator"] == pytest.approx(2, abs=0.5), "hinge, before it has learnt"
    still = {name for name, value in trainer.net.named_parameters() if torch.equal(value, before[name])}
    # at first the hinge pulls on both sides alike, and biases may stay where they are
    assert not [name for name in still if "weight" in name]
    assert sum(name.startswith("discriminator.") and "weight" in name for name in before) == 12
    assert not {"adversarial", "features", "discriminator"} & trainer.validate().keys()


def test_a_stage_goes_on_from_a_plain_denoiser_and_a_plain_one_from_it(
    adversarial: TrainConfig, config: TrainConfig, folders: Folders, tmp_path: Path
) -> None:
    plain = make_trainer(config, folders, tmp_path / "plain", ALONE)
    step(plain)
    plain.save(LAST)
    stage = make_trainer(adversarial, folders, tmp_path / "stage", ALONE)
    fresh = {name: value.clone() for name, value in stage.net.state_dict().items() if name.startswith("discriminator.")}
    stage.load_weights(load_checkpoint(tmp_path / "plain" / LAST)[0])
    loaded = stage.net.state_dict()
    for name, value in plain.net.state_dict().items():
        assert torch.equal(loaded[name], value), name
    assert fresh and all(torch.equal(loaded[name], value) for name, value in fresh.items())
    step(stage)
    stage.save(LAST)
    again = make_trainer(config, folders, tmp_path / "again", ALONE)
    again.load_weights(load_checkpoint(tmp_path / "stage" / LAST)[0])
    for name, value in again.net.state_dict().items():
        assert torch.equal(stage.net.state_dict()[name], value), name


def test_the_stage_resumes_to_the_bit(adversarial: TrainConfig, folders: Folders, tmp_path: Path) -> None:
    whole, parts = (make_trainer(adversarial, folders, tmp_path / name, ALONE) for name in ("whole", "parts"))
    for _ in range(4):
        step(whole)
    for _ in range(2):
        step(parts)
    parts.save(LAST)
    resumed = make_trainer(adversarial, folders, tmp_path / "parts", ALONE)
    resumed.resume(tmp_path / "parts" / LAST)
    for _ in range(2):
        step(resumed)
    found = list(zip(whole.net.state_dict().items(), resumed.net.state_dict().values(), strict=True))
    assert len(found) > 60
    assert [name for (name, a), b in found if not torch.equal(a, b)] == []


def test_a_checkpoint_without_the_adversary_is_refused_by_name(
    adversarial: TrainConfig, trainer: Trainer, folders: Folders, tmp_path: Path
) -> None:
    trainer.save(LAST)
    with pytest.raises(ModelFormatError, match=r"loss.adversarial_weight = 0.0, the config says 0.1"):
        make_trainer(adversarial, folders, tmp_path / "other", ALONE).resume(trainer.folder / LAST)


def test_in_the_stage_the_best_is_the_last_that_was_validated(
    adversarial: TrainConfig, folders: Folders, tmp_path: Path
) -> None:
    """No loss knows which is better; by the plain ones the stage would never be better than where it began."""
    optim = dataclasses.replace(adversarial.optim, patience=1)
    trainer = make_trainer(dataclasses.replace(adversarial, optim=optim), folders, tmp_path, ALONE)
    trainer.best = 0.0
    trainer.run()
    assert trainer.step == adversarial.optim.steps, "nor does the patience end it"
    assert load_checkpoint(tmp_path / BEST)[1]["step"] == trainer.step
    assert trainer.best > 0


def test_what_is_exported_is_the_denoiser_alone_and_says_what_it_was_trained_on(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(loss=ADVERSARY | {"discriminator_channels": 4, "si_sdr_weight": 0.1, "estoi_weight": 0.1})
    trainer = make_trainer(config, folders, tmp_path / "run", ALONE)
    assert {"si_sdr", "estoi"} <= step(trainer).keys()
    trainer.save(LAST)
    net, _, _ = load_denoiser(tmp_path / "run" / LAST)
    assert not any("discriminator" in name for name, _ in net.named_parameters())
    model, weights = tmp_path / "tiny.onnx", tmp_path / "tiny.safetensors"
    assert main(["export", str(tmp_path / "run" / LAST), "-o", str(model), "--weights", str(weights)]) == 0
    training = Model(model).spec.training
    assert training["trained_on_measures"] == ["SI-SDR", "ESTOI"]
    assert training["parameters"] == sum(parameter.numel() for parameter in net.parameters())
    assert not any("discriminator" in name for name in load_checkpoint(weights)[0])
    assert "declared delay" in capsys.readouterr().out


def test_what_is_adapted_stays_the_best_until_something_is_better(
    config: TrainConfig, folders: Folders, tmp_path: Path
) -> None:
    """An adaptation that only makes it worse must not be what is exported."""
    source = make_trainer(config, folders, tmp_path / "source", ALONE)
    source.save(LAST)
    ruinous = dataclasses.replace(config, optim=dataclasses.replace(config.optim, learning_rate=5.0, ema=0.0))
    adapted = make_trainer(ruinous, folders, tmp_path / "adapted", ALONE)
    adapted.load_weights(load_checkpoint(tmp_path / "source" / LAST)[0])
    before = adapted.validate()["total"]
    adapted.run()
    assert adapted.validate()["total"] > before
    _, facts = load_checkpoint(tmp_path / "adapted" / BEST)
    assert facts["step"] == 0 and facts["best"] == pytest.approx(before)


def test_the_weights_of_a_codecs_adversary_are_refused_where_they_do_nothing() -> None:
    with pytest.raises(ParameterError, match=r"belong into \[codec\]"):
        parse_config({"codec": {}, "loss": {"adversarial_weight": 0.1}})


def test_silence_and_noise_alone_give_finite_terms(adversarial: TrainConfig, folders: Folders, tmp_path: Path) -> None:
    trainer = make_trainer(adversarial, folders, tmp_path, ALONE)
    noisy = 0.1 * np.random.default_rng(3).standard_normal((4, 6400)).astype(np.float32)
    noisy[2:] = 0.0
    terms = trainer.train_step((torch.from_numpy(noisy), torch.zeros(4, 6400)))
    assert np.isfinite(list(terms.values())).all()
