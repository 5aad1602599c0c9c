"""The frozen program: built by its spec, cleans as rtae does, starts its own engine process."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtae
from rtae import shipped

sys.path.insert(0, str(Path(__file__).with_name("live")))
from jack_lab import JackServer

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "pyinstaller"
CLIP = ROOT / "tests" / "data" / "full-band-17dB-noisy.flac"

BUILD = """
import sys
from pathlib import Path

import PyInstaller.__main__
from rtae import shipped

if "denoise" not in shipped.available():
    shipped._FOLDERS = (Path(sys.argv[1]),)
PyInstaller.__main__.run(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def models(build, tmp_path_factory):
    """Folder of a model named "denoise", should none be shipped yet."""
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "denoise.onnx").write_bytes(build("compressor").read_bytes())
    return folder


@pytest.fixture(scope="module")
def program(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    words = [SOURCE / "program.spec", "--noconfirm", "--distpath", folder / "dist", "--workpath", folder / "work"]
    done = subprocess.run([sys.executable, "-c", BUILD, models, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "dist" / "program" / "program"


@pytest.fixture(scope="module")
def bare():
    """An environment without any Python in reach."""
    return {"PATH": "/nowhere", "HOME": os.environ.get("HOME", "/")}


def test_it_cleans_as_rtae_does(program, bare, models, tmp_path):
    noisy, rate = soundfile.read(CLIP, dtype="float32", stop=48_000)
    soundfile.write(tmp_path / "noisy.wav", noisy, rate, "FLOAT")
    words = [program, "clean", tmp_path / "noisy.wav", tmp_path / "clean.flac"]
    done = subprocess.run(words, env=bare, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    clean = soundfile.read(tmp_path / "clean.flac", dtype="float32")[0]
    model = "denoise" if "denoise" in shipped.available() else models / "denoise.onnx"
    expected = rtae.denoise(noisy, rate, model)
    assert np.abs(clean).max() > 0.01
    np.testing.assert_allclose(clean, expected, atol=1.01 / 2**15, rtol=0)  # 16 bits


def test_an_error_of_rtae_is_one_line(program, bare):
    done = subprocess.run([program, "live"], env=bare | {"JACK_NO_START_SERVER": "1"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"program: .*device.*\n", done.stderr)


def test_its_live_stream_runs_in_a_process_of_its_own(program, bare, tmp_path):
    server = JackServer(tmp_path, 1024)
    host = None
    try:
        environment = bare | {name: text for name, text in server.environment.items() if name.startswith("JACK_")}
        host = subprocess.Popen(
            [program, "live", "system, jack", "system, jack"], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert re.fullmatch(r".+ to .+, \d+\.\d ms\n", host.stdout.readline())
        (engine,) = children(host.pid)
        words = Path(f"/proc/{engine}/cmdline").read_text().split("\0")
        assert words[0] == str(program) and "rtae.live.child" in words
        host.send_signal(signal.SIGINT)
        assert host.wait(20) == 130
        deadline = time.monotonic() + 20
        while Path(f"/proc/{engine}").exists():
            assert time.monotonic() < deadline, "the engine outlived its host"
            time.sleep(0.05)
    finally:
        if host is not None:
            host.kill()
            host.wait()
            host.stdout.close()
        server.close()


def children(pid):
    """Numbers of a process's children, the zombies among them left out."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it just ended
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found
