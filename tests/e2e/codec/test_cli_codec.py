"""``rtae encode``, ``rtae decode`` and ``rtae info`` of streams, as a user calls them."""

import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from onnx import helper

from rtae.cli import main
from tests import models

SEED = 41
RATE = 44_100


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    """A codec that is 16-bit PCM at 8 kHz, 3.2 to 128 kbit/s."""
    path = tmp_path_factory.mktemp("codec") / "pcm"
    models.encoder(path.with_name("pcm-encoder.onnx"), hop=40, sample_rate=8_000)
    models.decoder(path.with_name("pcm-decoder.onnx"), hop=40, sample_rate=8_000)
    return path


def smooth(samples, channels=1, rate=RATE):
    """A tone of 300 Hz and one of 500 that rise and fall: no codec of 8 kHz may lose any of it."""
    time_s = np.arange(samples)[:, None] / rate
    shape = np.sin(np.pi * np.arange(samples) / samples)[:, None] ** 2
    return (0.5 * shape * np.sin(2 * np.pi * time_s * [300, 500][:channels])).astype(np.float32)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, smooth(60_001, 2), RATE, "FLOAT")
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def python(*arguments, **options):
    command = [sys.executable, "-m", "rtae", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, timeout=100, **options)


def refused(folder, capsys, *arguments):
    before = sorted(os.listdir(folder))
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1, captured.err
    assert captured.err.startswith("rtae: ")
    assert sorted(os.listdir(folder)) == before
    return captured.err


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_comes_back_with_its_length_rate_and_channels(tmp_path, clip, codec, suffix, capsys):
    stream, target = tmp_path / "clip.rtae", tmp_path / f"out.{suffix}"
    assert run("encode", clip, stream, "--kbps", 128, "-m", codec) == 0
    assert "1.4 s in" in capsys.readouterr().err
    assert run("decode", stream, target, "-m", codec) == 0
    info = soundfile.info(target)
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (RATE, 2, 60_001, "PCM_16")
    assert np.abs(soundfile.read(target)[0] - smooth(60_001, 2)).max() < 0.01
    assert sorted(os.listdir(tmp_path)) == ["clip.rtae", "clip.wav", f"out.{suffix}"]


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_the_shortest_files(tmp_path, codec, samples):
    soundfile.write(tmp_path / "a.wav", np.full(samples, 0.1), 8_000)
    assert run("encode", tmp_path / "a.wav", tmp_path / "a.rtae", "-m", codec) == 0
    assert run("decode", tmp_path / "a.rtae", tmp_path / "b.wav", "-m", codec) == 0
    assert soundfile.info(tmp_path / "b.wav").frames == samples


def test_info_of_a_stream(tmp_path, clip, codec, capsys):
    stream = tmp_path / "clip.rtae"
    assert run("encode", clip, stream, "--kbps", 33, "-m", codec) == 0
    capsys.readouterr()
    assert run("info", stream) == 0
    captured = capsys.readouterr()
    facts = {
        name.strip(): value.strip() for name, _, value in (line.partition("  ") for line in captured.out.split("\n"))
    }
    assert facts["kind"] == "stream" and facts["codec"] == "pcm" and facts["channels"] == "2"
    assert facts["length"] == "60001 samples, 1.36 s"
    assert facts["bit rate"] == "32 kbit/s a channel"
    assert facts["mean bit rate"].startswith("64.00 kbit/s in all, 64.")
    assert not captured.err


def test_pipes_all_the_way(clip, codec):
    encoded = python("encode", "-", "-", "--kbps", 128, "-m", codec, input=clip.read_bytes())
    assert encoded.returncode == 0 and encoded.stderr == b""
    decoded = python("decode", "-", "-", "-m", codec, input=encoded.stdout)
    assert decoded.returncode == 0 and decoded.stderr == b""
    audio, rate = soundfile.read(io.BytesIO(decoded.stdout))
    assert rate == RATE and audio.shape == (60_001, 2)
    assert np.abs(audio - smooth(60_001, 2)).max() < 0.01


def test_a_pipe_of_unknown_length(clip, codec):
    """As programs write that do not know how much will come: the largest size in the header."""
    data = bytearray(soundfile_wav(smooth(30_000)))
    data[4:8] = data[40:44] = b"\xff" * 4
    encoded = python("encode", "-", "-", "--kbps", 128, "-m", codec, input=bytes(data))
    assert encoded.returncode == 0, encoded.stderr
    decoded = python("decode", "-", "-", "-m", codec, input=encoded.stdout)
    assert decoded.returncode == 0, decoded.stderr
    assert decoded.stdout[40:44] != (60_000).to_bytes(4, "little")  # it did not know either
    samples = np.frombuffer(decoded.stdout[44:], "<i2") / 32768
    assert samples.shape == (30_000,)
    assert np.abs(samples - smooth(30_000)[:, 0]).max() < 0.01


