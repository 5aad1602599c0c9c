import gc
import os
from pathlib import Path

import pytest

from rtae.atomic import AtomicFile


def names(folder):
    return sorted(os.listdir(folder))


def test_file_appears_on_leaving(tmp_path):
    target = tmp_path / "out.bin"
    with AtomicFile(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
        assert temporary.parent == tmp_path
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["out.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_older_file_survives_an_exception(tmp_path, error):
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(error), AtomicFile(target) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["out.bin"]


def test_link_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.bin"
    link.symlink_to(tmp_path / "far" / "out.bin")
    with AtomicFile(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert (tmp_path / "far" / "out.bin").read_bytes() == b"new"


def test_permissions_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        with AtomicFile(tmp_path / "out.bin"):
            pass
    finally:
        os.umask(previous)
    assert (tmp_path / "out.bin").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing/out.bin", "missing' does not exist"),
        ("file/out.bin", "Not a directory"),
        ("folder", "it is a folder"),
        ("/proc/rtae-out.bin", ""),
        ("/dev/null", "no regular file"),
        ("x" * 300, "name too long"),
    ],
)
def test_places_that_cannot_be_written_are_refused(tmp_path, path, words):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as failure:
        AtomicFile(tmp_path / path)
    assert words in failure.value.strerror
    assert names(tmp_path) == ["file", "folder"]


def test_interrupted_as_it_is_made_it_leaves_nothing(tmp_path, monkeypatch):
    touch = Path.touch

    def interrupted(self, **options):
        touch(self, **options)
        assert list(tmp_path.iterdir()) == [self]
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "touch", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught, AtomicFile(tmp_path / "a"):
        raise AssertionError("it was made")
    del caught
    gc.collect()
    assert list(tmp_path.iterdir()) == []
