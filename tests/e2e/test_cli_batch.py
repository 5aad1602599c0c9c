"""``rtae denoise`` over folders: jobs, the manifest, going on after an end in the middle, a dask cluster."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtae.cli import main
from rtae.cli.batch import MANIFEST, Job, Result, outlive, work

RATE = 48_000


@pytest.fixture
def folder(tmp_path):
    """Six good files in a tree, one bad."""
    random = np.random.default_rng(5)
    print("seed 5")
    for name in ("a.wav", "b.flac", "deep/a.wav", "deep/c.ogg", "deep/er/d.wav", "e.WAV"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * random.standard_normal(4_800), RATE)
    (tmp_path / "in" / "deep" / "bad.wav").write_text("not audio")
    (tmp_path / "in" / "notes.txt").write_text("not a sound file by its name")
    return tmp_path / "in"


def records(output):
    """Newest record of every target, and the number of times each was done."""
    lines = [json.loads(line) for line in (output / MANIFEST).read_text().splitlines()]
    done = [line["target"] for line in lines if line["status"] == "done"]
    return {line["target"]: line for line in lines}, {target: done.count(target) for target in done}


def targets(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.name != MANIFEST)


def test_a_folder_is_mirrored_and_one_bad_file_stops_nothing(folder, tmp_path, build, capfd):
    output, model = tmp_path / "out", build("compressor")
    assert main(["denoise", str(folder), "-o", str(output), "--jobs", "2", "-m", str(model)]) == 1
    captured = capfd.readouterr()
    assert captured.out == "6 done, 0 skipped (done before), 1 failed, 0.6 s of audio\n"
    assert captured.err.count("\n") == 1 and "bad.wav" in captured.err
    assert targets(output) == sorted(set(targets(folder)) - {"deep/bad.wav", "notes.txt"})
    newest, done = records(output)
    assert set(done.values()) == {1} and len(done) == 6
    assert newest["deep/bad.wav"]["status"] == "failed" and "bad.wav" in newest["deep/bad.wav"]["error"]
    assert re.fullmatch(r"[0-9a-f]{64}", newest["a.wav"]["digest"])
    main(["denoise", str(folder / "a.wav"), "-o", str(tmp_path / "alone.wav"), "-m", str(model)])
    assert (tmp_path / "alone.wav").read_bytes() == (output / "a.wav").read_bytes()


def test_what_is_done_is_skipped_by_content(folder, tmp_path, build, capfd):
    (folder / "deep" / "bad.wav").unlink()
    output = tmp_path / "out"
    words = ["denoise", str(folder), "-o", str(output), "-m", str(build("compressor"))]
    assert main(words) == 0
    before = {name: (output / name).stat().st_mtime_ns for name in targets(output)}
    assert len(before) == 6
    os.utime(folder / "a.wav")  # another time, the same content
    soundfile.write(folder / "b.flac", np.zeros(9_600), RATE)
    capfd.readouterr()
    assert main(words) == 0
    assert capfd.readouterr().out == "1 done, 5 skipped (done before), 0 failed, 0.2 s of audio\n"
    changed = [name for name in before if (output / name).stat().st_mtime_ns != before[name]]
    assert changed == ["b.flac"]
    assert soundfile.info(output / "b.flac").frames == 9_600
    # What another model would make is not what is there.
    assert main([*words[:-1], str(build("identity"))]) == 2
    assert "add --force to replace it" in capfd.readouterr().err
    assert main([*words[:-1], str(build("identity")), "--force"]) == 0
    assert capfd.readouterr().out.startswith("6 done")


def test_outputs_inside_the_input_are_no_inputs(folder, build, capfd):
    (folder / "deep" / "bad.wav").unlink()
    words = ["denoise", str(folder), "-o", str(folder / "clean"), "-m", str(build("identity"))]
    assert [main(words), main(words)] == [0, 0]
    assert capfd.readouterr().out.splitlines()[1].startswith("0 done, 6 skipped")


def many_files(folder, count, seconds):
    folder.mkdir()
    silence = np.full(int(seconds * RATE), 0.1)
    for number in range(count):
        soundfile.write(folder / f"{number:03}.wav", silence * number / count, RATE, "FLOAT")


def start(*words):
    words = [sys.executable, "-m", *map(str, words)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)


def wait_until(condition, what, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)


def test_a_killed_run_is_taken_up_again(tmp_path, build):
    many_files(tmp_path / "in", 40, 1.0)
    output = tmp_path / "out"
    words = ["rtae", "denoise", tmp_path / "in", "-o", output, "-m", build("compressor")]
    with start(*words) as first:
        wait_until(lambda: len(list(output.glob("*.wav"))) >= 3, "output")
        first.kill()
        first.communicate()
    before = {path.name: path.stat().st_mtime_ns for path in output.glob("*.wav")}
    assert 3 <= len(before) < 40
    with start(*words) as second:
        out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    done, skipped, failed = map(int, re.match(r"(\d+) done, (\d+) skipped \(done before\), (\d+) failed", out).groups())
    assert (done + skipped, failed) == (40, 0) and skipped >= len(before) - 1
    assert len(list(output.glob("*.wav"))) == 40
    assert {name: (output / name).stat().st_mtime_ns for name in before} == before


def test_an_output_whose_worker_was_lost_is_not_made_again(folder, tmp_path, build):
    source, target = folder / "a.wav", tmp_path / "a.wav"
    target.write_text("made by the worker that was lost")
    job = Job(str(source), str(target), str(build("identity")), None, force=False, done_digest="", fresh=True)
    assert work(job).status == "done"
    assert target.read_text() == "made by the worker that was lost"
    assert work(dataclasses.replace(job, fresh=False)).status == "failed"


def test_an_output_of_a_killed_run_is_not_that_of_a_newer_source(folder, tmp_path, build, capfd):
    (folder / "deep" / "bad.wav").unlink()
    output = tmp_path / "out"
    words = ["denoise", str(folder), "-o", str(output), "-m", str(build("identity"))]
    assert main(words) == 0
    lines = [json.loads(line) for line in (output / MANIFEST).read_text().splitlines()]
    started = [line for line in lines if line["status"] == "started"]
    assert len(started) == 6
    # As if killed before any result was noted, and one source recorded anew since.
    (output / MANIFEST).write_text("".join(json.dumps(line) + "\n" for line in started) + '{"cut')
    newer = (output / "a.wav").stat().st_mtime + 10
    os.utime(folder / "a.wav", (newer, newer))
    capfd.readouterr()
    assert main(words) == 1
    captured = capfd.readouterr()
    assert captured.out.startswith("5 done, 0 skipped (done before), 1 failed, 0.0 s")
    assert "a.wav' exists and was kept" in captured.err


def test_a_file_that_kills_its_worker_fails_alone():
    todo = [Job(f"{number}", f"{number}", "model", None, False, "", True) for number in range(20)]
    deadly, taken = {"0", "7", "8", "19"}, []

    def run(jobs):
        """Two processes: the second job of a pair is lost with the first, and the other way round."""
        for place in range(0, len(jobs), 2):
            pair = [job.source for job in jobs[place : place + 2]]
            taken.extend(pair)
            if deadly & set(pair):
                raise BrokenProcessPool
            yield from (Result(source, source, "done") for source in reversed(pair))

    results = list(outlive(run, todo, 2))
    assert sorted(int(result.source) for result in results) == list(range(20))
    assert {result.source for result in results if result.status == "failed"} == deadly
    assert all("died" in result.error for result in results if result.status == "failed")
    assert {name: taken.count(name) for name in ("1", "7", "12")} == {"1": 2, "7": 2, "12": 1}


def test_a_worker_that_is_killed_stops_nothing(tmp_path, build):
    many_files(tmp_path / "in", 40, 1.0)
    output = tmp_path / "out"
    with start("rtae", "denoise", tmp_path / "in", "-o", output, "-m", build("compressor"), "--jobs", "2") as run:
        wait_until(lambda: len(list(output.glob("*.wav"))) >= 5, "output")
        made = {path.name: path.stat().st_mtime_ns for path in output.glob("*.wav")}
        for child in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split():
            if b"popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)
                break
        else:
            pytest.fail("there was no worker to kill")
        out, err = run.communicate(timeout=120)
    assert (run.returncode, err) == (0, ""), (out, err)
    assert out.startswith("40 done, 0 skipped (done before), 0 failed")
    assert {name: (output / name).stat().st_mtime_ns for name in made} == made
    assert set(records(output)[1].values()) == {1}


def test_a_cluster_that_loses_a_worker_does_every_file_once(tmp_path, build):
    count = 200
    many_files(tmp_path / "in", count, 0.5)
    output = tmp_path / "out"
    address_file = tmp_path / "scheduler.json"
    processes = [
        start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", address_file,
        )
    ]  # fmt: skip
    try:
        wait_until(address_file.exists, "the scheduler")
        worker = ["distributed.cli.dask_worker", "--scheduler-file", address_file, "--nthreads", "1", "--no-nanny"]
        workers = [start(*worker, "--no-dashboard", "--name", f"worker-{number}") for number in range(2)]
        processes += workers
        address = json.loads(address_file.read_text())["address"]
        wait_until(lambda: worker_count(address) == 2, "both workers")
        run = start("rtae", "denoise", tmp_path / "in", "-o", output, "-m", build("compressor"), "--dask", address)
        processes.append(run)
        wait_until(lambda: len(list(output.glob("*.wav"))) >= count // 4, "a quarter of the outputs")
        workers[0].send_signal(signal.SIGKILL)
        made = {path.name: path.stat().st_mtime_ns for path in output.glob("*.wav")}
        assert count // 4 <= len(made) < count
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
        assert out.startswith(f"{count} done, 0 skipped (done before), 0 failed")
        assert "1 of 2 workers lost on the way" in err
    finally:
        for process in reversed(processes):
            process.kill()
            process.communicate()
    assert len(list(output.glob("*.wav"))) == count
    # None twice: what was there when the worker died was not written again, and each is recorded once.
    assert {name: (output / name).stat().st_mtime_ns for name in made} == made
    newest, done = records(output)
    assert len(newest) == len(done) == count and set(done.values()) == {1}
    assert len({line["worker"] for line in newest.values()}) == 2


def worker_count(address):
    from distributed import Client

    with Client(address, timeout=10) as client:
        return len(client.scheduler_info(n_workers=-1)["workers"])


def test_no_scheduler_is_one_line(folder, tmp_path, build, capfd):
    words = ["denoise", str(folder), "-o", str(tmp_path / "out"), "-m", str(build("identity"))]
    assert main([*words, "--dask", "nonsense://1"]) == 2
    assert main([*words, "--jobs", "0"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "no dask scheduler at nonsense://1" in lines[0] and "--jobs is 0" in lines[1]


def test_without_joblib_a_folder_works_file_by_file(folder, tmp_path, build, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    (folder / "deep" / "bad.wav").unlink()
    words = ["denoise", str(folder), "-o", str(tmp_path / "out"), "-m", str(build("identity"))]
    assert main(words) == 0
    assert main([*words, "--jobs", "2"]) == 2
    assert capfd.readouterr().err == "rtae: --jobs and --dask need joblib; pip install 'rtae[batch]'\n"