def soundfile_wav(audio):
    file = io.BytesIO()
    soundfile.write(file, audio, RATE, "PCM_16", format="WAV")
    assert file.getvalue()[36:40] == b"data"
    return file.getvalue()


def test_existing_outputs_are_kept_unless_forced(tmp_path, clip, codec, capsys):
    (tmp_path / "a.rtae").write_bytes(b"mine")
    assert "--force" in refused(tmp_path, capsys, "encode", clip, tmp_path / "a.rtae", "-m", codec)
    assert (tmp_path / "a.rtae").read_bytes() == b"mine"
    assert run("encode", clip, tmp_path / "a.rtae", "--force", "-m", codec) == 0
    capsys.readouterr()
    assert "--force" in refused(tmp_path, capsys, "decode", tmp_path / "a.rtae", clip, "-m", codec)
    assert "replace the input" in refused(tmp_path, capsys, "encode", clip, clip, "--force", "-m", codec)


def test_wrong_usage_is_one_line(tmp_path, clip, codec, capsys):
    stream = tmp_path / "a.rtae"
    assert run("encode", clip, stream, "-m", codec) == 0
    capsys.readouterr()
    out = tmp_path / "out.wav"
    lines = {
        "3.2 to 128 in steps of 3.2": ("encode", clip, tmp_path / "b.rtae", "--kbps", 500, "-m", codec),
        "no model 'codec-none-encoder'": ("encode", clip, tmp_path / "b.rtae", "-m", "codec-none"),
        "No such file": ("decode", tmp_path / "none.rtae", out),
        "no rtae stream": ("decode", clip, out, "-m", codec),
        "needs codec 'pcm'": ("decode", stream, out),
        "unknown suffix": ("decode", stream, tmp_path / "out.xyz", "-m", codec),
        "does not exist": ("encode", clip, tmp_path / "none" / "a.rtae", "-m", codec),
        "sound file": ("encode", stream, tmp_path / "b.rtae", "-m", codec),
        "Is a directory": ("decode", tmp_path, out, "-m", codec),
    }
    for words, arguments in lines.items():
        assert words in refused(tmp_path, capsys, *arguments)


def test_another_codec_is_refused_and_the_right_one_named(tmp_path, clip, codec, capsys):
    other = tmp_path / "other"
    models.encoder(other.with_name("other-encoder.onnx"), hop=32, sample_rate=8_000)
    models.decoder(other.with_name("other-decoder.onnx"), hop=32, sample_rate=8_000)
    assert run("encode", clip, tmp_path / "a.rtae", "-m", codec) == 0
    capsys.readouterr()
    line = refused(tmp_path, capsys, "decode", tmp_path / "a.rtae", tmp_path / "b.wav", "-m", other)
    assert "needs codec 'pcm' (SHA-256 of its decoder" in line and "--model" in line


