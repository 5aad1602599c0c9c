"""What goes wrong on the command line: one line that names the thing, status 2, nothing left behind, no traceback."""

import dataclasses
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
import soundfile

from rtae.cli import main
from rtae.spec import FORMAT_VERSION, METADATA_KEY
from tests import models

RATE = 48_000


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.full((20_000, 1), 0.1, np.float32), RATE)
    return path


def listing(folder):
    return sorted(
        os.path.relpath(os.path.join(base, name), folder) for base, _, names in os.walk(folder) for name in names
    )


@pytest.fixture
def refused(tmp_path, capsys):
    """Run a command that must fail; return its one line."""

    def refused(*arguments):
        before = listing(tmp_path)
        assert main([str(argument) for argument in arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 1, captured.err
        assert captured.err.startswith("rtae: ")
        assert listing(tmp_path) == before
        return captured.err

    return refused


def wav(channels):
    fields = struct.pack("<IHHIIHH", 16, 1, channels, RATE, 2 * channels * RATE, 2 * channels, 16)
    return b"RIFF" + struct.pack("<I", 1036) + b"WAVEfmt " + fields + b"data" + struct.pack("<I", 1000) + bytes(1000)


BAD_FILES = {
    "empty.wav": (b"", "empty"),
    "text.mp3": (b"no sound here\n" * 50, "no sound file"),
    "zip.flac": (b"PK\x03\x04" + bytes(200), "no sound file"),
    "mute.wav": (wav(0), "Channel count is zero"),
    "short.wav": (wav(1)[:-300], "truncated"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_sound_file(tmp_path, build, refused, name):
    content, words = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    line = refused("denoise", tmp_path / name, "-o", tmp_path / "out.wav", "--model", build("identity"))
    assert f"cannot read '{tmp_path / name}'" in line and words in line


def test_missing_sound_file_and_folder_as_input(tmp_path, build, refused):
    line = refused("denoise", tmp_path / "none.wav", "-o", tmp_path / "out.wav", "--model", build("identity"))
    assert "cannot read" in line and "none.wav" in line and "No such file" in line
    (tmp_path / "folder").mkdir()
    line = refused("denoise", tmp_path / "folder", "-o", tmp_path / "out", "--model", build("identity"))
    assert "no sound files in" in line


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg"])
def test_file_cut_off_in_the_middle_leaves_no_output(tmp_path, build, refused, suffix):
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    soundfile.write(whole, 0.1 * np.random.default_rng(1).standard_normal(5 * RATE), RATE)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    line = refused("denoise", cut, "-o", tmp_path / "out.wav", "--model", build("identity"))
    assert f"cannot read '{cut}'" in line and "truncated" in line


def test_rate_out_of_range(tmp_path, build, refused):
    soundfile.write(tmp_path / "slow.wav", np.zeros(1000), 4000)
    line = refused("denoise", tmp_path / "slow.wav", "-o", tmp_path / "out.wav", "--model", build("identity"))
    assert f"cannot denoise '{tmp_path / 'slow.wav'}'" in line and "4000" in line and "192000" in line


@pytest.mark.parametrize("command", ["denoise", "info"])
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown name", "neither a file nor a shipped model"),
        ("missing path", "neither a file nor a shipped model"),
        ("empty", "empty"),
        ("text", "onnxruntime cannot load"),
        ("half", "cut short"),
        ("foreign", "not an rtae model"),
        ("newer format", "pip install -U rtae"),
        ("wrong signature", "inputs are"),
        ("folder", "neither a file nor a shipped model"),
    ],
)
def test_bad_model(tmp_path, clip, build, refused, command, case, words):
    model = tmp_path / "model.onnx"
    if case == "unknown name":
        model = "no-such-model"
    elif case == "empty":
        model.write_bytes(b"")
    elif case == "text":
        model.write_text("this is no model\n" * 100)
    elif case == "half":
        content = build("delay").read_bytes()
        model.write_bytes(content[: len(content) // 2])
    elif case == "folder":
        model.mkdir()
    elif case != "missing path":
        proto = onnx.load(build("identity"))
        spec = next(entry for entry in proto.metadata_props if entry.key == METADATA_KEY)
        if case == "foreign":
            proto.metadata_props.remove(spec)
        elif case == "newer format":
            spec.value = spec.value.replace('"format_version": 1', f'"format_version": {FORMAT_VERSION + 1}')
        else:
            spec.value = dataclasses.replace(models.spec(), hop=64).to_json()
        onnx.save(proto, model)
    extra = ["-o", tmp_path / "out.wav", "--model"] if command == "denoise" else []
    line = refused(command, *([clip] if command == "denoise" else []), *extra, model)
    assert words in line


def test_model_that_is_no_denoiser(tmp_path, clip, build, refused):
    line = refused("denoise", clip, "-o", tmp_path / "out.wav", "--model", build("encoder"))
    assert "'pcm-encoder'" in line and "not a denoiser" in line


@pytest.mark.parametrize("limit", ["-3", "nan", "inf"])
def test_attenuation_limit_out_of_range(tmp_path, clip, build, refused, limit):
    line = refused(
        "denoise", clip, "-o", tmp_path / "out.wav", "--model", build("gain"), f"--attenuation-limit={limit}"
    )
    assert "attenuation_limit_db" in line


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("missing/out.wav", "does not exist"),
        ("clip.wav/out.wav", "Not a directory"),
        ("clip.wav/", "cannot make the folder"),
        ("clip.wav/x/", "Not a directory"),
        ("out.xyz", "unknown suffix '.xyz'"),
        ("out", "unknown suffix ''"),
        ("clip.wav", "would replace the input"),
        ("./clip.wav", "would replace the input"),
        ("link.wav", "would replace the input"),
        (".", "would replace the input"),
        ("/proc/out.wav", "cannot write '/proc/out.wav'"),
        ("/dev/full", "unknown suffix"),
    ],
)
def test_place_that_cannot_be_written(tmp_path, clip, build, refused, monkeypatch, output, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.wav").symlink_to(clip)
    content = clip.read_bytes()
    assert words in refused("denoise", clip, "-o", output, "--model", build("identity"), "--force")
    assert clip.read_bytes() == content


def test_device_node_is_never_replaced(tmp_path, clip, build, refused):
    pipe = tmp_path / "out.wav"
    os.mkfifo(pipe)
    assert "no regular file" in refused("denoise", clip, "-o", pipe, "--model", build("identity"), "--force")


def test_outputs_that_would_collide(tmp_path, clip, build, refused):
    (tmp_path / "other").mkdir()
    shutil.copy(clip, tmp_path / "other" / "clip.wav")
    line = refused(
        "denoise", clip, tmp_path / "other" / "clip.wav", "-o", tmp_path / "out", "--model", build("identity")
    )
    assert "would both be written" in line


def test_several_inputs_and_a_file_as_output(tmp_path, clip, build, refused):
    shutil.copy(clip, tmp_path / "b.wav")
    (tmp_path / "out.wav").write_bytes(b"")
    line = refused("denoise", clip, tmp_path / "b.wav", "-o", tmp_path / "out.wav", "--model", build("identity"))
    assert "out.wav" in line


@pytest.fixture
def long_clip(tmp_path):
    """Ten minutes: long enough to be interrupted."""
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(600):
            file.write(np.full(RATE, 1000, np.int16))
    return path


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def start(*arguments, **options):
    command = [sys.executable, "-m", "rtae", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, (130, "", "rtae: interrupted\n")), (signal.SIGTERM, (143, "", ""))]
)
def test_signal_leaves_no_half_file(tmp_path, long_clip, build, number, expected):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "long.wav").write_bytes(b"old")
    process = start("denoise", long_clip, "-o", folder, "--model", build("identity"), "--force")
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 100_000 for path in folder.glob(".*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    assert finish(process) == expected
    assert listing(folder) == ["long.wav"]
    assert (folder / "long.wav").read_bytes() == b"old"


def test_file_that_may_not_grow_is_removed(tmp_path, long_clip, build):
    folder = tmp_path / "out"
    folder.mkdir()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    process = start("denoise", long_clip, "-o", folder, "--model", build("identity"), preexec_fn=limit)
    status, out, err = finish(process)
    assert (status, out) == (2, "")
    assert err.startswith(f"rtae: cannot write '{folder / 'long.wav'}': File too large") and err.count("\n") == 1
    assert listing(folder) == []


UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
MAY_MOUNT = shutil.which("unshare") and not subprocess.call([*UNSHARE, "true"], stderr=subprocess.DEVNULL)


@pytest.mark.skipif(not MAY_MOUNT, reason="needs a private mount namespace, which this kernel refuses")
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_full_disk_is_named_and_nothing_stays(tmp_path, build, suffix):
    source, disk = tmp_path / f"in.{suffix}", tmp_path / "disk"
    soundfile.write(source, 0.1 * np.random.default_rng(2).standard_normal(20 * RATE), RATE)
    disk.mkdir()
    script = 'mount -t tmpfs -o size=64k none "$0"; "$@"; echo "status $?"; ls -A "$0"'
    command = [*UNSHARE, "sh", "-c", script, disk, sys.executable, "-m", "rtae"]
    command += ["denoise", source, "-o", disk / f"out.{suffix}", "--model", build("identity", hop=4800)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == "status 2\n"
    assert result.stderr.startswith(f"rtae: cannot write '{disk / f'out.{suffix}'}': No space left on device")
    assert result.stderr.count("\n") == 1
