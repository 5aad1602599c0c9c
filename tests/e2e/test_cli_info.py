"""``rtae info``."""

import pytest

from rtae.cli import main


def facts(capsys, *arguments):
    assert main(["info", *map(str, arguments)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return dict(line.split("  ", 1) for line in lines), lines


def test_denoiser_tells_its_latency(build, capsys):
    path = build("delay", samples=192)
    found, lines = facts(capsys, path)
    values = {name: value.strip() for name, value in found.items()}
    assert values["kind"] == "denoiser"
    assert values["hop"] == "128 samples, 2.67 ms"
    assert values["delay"] == "192 samples, 4.00 ms"
    assert values["algorithmic latency"] == "320 samples, 6.67 ms"
    assert values["file"].startswith(str(path))
    assert "codebooks" not in values
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_codec_tells_its_bit_rate(build, capsys, kind):
    values, _ = facts(capsys, build(kind))
    assert values["kind"].strip() == kind
    assert "32 of 16 bits, up to 768000 bit/s" in values["codebooks"]


@pytest.mark.parametrize(("name", "kind"), [("latent_encoder", "encoder"), ("vae_decoder", "vae-decoder")])
def test_latents_and_the_format_that_has_them_are_told(build, capsys, name, kind):
    values, _ = facts(capsys, build(name))
    assert values["kind"].strip() == kind
    assert values["latents"].strip() == "32 numbers a hop"
    assert values["format"].strip() == "2"


def test_classes_are_told(build, capsys):
    values, _ = facts(capsys, build("classifier"))
    assert values["kind"].strip() == "classifier" and values["classes"].strip() == "quiet, loud"