def test_damage_is_concealed_and_told(tmp_path, clip, codec, capsys):
    stream, target = tmp_path / "a.rtae", tmp_path / "b.wav"
    assert run("encode", clip, stream, "--kbps", 128, "-m", codec) == 0
    data = bytearray(stream.read_bytes())
    data[len(data) // 2] ^= 16
    stream.write_bytes(data)
    capsys.readouterr()
    assert run("decode", stream, target, "-m", codec) == 1
    assert "is damaged" in (line := capsys.readouterr().err) and "0.50 s concealed" in line
    assert soundfile.info(target).frames == 60_001
    assert run("info", stream) == 1
    assert "0.50 s lost" in capsys.readouterr().err


def test_of_a_stream_cut_short_there_is_what_came(tmp_path, clip, codec, capsys):
    stream, target = tmp_path / "a.rtae", tmp_path / "b.wav"
    assert run("encode", clip, stream, "--kbps", 128, "-m", codec) == 0
    data = stream.read_bytes()
    stream.write_bytes(data[: 2 * len(data) // 3])
    capsys.readouterr()
    assert run("decode", stream, target, "-m", codec) == 1
    assert "ends early, after 0.50 s" in capsys.readouterr().err
    audio = soundfile.read(target)[0]
    assert 0.4 * RATE < len(audio) < 0.51 * RATE
    assert np.abs(audio - smooth(60_001, 2)[: len(audio)])[:-100].max() < 0.01
    stream.write_bytes(data[:200])
    assert "ends early" in refused(tmp_path, capsys, "decode", stream, tmp_path / "c.wav", "-m", codec)


@pytest.mark.parametrize("command", ["encode", "decode"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_there_is_no_half_file(tmp_path, codec, command, number):
    """Input comes through a pipe that stays open, so that the command is in the middle of its work."""
    wav = soundfile_wav(smooth(RATE * 4))
    source = wav if command == "encode" else python("encode", "-", "-", "-m", codec, input=wav).stdout
    target = tmp_path / ("out.rtae" if command == "encode" else "out.wav")
    process = subprocess.Popen(
        [sys.executable, "-m", "rtae", command, "-", str(target), "-m", str(codec)],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdin.write(source[: len(source) * 9 // 10])
    process.stdin.flush()
    for _ in range(1_000):
        if os.listdir(tmp_path):
            break
        time.sleep(0.02)
    assert [name[-5:] for name in os.listdir(tmp_path)] == [".part"]
    process.send_signal(number)
    # The read it waits in is the system's: the end of its input lets it go.
    _, line = process.communicate(timeout=60)
    assert process.returncode in (128 + number, 2), line
    assert b"Traceback" not in line
    assert os.listdir(tmp_path) == []


def coarse_codec(path):
    """Hops of 100 ms at 48 kHz, of which a single sample is sent: long files take little time."""
    sizes = {"hop": 4_800, "sample_rate": 48_000, "codebooks": 1, "codebook_bits": 16}
    audio, codes, state = ("audio", models.FLOAT, 4_800), ("codes", models.INT, 1), ("state", models.FLOAT, 1)
    constants = {
        "scale": np.float32(32_767), "offset": np.float32(32_768), "low": np.array([0]), "high": np.array([1]),
        "axis": np.array([1]), "times": np.array([1, 4_800]),
    }  # fmt: skip
    node = helper.make_node
    keep = node("Identity", ["state"], ["state_out"])
    models.write(
        path.with_name("coarse-encoder.onnx"),
        models.spec("encoder", name="coarse-encoder", **sizes).to_json(),
        [keep, node("Slice", ["audio", "low", "high", "axis"], ["first"]), node("Mul", ["first", "scale"], ["scaled"]),
         node("Add", ["scaled", "offset"], ["shifted"]), node("Cast", ["shifted"], ["codes"], to=models.INT)],
        [audio, state], [codes, ("state_out", *state[1:])],
        {name: constants[name] for name in ("scale", "offset", "low", "high", "axis")},
    )  # fmt: skip
    models.write(
        path.with_name("coarse-decoder.onnx"),
        models.spec("decoder", name="coarse-decoder", **sizes).to_json(),
        [keep, node("Cast", ["codes"], ["value"], to=models.FLOAT), node("Sub", ["value", "offset"], ["shifted"]),
         node("Div", ["shifted", "scale"], ["sample"]), node("Tile", ["sample", "times"], ["audio_out"])],
        [codes, state], [("audio_out", *audio[1:]), ("state_out", *state[1:])],
        {name: constants[name] for name in ("scale", "offset", "times")},
    )  # fmt: skip
    return path


def test_memory_is_constant(tmp_path):
    """Five minutes, 55 MiB of samples, take no more memory than one, but for a few MiB of the allocator's."""
    codec = coarse_codec(tmp_path / "coarse")

    def peak(*arguments):
        script = (
            "import sys, resource; from rtae.cli import main\n"
            "status = main(sys.argv[1:])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\nsys.exit(status)"
        )
        command = [sys.executable, "-c", script, *map(str, arguments), "-m", str(codec)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]) / 1024

    peaks = {"encode": [], "decode": []}
    for minutes in (1, 5):
        wav, stream, out = (tmp_path / f"{minutes}.{suffix}" for suffix in ("wav", "rtae", "out.wav"))
        soundfile.write(wav, np.zeros(48_000 * 60 * minutes, np.int16), 48_000)
        peaks["encode"].append(peak("encode", wav, stream))
        peaks["decode"].append(peak("decode", stream, out))
        assert soundfile.info(out).frames == 48_000 * 60 * minutes
    print(peaks)
    for short, long in peaks.values():
        assert long < short + 12
