"""``rtae denoise`` on good files: length, alignment, coding, folders."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from scipy.signal import correlate

from rtae.cli import main

RATE = 48_000
SEED = 21
LOSSLESS = [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("flac", "PCM_24")]
LOSSY = [("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III")]


def noise(samples, channels=1, seed=SEED):
    print("seed", seed)
    return (0.1 * np.random.default_rng(seed).standard_normal((samples, channels))).astype(np.float32)


def speechlike(samples, rate):
    """Band-limited noise, which every coder and resampler carries."""
    slow = noise(samples + 64)[:, 0]
    return np.convolve(slow, np.hanning(rate // 2000 + 3), "same")[:samples, None].astype(np.float32) * 0.3


def read(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def lag(late, early):
    """Samples by which `late` comes after `early`."""
    return int(correlate(late[:, 0], early[:, 0], method="fft").argmax()) - (len(early) - 1)


@pytest.mark.parametrize("model", [("identity", {}), ("delay", {"samples": 192}), ("delay", {"samples": 1000})])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("suffix", "subtype"), LOSSLESS)
def test_model_without_effect_gives_back_the_same_file(tmp_path, build, model, channels, suffix, subtype):
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    soundfile.write(source, noise(70_001, channels), RATE, subtype)
    assert main(["denoise", str(source), "-o", str(target), "--model", str(build(model[0], **model[1]))]) == 0
    before, after = soundfile.info(source), soundfile.info(target)
    assert (after.format, after.subtype, after.samplerate) == (before.format, before.subtype, before.samplerate)
    assert read(target).shape == (70_001, channels)
    assert np.array_equal(read(target), read(source))


@pytest.mark.parametrize(("suffix", "subtype"), LOSSY)
def test_lossy_files_keep_length_coding_and_alignment(tmp_path, build, suffix, subtype):
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    soundfile.write(source, speechlike(100_001, RATE), RATE, subtype=subtype)
    assert main(["denoise", str(source), "-o", str(target), "--model", str(build("delay"))]) == 0
    assert soundfile.info(target).subtype == subtype
    before, after = read(source), read(target)
    assert after.shape == before.shape == (100_001, 1)
    assert lag(after, before) == 0
    assert np.corrcoef(after[:, 0], before[:, 0])[0, 1] > 0.99


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 96_000, 192_000])
def test_other_rates_keep_length_and_alignment(tmp_path, build, rate):
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    soundfile.write(source, speechlike(rate + 7, rate), rate, "FLOAT")
    assert main(["denoise", str(source), "-o", str(target), "--model", str(build("delay"))]) == 0
    before, after = read(source), read(target)
    assert soundfile.info(target).samplerate == rate
    assert after.shape == before.shape == (rate + 7, 1)
    assert lag(after, before) == 0
    assert np.corrcoef(after[:, 0], before[:, 0])[0, 1] > 0.999


@pytest.mark.parametrize("samples", [1, 100, 318, 319, 320])
def test_file_shorter_than_the_delay_comes_back_whole(tmp_path, build, samples):
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    soundfile.write(source, noise(samples), RATE)
    assert main(["denoise", str(source), "-o", str(target), "--model", str(build("delay", samples=192))]) == 0
    assert len(read(target)) == samples
    assert np.array_equal(read(target), read(source))


def test_suffix_of_the_output_decides_its_format(tmp_path, build):
    source = tmp_path / "in.wav"
    soundfile.write(source, noise(5000), RATE, "PCM_24")
    assert main(["denoise", str(source), "-o", str(tmp_path / "out.flac"), "--model", str(build("identity"))]) == 0
    assert soundfile.info(tmp_path / "out.flac").format == "FLAC"
    assert np.array_equal(read(tmp_path / "out.flac"), read(source))


@pytest.mark.parametrize(("limit", "factor"), [(None, 0.1), ("6", 10 ** (-6 / 20)), ("0", 1.0)])
def test_attenuation_limit_reaches_the_model(tmp_path, build, limit, factor):
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    soundfile.write(source, noise(5000), RATE, "FLOAT")
    options = [] if limit is None else ["--attenuation-limit", limit]
    model = str(build("gain", factor=0.1))
    assert main(["denoise", str(source), "-o", str(target), "--model", model, *options]) == 0
    assert np.abs(read(source)).max() > 0.1
    assert np.allclose(read(target), factor * read(source), atol=1e-6)


def test_samples_that_are_not_finite_do_not_spread(tmp_path, build):
    audio = noise(20_000)
    audio[5000:5003] = np.nan
    audio[7000] = np.inf
    soundfile.write(tmp_path / "in.wav", audio, RATE, "FLOAT")
    arguments = ["denoise", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav")]
    assert main([*arguments, "--model", str(build("compressor"))]) == 0
    after = read(tmp_path / "out.wav")
    assert after.shape == audio.shape
    assert np.all(np.isfinite(after))
    assert np.abs(after[8000:]).max() > 0.01


@pytest.mark.parametrize("name", ["folder/", "new/folder/"])
def test_one_file_into_a_folder_keeps_its_name(tmp_path, build, name):
    soundfile.write(tmp_path / "in.flac", noise(5000), RATE)
    output = os.path.join(tmp_path, name)
    assert main(["denoise", str(tmp_path / "in.flac"), "-o", output, "--model", str(build("identity"))]) == 0
    assert os.listdir(output) == ["in.flac"]


def test_several_files_go_to_a_folder_which_is_made(tmp_path, build, capsys):
    names = ["a.wav", "b.flac", "c.ogg"]
    for name in names:
        soundfile.write(tmp_path / name, noise(RATE), RATE)
    sources = [str(tmp_path / name) for name in names]
    assert main(["denoise", *sources, "-o", str(tmp_path / "out"), "--model", str(build("identity"))]) == 0
    assert sorted(os.listdir(tmp_path / "out")) == names
    assert "3 files, 3.0 s of audio" in capsys.readouterr().out


def test_a_bad_file_does_not_stop_the_others(tmp_path, build, capsys):
    soundfile.write(tmp_path / "a.wav", noise(5000), RATE)
    (tmp_path / "b.wav").write_bytes(b"")
    soundfile.write(tmp_path / "c.wav", noise(5000), RATE)
    sources = [str(tmp_path / f"{name}.wav") for name in "abc"]
    assert main(["denoise", *sources, "-o", str(tmp_path / "out"), "--model", str(build("identity"))]) == 1
    assert sorted(os.listdir(tmp_path / "out")) == ["a.wav", "c.wav"]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith(f"rtae: cannot read '{sources[1]}'")
    assert errors[1] == "rtae: 1 of 3 files failed"


def test_existing_outputs_are_kept_unless_forced(tmp_path, build, capsys):
    soundfile.write(tmp_path / "a.wav", noise(5000), RATE)
    soundfile.write(tmp_path / "b.wav", noise(5000), RATE)
    (tmp_path / "out").mkdir()
    kept = tmp_path / "out" / "a.wav"
    kept.write_bytes(b"precious")
    arguments = ["denoise", str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), "-o", str(tmp_path / "out")]
    arguments += ["--model", str(build("identity"))]
    assert main(arguments) == 1
    assert kept.read_bytes() == b"precious"
    assert len(read(tmp_path / "out" / "b.wav")) == 5000
    assert f"'{kept}' exists and was kept; add --force" in capsys.readouterr().err
    assert main(arguments) == 2
    assert main([*arguments, "--force"]) == 0
    assert np.array_equal(read(kept), read(tmp_path / "a.wav"))


PEAK = """
import resource, sys
from rtae.cli import main
status = main(["denoise", *sys.argv[1:]])
print(status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_length(tmp_path, build):
    def peak_mib(seconds):
        source = tmp_path / f"{seconds}.wav"
        with soundfile.SoundFile(source, "w", RATE, 2) as file:
            for _ in range(seconds):
                file.write(np.zeros((RATE, 2), np.int16))
        command = [sys.executable, "-c", PEAK, source, "-o", tmp_path / f"{seconds}-out.wav"]
        command += ["--model", build("identity", hop=4800)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        status, kib = result.stdout.split()[-2:]
        assert status == "0"
        assert soundfile.info(tmp_path / f"{seconds}-out.wav").frames == seconds * RATE
        return int(kib) / 1024

    short, long = peak_mib(5), peak_mib(605)
    print(f"{short:.1f} MiB for 5 s, {long:.1f} MiB for 605 s")
    assert long - short < 8  # the audio itself is 110 MiB as int16, 220 MiB as float32


def test_files_and_demo_need_neither_portaudio_nor_torch(tmp_path, build):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')")
    soundfile.write(tmp_path / "in.wav", noise(5000), RATE)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for arguments in (
        ["denoise", tmp_path / "in.wav", "-o", tmp_path / "out.wav"],
        ["demo", "--fast", "-o", tmp_path / "demo"],
    ):
        command = [sys.executable, "-m", "rtae", *arguments, "--model", build("identity")]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, "")
    assert len(read(tmp_path / "out.wav")) == 5000
    assert (tmp_path / "demo" / "after.wav").exists()
