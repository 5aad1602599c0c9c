import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from rtae.errors import ModelFormatError, ParameterError, RtaeError
from rtae.model import Model
from rtae.train import verify_codec as verifying
from rtae.train.checkpoint import load_checkpoint
from rtae.train.codec_losses import level
from rtae.train.codec_nets import Codec, Spectrum, initial_state
from rtae.train.coding import CodingNet
from rtae.train.config import TrainConfig
from rtae.train.discriminator import Discriminator, adversarial_terms
from rtae.train.distributed import World
from rtae.train.export import round_to_half
from rtae.train.export_codec import code_use, codec_specs, export_codec
from rtae.train.loop import LAST, Trainer
from rtae.train.quantize import ResidualQuantizer
from rtae.train.session import Folders, is_codec, load_codec, load_denoiser, make_trainer, save_weights
from rtae.train.verify_codec import decode, decode_latents, encode, encode_latents
from tests.unit.train import conftest

ALONE = World(0, 1, torch.device("cpu"))
SIZES = {
    "sample_rate": 16000,
    "hop": 160,
    "analysis": 480,
    "synthesis": 320,
    "width": 16,
    "encoder_blocks": 2,
    "decoder_blocks": 2,
    "latent": 8,
    "stages": 3,
    "bits": 4,
    "mel_windows": [256, 512],
    "discriminator_windows": [256],
    "discriminator_channels": 4,
    "warmup_steps": 3,
    "continuous_steps": 2,
}


def tiny(**changes: object) -> TrainConfig:
    return conftest.tiny(codec={**SIZES, **changes})


def make_codec() -> Codec:
    torch.manual_seed(4)
    config = tiny().codec
    assert config is not None
    codec = CodingNet(config).eval().codec
    with torch.no_grad():
        codec.bottleneck.codebooks.normal_()
        codec.bottleneck.draws.fill_(config.continuous_steps)
        codec.encoder.leave.weight *= 3
    round_to_half(codec)  # as the export does
    return codec


@pytest.fixture
def codec() -> Codec:
    return make_codec()


