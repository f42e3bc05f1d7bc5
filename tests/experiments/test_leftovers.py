"""What `clean` removes. Catches: a person's file that is lost, a link that is followed, a leftover
that stays."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments import __main__ as command
from experiments.runs.folders import MADE, MADE_BY, make, only_one, write_manifest
from experiments.runs.leftovers import leftovers
from paper_figures.figures.sources import write_sources
from pmf.errors import InputError
from pmf.fitting.checkpoint import STATE
from pmf.io import sealed as checkpoints
from pmf.io.locks import LOCK
from pmf.io.sealed_json import sealed, write_json
from tests.helpers.grids import finish

A, B, C, D, E = (letter * 12 for letter in "abcde")
# What people have beside runs, of names that a program could take for its own.
FOREIGN = (
    "projA/.git/HEAD",
    "projA/.git/refs/tags/",
    "projB/.env",
    "projB/studies/x.csv",
    "projB/.a.lock",
    "projB/.made-by",
    "tiny/.env",
    "tiny/.git/HEAD",
    "tiny/mine.csv.txt",
    "tiny/notes",
    f"tiny/{B}/mine.csv",
    f"tiny/{B}/empty/",
    f"tiny/.{B}.checkpoints/mine.csv",
    f"tiny/.{B}.checkpoints/draws/mine.csv",
    f"tiny/.{C}.checkpoints/run.json",
    f"tiny/.{A}.zzzzzzzz/metrics.csv",
    f"tiny/.{B}.lock",
    f"tiny/.{A}.mine",
    "tiny/.scores.csv.swp",
    f"tiny/studies/{C}.journal",
    f"tiny/studies/{C}.json",
    "tiny/studies/.hidden/x",
    "tiny/.jobs/x",
    "tiny/.abc.checkpoints/run.json",
    ".hidden/x",
)


def ours(home: Path) -> list[str]:
    """One of each thing that interrupted work leaves; their names."""
    studies = home / "studies"
    left = home / f".{D}.checkpoints"
    left.mkdir()
    checkpoints.write(left, 4, STATE, {}, {})
    (left / LOCK).write_text("pmf lock: process 1 on host\n")
    unfinished = home / f".{D}.a1b2c3d4"
    unfinished.mkdir()
    (unfinished / MADE_BY).write_text(MADE)
    (unfinished / "metrics.csv").touch()
    (home / f".{D}.lock").write_text("pmf lock: process 1 on host (run)\n")
    (studies / f".{D}.lock").touch()
    (studies / f"{D}.journal").write_text(sealed({"study": D, "number": 0}) + "\n")
    (studies / f"{E}.journal").write_text('{"study": "eee')
    return [
        left.name,
        unfinished.name,
        f".{D}.lock",
        f"studies/.{D}.lock",
        f"studies/{D}.journal",
        f"studies/{E}.journal",
    ]


def finished(home: Path) -> list[str]:
    """A run, a search and a table of it; their names."""
    finish(home / A)
    (home / A / "metrics.csv").touch()
    write_manifest(home / A, {"id": A})
    write_json(home / "studies" / f"{A}.json", {"study": A})
    (home / "runs.csv").write_text(f"id\n{A}\n")
    (home / "scores.png").touch()
    write_sources(home, {A: None}, [home / "runs.csv"])
    return [A, f"studies/{A}.json", "runs.csv", "scores.png", "sources.json"]


@pytest.fixture
def tree(tmp_path):
    """A folder of people's projects, one of which has runs in it; and one outside, linked to."""
    home, outside = tmp_path / "H", tmp_path / "outside"
    for name in FOREIGN:
        path = home / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text("mine")
    (outside / "studies").mkdir(parents=True)
    ours(outside)
    (home / "link").symlink_to(outside)
    (home / "tiny" / "link").symlink_to(outside)
    (home / "tiny" / f".{E}.checkpoints").symlink_to(outside / f".{D}.checkpoints")
    (home / "tiny" / f"{D}").symlink_to(outside)
    return home


def everything(folder: Path) -> dict[str, str]:
    """Each path below a folder, through no link, and what it is."""
    kinds = {}
    for path in sorted(folder.rglob("*")):
        kind = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        kinds[str(path.relative_to(folder))] = str(kind)
    return kinds


def clean(home: Path, *more: str) -> str:
    arguments = ["clean", "--runs-dir", str(home), *more]
    done = CliRunner().invoke(command.app, arguments, standalone_mode=False)
    assert done.exception is None, done.exception
    return done.output


@pytest.mark.parametrize("more", [[], ["--runs", "tiny", "--yes"]])
def test_only_what_this_program_made_is_removed(tree, more):
    before, outside = everything(tree), everything(tree.parent / "outside")
    left = ours(tree / "tiny")
    names = [*left, *finished(tree / "tiny")]
    with_runs = everything(tree)
    output = clean(tree, *more)
    gone = [f"tiny/{name}" for name in (names if more else left)]
    expected = {
        name: kind
        for name, kind in with_runs.items()
        if not any(name == one or name.startswith(f"{one}/") for one in gone)
    }
    assert everything(tree) == expected and before.items() <= expected.items()
    assert everything(tree.parent / "outside") == outside
    assert all(f"removed {tree / one}\n" in output for one in gone)
    assert f"left {tree}/tiny/.{B}.checkpoints: it is not, or not all, of this program" in output


def test_without_foreign_things_nothing_is_left(tmp_path):
    home = tmp_path / "tiny"
    (home / "studies").mkdir(parents=True)
    ours(home)
    clean(tmp_path)
    assert everything(tmp_path) == {"tiny": "False", "tiny/studies": "False"}
    ours(home)
    finished(home)
    output = clean(tmp_path, "--runs", "tiny", "--yes")
    assert everything(tmp_path) == {} and "left" not in output


def test_a_project_of_somebody_is_no_experiment(tree):
    for name in ("projA", "projB", "..", ".", "", "link", "H/tiny", ".hidden"):
        with pytest.raises(InputError, match="no such experiment in .*; there are tiny"):
            CliRunner().invoke(
                command.app,
                ["clean", "--runs-dir", str(tree), "--runs", name, "--yes"],
                standalone_mode=False,
                catch_exceptions=False,
            )


def test_what_a_process_works_on_stays(tmp_path):
    home = tmp_path / "tiny"
    (home / "studies").mkdir(parents=True)
    ours(home)
    before = everything(tmp_path)
    (home / f".{D}.lock").unlink()
    (home / "studies" / f".{D}.lock").unlink()
    with only_one(home / D):
        assert leftovers(tmp_path).ours[0].path == home / "studies" / f"{E}.journal"
    assert len(before) - 2 == len(everything(tmp_path))


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/tiny: cannot be written .Not a directory.; fix"):
        make(tmp_path / "file" / "tiny")

    def refuse(**named):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match="tiny: cannot be written .Read-only file system.; fix"):
        make(tmp_path / "tiny")
