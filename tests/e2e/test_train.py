import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtae
from rtae.cli import main

CONFIG = """
name = "smoke"
[data]
segment_s = 0.8
[net]
bands = 64
linear_bands = 32
channels = 8
bottleneck_channels = 8
full_band = 16
blocks = 1
[optim]
batch = 4
steps = 40
validate_every = 20
validation_batches = 1
warmup_steps = 5
"""


CODEC = """
name = "small"
[data]
segment_s = 0.5
[optim]
batch = 2
steps = 2
validate_every = 2
validation_batches = 1
warmup_steps = 1
[codec]
sample_rate = 48000
hop = 480
analysis = 1440
synthesis = 960
width = 16
encoder_blocks = 1
decoder_blocks = 1
bottleneck = "gaussian"
"""


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    (tmp_path / "noise").mkdir()
    for number in range(4):
        samples = 0.1 * rng.standard_normal(5 * 16000) * np.linspace(0.3, 1, 5 * 16000)
        soundfile.write(tmp_path / "noise" / f"fan{number}.wav", samples, 16000)
    return tmp_path / "noise"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rooms and rendered noise take half a minute: once is enough."""
    return tmp_path_factory.mktemp("cache")


def run(*arguments: object) -> tuple[int, str]:
    output = io.StringIO()
    with redirect_stdout(output):
        status = main([str(argument) for argument in arguments])
    return status, output.getvalue()


def test_from_folders_to_a_model_that_denoises(noise: Path, cache: Path, tmp_path: Path) -> None:
    """Bundled speech and a folder of noise; train, resume, adapt, export, use."""
    (tmp_path / "smoke.toml").write_text(CONFIG)
    common = ("--noise", noise, "--cache", cache)
    status, said = run("train", tmp_path / "smoke.toml", *common, "-o", tmp_path / "run")
    assert status == 0, said
    losses = [float(line.split("total ")[1].split()[0]) for line in said.splitlines() if "validation  total" in line]
    assert len(losses) == 2 and losses[1] < losses[0]
    assert main(["train", str(tmp_path / "smoke.toml"), *map(str, common), "-o", str(tmp_path / "run")]) == 2
    (tmp_path / "smoke.toml").write_text(CONFIG.replace("steps = 40", "steps = 50"))
    status, said = run("train", tmp_path / "smoke.toml", *common, "-o", tmp_path / "run", "--resume")
    assert status == 0 and "step 50/50" in said and "step 20 " not in said

    model, weights = tmp_path / "smoke.onnx", tmp_path / "smoke.safetensors"
    best = tmp_path / "run" / "best.safetensors"
    status, said = run("export", best, "-o", model, "--weights", weights, "--data", "white noise")
    assert status == 0 and "declared delay" in said
    assert weights.stat().st_size < best.stat().st_size / 2
    denoiser = rtae.load(str(model))
    assert denoiser.spec.training["data"] == "white noise"
    assert denoiser.process(np.zeros((100, 1), np.float32)).shape == (100, 1)

    status, said = run("train", "--from", weights, *common, "-o", tmp_path / "adapted", "--budget", "0.05")
    assert status == 0, said
    assert (tmp_path / "adapted" / "best.safetensors").exists()


def test_the_data_can_be_looked_at(noise: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "smoke.toml").write_text(CONFIG)
    page = tmp_path / "page"
    status, said = run("train", tmp_path / "smoke.toml", "--noise", noise, "--cache", cache, "--show-data", page)
    assert status == 0 and "index.html" in said
    text = (page / "index.html").read_text()
    assert text.count("<audio") == 24 and text.count("data:image/png;base64,") == 12
    assert text.count("dB above the noise") > 8


def test_a_search_prints_its_table_and_writes_the_best_choice(noise: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "smoke.toml").write_text(CONFIG.replace("steps = 40", "steps = 3"))
    status, said = run(
        "train", tmp_path / "smoke.toml", "--noise", noise, "--cache", cache, "-o", tmp_path / "search",
        "--search", "2", "--budget", "0.1", "--folds", "2",
    )  # fmt: skip
    assert status == 0
    table = [line for line in said.splitlines() if line.startswith("|")]
    assert len(table) == 4 and "us a hop" in table[0]
    from rtae.train.config import load_config

    assert load_config(tmp_path / "search" / "best.toml").name == "smoke"


def test_a_search_for_a_codec_takes_each_size_of_its_bottleneck_once(noise: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(CODEC)
    status, said = run(
        "train", tmp_path / "small.toml", "--noise", noise, "--cache", cache, "-o", tmp_path / "search",
        "--search", "9", "--budget", "0.1",
    )  # fmt: skip
    assert status == 0
    table = [[cell.strip() for cell in line.split("|")] for line in said.splitlines() if line.startswith("|")]
    assert table[0][2] == "latent" and sorted(int(row[2]) for row in table[2:]) == [8, 16, 32, 64]
    assert all(float(row[4]) > 0 for row in table[2:])
    from rtae.train.config import load_config
    from rtae.train.session import load_codec

    best = load_config(tmp_path / "search" / "best.toml")
    assert best.codec is not None and str(best.codec.latent) == table[2][2] and best.codec.width == 16
    sizes = {load_codec(path)[1].codec.latent for path in (tmp_path / "search").glob("trial-*-0/best.safetensors")}
    assert sizes == {8, 16, 32, 64}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--noise", "nowhere"], "CONFIG"),
        (["train", "denoise-8ms", "--noise", "nowhere"], "no sound files"),
        (["train", "denoise-9ms", "--noise", "nowhere"], "denoise-8ms"),
        (["train", "--from", "nothing", "--noise", "nowhere"], "no weights nothing"),
        (["train", "denoise-8ms", "--noise", "nowhere", "--search", "0"], "--search is 0"),
        (["train", "denoise-8ms", "--noise", "nowhere", "--search", "1", "--folds", "0"], "--folds is 0"),
        (["export", "nothing.safetensors", "-o", "x.onnx"], "no checkpoint at"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1
    assert not any(tmp_path.rglob("*.onnx"))
