"""Locks. Catches: two writers at once, a second one who is not told who the first is, a killed
process that locks for ever, a person's file taken for a lock."""

import fcntl
import multiprocessing
import os
import socket
from pathlib import Path

import pytest

from pmf.errors import InputError
from pmf.io.locks import LOCK, Busy, holder_of, only_writer


def _hold(folder, ready, done):
    with only_writer(folder, "fit"):
        ready.set()
        done.wait()


def test_the_second_is_told_who_the_first_is_and_a_dead_one_holds_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, done), daemon=True)
    other.start()
    assert ready.wait(120)
    who = f"process {other.pid} on {socket.gethostname()} (fit)"
    with pytest.raises(Busy) as caught, only_writer(tmp_path, "fit"):
        pass
    assert str(caught.value) == (
        f"{tmp_path}: {who} is writing there; wait until it is done, or name another folder"
    )
    assert caught.value.holder == holder_of(tmp_path / LOCK) == who
    other.kill()
    other.join()
    assert (tmp_path / LOCK).exists() and holder_of(tmp_path / LOCK) is None
    with only_writer(tmp_path, "sweep"):
        assert f"process {os.getpid()} " in (tmp_path / LOCK).read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_on_the_file_that_others_see(tmp_path, monkeypatch):
    """Its holder removes it, and goes, after the next has opened it and before that locks it."""
    lock, opened = fcntl.flock, []

    def flock(handle, how):
        if not opened:
            (tmp_path / LOCK).unlink()
        opened.append(handle)
        lock(handle, how)

    monkeypatch.setattr("fcntl.flock", flock)
    with only_writer(tmp_path, "fit"), pytest.raises(Busy), only_writer(tmp_path, "fit"):
        pass
    assert list(tmp_path.iterdir()) == []


def foreign_file(path: Path):
    path.write_text("mine")


def a_link(path: Path):
    path.with_name("mine.txt").write_text("mine")
    path.symlink_to("mine.txt")


@pytest.mark.parametrize("thing", [foreign_file, a_link, Path.mkdir, os.mkfifo])
def test_a_foreign_thing_of_that_name_is_left_alone(thing, tmp_path):
    thing(tmp_path / LOCK)
    before = {path.name: path.is_file() and path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=LOCK), only_writer(tmp_path, "fit"):
        pass
    assert before == {path.name: path.is_file() and path.read_text() for path in tmp_path.iterdir()}


def test_an_error_inside_is_not_one_of_the_lock(tmp_path):
    with pytest.raises(OSError, match="inside"), only_writer(tmp_path, "fit"):
        raise OSError("inside")
    assert not (tmp_path / LOCK).exists()


def test_a_folder_that_cannot_be_locked_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot lock .*none.*No such file"):
        with only_writer(tmp_path / "none", "fit"):
            pass
    monkeypatch.setattr("os.pwrite", lambda *x: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(InputError, match="cannot write .*: full"), only_writer(tmp_path, "fit"):
        pass
    assert list(tmp_path.iterdir()) == []
