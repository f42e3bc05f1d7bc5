"""`pmf doctor`. Catches: left-behind files that it does not see, or removes without being asked."""

import os
import tempfile
import time

import pytest
from typer.testing import CliRunner

from pmf.cli import main
from pmf.io.atomic import replacing
from pmf.io.workspace import MARK, PREFIX


@pytest.fixture
def left(tmp_path, monkeypatch):
    """What two killed processes left more than a day ago, and a file of somebody's beside it."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    for folder in (home, temporary):
        folder.mkdir()
        (folder / ".mine.part").write_text("mine")
    monkeypatch.chdir(home)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("PMF_DATA_DIR", str(home))
    with replacing(home / "m.pmf") as half:
        name = half.parent.name
    ratings = temporary / f"{PREFIX}12345678"
    for folder, file in ((home / name, "m.pmf"), (ratings, MARK)):
        folder.mkdir()
        (folder / file).write_bytes(bytes(2_000_000))
        os.utime(folder, (time.time() - 86_401,) * 2)
    return {name: home / name, ratings.name: ratings}


def run(*arguments) -> list[str]:
    done = CliRunner().invoke(main.app, ["doctor", *arguments], catch_exceptions=False)
    return [line for line in done.output.splitlines() if line.startswith("left behind")]


def test_it_lists_what_was_left_and_removes_it_when_asked(left, tmp_path, monkeypatch):
    lines = run()
    assert len(lines) == 2 and all(path.is_dir() for path in left.values())
    for line, name in zip(lines, left, strict=True):
        assert name in line and line.endswith("2.0 MB")
    assert all(line.endswith("2.0 MB: removed") for line in run("--clean"))
    assert run() == ["left behind      nothing"]
    files = sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
    )
    assert files == ["home/.mine.part", "home/m.pmf", "temporary/.mine.part"]


def test_it_looks_where_it_is_told(left, tmp_path, monkeypatch):
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    monkeypatch.setenv("PMF_DATA_DIR", str(away))
    assert len(run()) == 1
    assert len(run("--folder", str(tmp_path / "home"))) == 2