def noise(seed: int = 2, hops: int = 30) -> torch.Tensor:
    return 0.1 * torch.randn(2, hops * 160, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_streaming_is_the_whole_signal(codec: Codec) -> None:
    audio = noise()
    latent, _ = codec.encoder(audio, initial_state(codec.encoder, 2))
    decoded, _ = codec.decoder(latent, initial_state(codec.decoder, 2))
    states = [initial_state(codec.encoder, 2), initial_state(codec.decoder, 2)]
    latents, outputs = [], []
    for hop in audio.split(160, dim=1):
        step, states[0] = codec.encoder(hop, states[0])
        output, states[1] = codec.decoder(step, states[1])
        latents.append(step)
        outputs.append(output)
    assert decoded.shape == audio.shape and decoded.abs().max() > 0
    torch.testing.assert_close(torch.cat(latents), latent, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.cat(outputs, dim=1), decoded, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [720, 480, 60, 45, 7])
def test_one_frame_or_many_have_the_same_spectrum(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    frames, window = torch.randn(3, 2, size, generator=generator), torch.rand(size, generator=generator)
    spectrum = Spectrum(window.numpy())
    expected = torch.fft.rfft((frames * window).double())
    assert expected.shape == (3, 2, size // 2 + 1)
    many = torch.complex(*spectrum(frames))
    alone = torch.cat([torch.complex(*spectrum(frame[None])) for frame in frames])
    for found in (many, alone):
        torch.testing.assert_close(found, expected.to(torch.complex64), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_nothing_looks_ahead(codec: Codec) -> None:
    audio, changed = noise(), noise()
    changed[:, 20 * 160 :] += 0.1
    first, second = (codec(signal)[0] for signal in (audio, changed))
    torch.testing.assert_close(first[:, : 20 * 160], second[:, : 20 * 160], atol=1e-6, rtol=0)
    assert (first[:, 20 * 160 :] - second[:, 20 * 160 :]).abs().max() > 1e-6


@pytest.mark.parametrize("changes", [{"bottleneck": "none"}, {"encoder_blocks": 0}, {"part": "middle"}, {"stages": 0}])
def test_configurations_without_sense_are_refused(changes: dict[str, object]) -> None:
    config = tiny(**changes).codec
    assert config is not None
    with pytest.raises(ParameterError, match="codec"):
        CodingNet(config)


@pytest.mark.parametrize("bottleneck", ["codes", "gaussian"])
def test_training_lowers_the_loss(bottleneck: str, folders: Folders, tmp_path: Path) -> None:
    config = tiny(bottleneck=bottleneck)
    trainer = make_trainer(
        dataclasses.replace(
            config, optim=dataclasses.replace(config.optim, steps=40, ema=0.9, learning_rate=1e-2, validate_every=40)
        ),
        folders,
        tmp_path,
        ALONE,
    )
    for index, parameters in enumerate(trainer.net.parameters()):
        assert torch.isfinite(parameters).all(), index
    trainer.train_step(trainer.task.batch(0, 0, 4))
    before = trainer.validate()["mel"]
    trainer.run()
    assert trainer.step == 40
    assert trainer.validate()["mel"] < 0.9 * before


def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(folders: Folders, tmp_path: Path) -> None:
    config = tiny(adversarial_weight=0.1, feature_weight=0.1)
    whole = make_trainer(config, folders, tmp_path / "whole", ALONE)
    parts = make_trainer(config, folders, tmp_path / "parts", ALONE)
    for trainer, steps in ((whole, 5), (parts, 3)):
        for step in range(steps):
            trainer.train_step(trainer.task.batch(step, 0, 4))
    parts.save(LAST)
    resumed = make_trainer(config, folders, tmp_path / "parts", ALONE)
    resumed.resume(tmp_path / "parts" / LAST)
    for step in (3, 4):
        resumed.train_step(resumed.task.batch(step, 0, 4))
    pairs = list(zip(whole.net.state_dict().items(), resumed.net.state_dict().values(), strict=True))
    assert len(pairs) > 20
    assert [name for (name, a), b in pairs if not torch.equal(a, b)] == []
    other = make_trainer(tiny(kernel=3, adversarial_weight=0.1, feature_weight=0.1), folders, tmp_path / "other", ALONE)
    with pytest.raises(ModelFormatError, match=r"codec.kernel = 5, the config says 3"):
        other.resume(tmp_path / "parts" / LAST)


def moved(trainer: Trainer) -> set[str]:
    """Take three steps and return the parts of the network that changed."""
    before = {name: value.clone() for name, value in trainer.net.state_dict().items()}
    for step in range(3):
        trainer.train_step(trainer.task.batch(step, 0, 4))
    changed = {name for name, value in trainer.net.state_dict().items() if not torch.equal(value, before[name])}
    return {name.removeprefix("codec.").split(".")[0] for name in changed if not name.endswith("draws")}


def test_the_stages_train_their_parts_alone_and_go_on_from_each_other(folders: Folders, tmp_path: Path) -> None:
    first = make_trainer(tiny(), folders, tmp_path / "first", ALONE)
    assert moved(first) == {"encoder", "bottleneck", "decoder"}
    first.save(LAST)
    weights = load_checkpoint(tmp_path / "first" / LAST)[0]
    against = make_trainer(tiny(part="decoder", adversarial_weight=0.1), folders, tmp_path / "second", ALONE)
    against.load_weights(weights)
    assert moved(against) == {"decoder", "discriminator"}
    denoising = make_trainer(tiny(part="encoder"), folders, tmp_path / "third", ALONE)
    denoising.load_weights(weights)
    assert moved(denoising) == {"encoder"}


def test_a_variational_twin_starts_from_a_codec_and_hears_what_it_heard(folders: Folders, tmp_path: Path) -> None:
    codes = make_trainer(tiny(), folders, tmp_path / "codes", ALONE)
    codes.save(LAST)
    twin = make_trainer(tiny(bottleneck="gaussian"), folders, tmp_path / "twin", ALONE)
    twin.load_weights(load_checkpoint(tmp_path / "codes" / LAST)[0])
    latent = torch.randn(5, 2, SIZES["latent"])
    audio = [part.codec.decoder(latent, initial_state(part.codec.decoder, 2))[0] for part in (codes.net, twin.net)]
    assert torch.equal(*audio)
    bottleneck = twin.net.codec.bottleneck
    mean, log_variance = bottleneck.distribution(latent)
    assert torch.allclose(mean, latent) and bool((log_variance < -2).all())


def test_each_side_of_the_adversarial_terms_moves_its_own_weights_alone() -> None:
    torch.manual_seed(6)
    discriminator = Discriminator((256,), 4)
    real, generated = torch.randn(2, 2000), torch.randn(2, 2000, requires_grad=True)
    terms = adversarial_terms(discriminator, generated, real)
    (terms["adversarial"] + terms["features"]).backward()
    assert generated.grad is not None and generated.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    generated.grad = None
    adversarial_terms(discriminator, generated, real)["discriminator"].backward()
    assert generated.grad is None
    assert all(parameter.grad is not None for parameter in discriminator.parameters())


def test_the_discriminator_learns_to_tell_real_from_generated() -> None:
    torch.manual_seed(6)
    discriminator = Discriminator((256,), 4)
    optimizer = torch.optim.Adam(discriminator.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        real = torch.randn(2, 2000)
        generated = torch.nn.functional.avg_pool1d(torch.randn(2, 2002), 3, 1)
        loss = adversarial_terms(discriminator, generated, real)["discriminator"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.5 and losses[-1] < 0.5


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("codec")
    return folder, export_codec(make_codec(), folder, "tiny", {"data": "none"})


def test_an_exported_codec_gives_the_codes_and_the_audio_of_the_network(
    exported: tuple[Path, dict[str, object]], codec: Codec
) -> None:
    folder, found = exported
    assert found["codes tied"] == 0 and found["declared delay"] == 160
    assert sorted(path.name for path in folder.iterdir()) == ["tiny-decoder.onnx", "tiny-encoder.onnx"]
    audio = noise(8).numpy()
    codes = encode(folder / "tiny-encoder.onnx", audio)
    assert codes.shape == (2, 30, 3) and len(np.unique(codes)) > 4
    with torch.no_grad():
        expected = codec(torch.from_numpy(audio))[0].numpy()
    decoded = decode(folder / "tiny-decoder.onnx", codes)
    assert decoded.size == expected.size > 0
    assert np.abs(decoded - expected).max() < 1e-5


def test_fewer_stages_give_other_audio(exported: tuple[Path, dict[str, object]]) -> None:
    folder, _ = exported
    codes = encode(folder / "tiny-encoder.onnx", noise(8).numpy())
    fewer = codes.copy()
    fewer[:, :, 1:] = -1
    path = folder / "tiny-decoder.onnx"
    assert np.abs(decode(path, fewer) - decode(path, codes)).max() > 1e-6


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("codebooks", "codes are not those|audio of 1 stages"),
        ("delay", "declared delay"),
        ("leave", "audio of 1 stages"),
    ],
)
def test_a_file_that_is_not_the_network_is_found(
    spoil: str, message: str, exported: tuple[Path, dict[str, object]], codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = exported
    with torch.no_grad():
        if spoil == "codebooks":
            codec.bottleneck.codebooks += 0.2 * torch.randn(codec.bottleneck.codebooks.shape)
        elif spoil == "leave":
            codec.decoder.leave.bias += 0.1
        else:
            original = verifying.Model
            model = original(folder / "tiny-decoder.onnx")
            wrong = dataclasses.replace(model.spec, delay=159)

            def lying(path: Path, **given: int) -> verifying.Model:
                found = original(path, **given)
                found.spec = wrong if found.spec.kind == "decoder" else found.spec
                return found

            monkeypatch.setattr(verifying, "Model", lying)
    with pytest.raises(RtaeError, match=message):
        verifying.verify_codec(codec, folder / "tiny-encoder.onnx", folder / "tiny-decoder.onnx")


def test_what_cannot_be_exported_leaves_nothing(codec: Codec, tmp_path: Path) -> None:
    (tmp_path / "tiny-encoder.onnx").write_bytes(b"mine")
    with pytest.raises(ParameterError, match="--force"):
        export_codec(codec, tmp_path, "tiny", {})
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-encoder.onnx"]
    with torch.no_grad():
        codec.decoder.transform += 0.01  # no delay can then be right
    with pytest.raises(RtaeError, match="declared delay"):
        export_codec(codec, tmp_path / "new", "tiny", {})
    assert list((tmp_path / "new").iterdir()) == []


def test_checkpoints_of_codec_and_denoiser_are_told_apart(folders: Folders, trainer: Trainer, tmp_path: Path) -> None:
    coding = make_trainer(tiny(), folders, tmp_path / "codec", ALONE)
    coding.save(LAST)
    trainer.save(LAST)
    assert is_codec(coding.folder / LAST) and not is_codec(trainer.folder / LAST)
    codec, config, _ = load_codec(coding.folder / LAST)
    assert codec.config == config.codec == tiny().codec
    with pytest.raises(ParameterError, match="a denoiser's is needed"):
        load_denoiser(coding.folder / LAST)
    with pytest.raises(ParameterError, match="a codec's is needed"):
        load_codec(trainer.folder / LAST)


def test_the_encoder_gives_what_it_quantises(exported: tuple[Path, dict[str, object]], codec: Codec) -> None:
    folder, _ = exported
    audio = noise(8)
    spec = Model(folder / "tiny-encoder.onnx").spec
    assert (spec.latent_size, spec.format_version) == (8, 2)
    with torch.no_grad():
        latent = codec.encoder(audio, initial_state(codec.encoder, 2))[0].transpose(0, 1).numpy()
    ours = encode_latents(folder / "tiny-encoder.onnx", audio.numpy())
    assert ours.shape == (2, 30, 8) and np.abs(ours).max() > 0.1
    np.testing.assert_allclose(ours, latent, atol=1e-4, rtol=1e-4)
    codes = encode(folder / "tiny-encoder.onnx", audio.numpy())
    again = codec.bottleneck.codes(torch.from_numpy(ours.reshape(-1, 8))).numpy()
    np.testing.assert_array_equal(again, codes.reshape(-1, 3))


def test_the_decoder_of_codes_stays_in_the_first_format(exported: tuple[Path, dict[str, object]]) -> None:
    spec = Model(exported[0] / "tiny-decoder.onnx").spec
    assert (spec.latent_size, spec.format_version) == (0, 1)


def test_the_use_of_the_codes_is_in_the_file(codec: Codec, tmp_path: Path) -> None:
    assert isinstance(codec.bottleneck, ResidualQuantizer)
    codec.bottleneck.counts.zero_()
    codec.bottleneck.counts[:, 0] = 1.0
    codec.bottleneck.counts[0, :4] = 2.0
    assert code_use(codec.bottleneck) == {"entropy_bits": [2.0, 0.0, 0.0], "codes_in_use": [0.25, 0.062, 0.062]}
    encoder, decoder = codec_specs(codec, "tiny", {}, {"pesq_wb": 2.5})
    assert encoder.metrics == decoder.metrics
    assert encoder.metrics["pesq_wb"] == 2.5 and encoder.metrics["entropy_bits"] == [2.0, 0.0, 0.0]
    assert encoder.training["codebooks_sha256"] == decoder.training["codebooks_sha256"]
    codec.bottleneck.codebooks += 1
    assert codec_specs(codec, "tiny", {}, {})[0].training["codebooks_sha256"] != encoder.training["codebooks_sha256"]


def test_an_encoder_trained_alone_is_exported_alone(codec: Codec, tmp_path: Path) -> None:
    denoising = Codec(dataclasses.replace(codec.config, part="encoder"))
    denoising.load_state_dict(codec.state_dict())
    export_codec(denoising, tmp_path, "tiny-encoder-denoise", {})
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-encoder-denoise.onnx"]
    spec = Model(tmp_path / "tiny-encoder-denoise.onnx").spec
    assert (spec.kind, spec.name) == ("encoder", "tiny-encoder-denoise")


@pytest.fixture(scope="module")
def twin() -> Codec:
    torch.manual_seed(5)
    config = tiny(bottleneck="gaussian").codec
    assert config is not None
    codec = CodingNet(config).eval().codec
    with torch.no_grad():
        codec.encoder.leave.weight *= 3
    return codec


@pytest.fixture(scope="module")
def exported_twin(twin: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    found = export_codec(twin, folder, "tiny", {"data": "none"})
    assert found["declared delay"] == 160
    return folder


def test_an_exported_variational_twin_is_the_network(exported_twin: Path, twin: Codec) -> None:
    paths = [exported_twin / f"tiny-{end}.onnx" for end in ("encoder", "decoder")]
    assert sorted(exported_twin.iterdir()) == sorted(paths)
    specs = [Model(path).spec for path in paths]
    assert [spec.kind for spec in specs] == ["vae-encoder", "vae-decoder"]
    assert [(spec.latent_size, spec.codebooks, spec.format_version) for spec in specs] == [(8, 0, 2), (8, 0, 2)]
    audio = noise(9)
    means = encode_latents(paths[0], audio.numpy())
    assert means.shape == (2, 30, 8) and np.abs(means).max() > 0.1
    with torch.no_grad():
        expected = twin(audio)[0].numpy()
    decoded = decode_latents(paths[1], means)
    assert decoded.size == expected.size > 0
    assert np.abs(decoded - expected).max() < 1e-5


@pytest.mark.parametrize(("spoil", "message"), [("encoder", "means of the whole"), ("decoder", "audio differs")])
def test_a_twin_that_is_not_the_network_is_found(spoil: str, message: str, exported_twin: Path, twin: Codec) -> None:
    other = Codec(twin.config).eval()
    other.load_state_dict(twin.state_dict())
    with torch.no_grad():
        (other.bottleneck.moments if spoil == "encoder" else other.decoder.leave).bias += 0.1
    with pytest.raises(RtaeError, match=message):
        verifying.verify_codec(other, *(exported_twin / f"tiny-{end}.onnx" for end in ("encoder", "decoder")))


def test_weights_in_half_precision_give_the_same_files(folders: Folders, tmp_path: Path) -> None:
    trainer = make_trainer(tiny(), folders, tmp_path / "run", ALONE)
    for step in range(4):
        trainer.train_step(trainer.task.batch(step, 0, 4))
    trainer.save(LAST)
    save_weights(tmp_path / "run" / LAST, tmp_path / "tiny.safetensors")
    assert (tmp_path / "tiny.safetensors").stat().st_size < 0.3 * (tmp_path / "run" / LAST).stat().st_size
    files = []
    for source in (tmp_path / "run" / LAST, tmp_path / "tiny.safetensors"):
        codec, _, _ = load_codec(source)
        export_codec(codec, tmp_path / source.stem, "tiny", {})
        graphs = [onnx.load(tmp_path / source.stem / f"tiny-{end}.onnx").graph for end in ("encoder", "decoder")]
        files.append([(item.name, item.raw_data) for graph in graphs for item in graph.initializer])
        halved = [name for name, _ in files[-1] if name.endswith(".half")]
        assert len(halved) > 10
    assert files[0] == files[1]


def test_noise_without_speech_counts_but_not_without_bound() -> None:
    noise = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(1))
    speech = torch.sin(torch.arange(4000) / 20).expand(2, -1)
    assert torch.allclose(level(speech, speech), 2**0.5 * torch.ones(2, 1), rtol=1e-2)
    assert torch.equal(level(speech, speech + noise), level(speech, speech))
    assert torch.allclose(level(torch.zeros_like(noise), noise), torch.full((2, 1), 100.0), rtol=0.1)
    assert bool(level(torch.zeros_like(noise), torch.zeros_like(noise)).isfinite().all())
