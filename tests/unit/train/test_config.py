from pathlib import Path

import pytest

from rtae.errors import ParameterError
from rtae.train.codec_nets import Codec
from rtae.train.config import load_config, parse_config
from rtae.train.nets import Denoiser
from rtae.train.session import CONFIGS, find_config


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_in_the_package_describes_a_network_of_its_latency(path: Path) -> None:
    config = find_config(path.stem)
    if config.codec is None:
        latency_ms = 1e3 * (Denoiser(config.net).delay + config.net.hop) / config.net.sample_rate
    else:
        latency_ms = 1e3 * (Codec(config.codec).decoder.delay + config.codec.hop) / config.codec.sample_rate
    latencies = {"denoise-4ms": 4, "denoise-8ms": 8, "denoise-16ms": 16, "denoise-lite": 8, "denoise-adversarial": 8}
    assert config.name == {"codec-denoise": "codec-encoder-denoise"}.get(path.stem, path.stem)  # the name of the file
    assert latency_ms == latencies.get(path.stem, 20)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"nets": {}}, "unknown entry 'nets'"),
        ({"net": {"hopp": 3}}, "unknown key 'hopp'"),
        ({"net": {"hop": "3"}}, "net.hop is '3', expected a int"),
        ({"net": {"hop": True}}, "net.hop"),
        ({"net": 3}, "must be a table"),
        ({"name": ""}, "name"),
    ],
)
def test_what_is_unknown_or_of_the_wrong_type_is_named(data: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse_config(data)


def test_files_that_cannot_be_read_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name =")
    with pytest.raises(ParameterError, match="not valid TOML"):
        load_config(tmp_path / "bad.toml")
    with pytest.raises(ParameterError, match=r"denoise-8ms"):
        find_config("denoise-9ms")
