"""What interrupted sweeps leave behind, found and removed; nothing that a process works on.

A thing is this program's by its name and by what is in it: a lock's or a journal's first bytes, a
file that only this program writes, and no file that it does not. All else stays; links are not
followed.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from experiments.runs.folders import ID, JOBS, MADE_BY, MANIFEST, STUDIES
from paper_figures.figures.sources import SOURCES, read_sources
from pmf.errors import InputError
from pmf.io import sealed
from pmf.io.atomic import left_in
from pmf.io.locks import LOCK, MARK, holder_of

RUN = (
    r"(config|manifest)\.json|predictions\.parquet|"
    r"(metrics|users|strata|calibration|pit|items)\.csv"
)
JOB = (
    r"(\d+(_\d+)*_(submission\.sh|submitted\.pkl|result\.pkl|log\.(err|out))|"
    r"(submission_file_)?[\da-f]{32}\.(sh|pkl))(\.save_tmp)?"
)
LOCKS = rf"\.({ID}|tables)\.lock"
OUTPUTS = r"\w+\.(csv|png|pdf|tex|md)|sources\.json"


class Thing(NamedTuple):
    """What this program made: a file, or a folder with what is in it, at any depth."""

    path: Path
    inside: list[Path]


class Things(NamedTuple):
    """What may be removed, and what has a name of this program but is not, or not all, its own."""

    ours: list[Thing]
    left: list[Path]


def leftovers(runs_dir: Path) -> Things:
    """Unfinished runs and searches, checkpoints, locks and jobs' logs, of work that has stopped."""
    things = Things([], [])
    for experiment in _experiments(runs_dir):
        _sort(_candidates(experiment), _busy(experiment), things)
        parts = [*left_in(experiment), *left_in(experiment / STUDIES)]
        things.ours.extend(Thing(path, sorted(path.rglob("*"))) for path in parts)
    return things


def whole_experiment(runs_dir: Path, name: str) -> Things:
    """The folder of an experiment with all its runs and tables, to be removed.

    Raises `InputError` where there is none, or a process works in it.
    """
    known = {path.name: path for path in _experiments(runs_dir)}
    if name not in known:
        experiments = f"there are {', '.join(known)}" if known else "there are none"
        raise InputError(f"{name}: no such experiment in {runs_dir}/; {experiments}")
    folder = known[name]
    busy = _busy(folder)
    if busy:
        raise InputError(f"{folder}: a process works on {', '.join(sorted(busy))}")
    things = Things([], [])
    _sort([*_candidates(folder), *_finished(folder)], busy, things)
    ours = {folder / STUDIES, *(thing.path for thing in things.ours)}
    things.left[:] = [path for path in [*_all(folder), *_all(folder / STUDIES)] if path not in ours]
    things.ours.extend(Thing(path, []) for path in (folder / STUDIES, folder))
    return things


def _experiments(runs_dir: Path) -> list[Path]:
    """The folders that something of this program is in."""
    names = rf"\.?{ID}(\..*)?|{re.escape(SOURCES)}|{re.escape(JOBS)}"
    folders = (path for path in sorted(runs_dir.glob("*")) if _is_folder(path))
    return [path for path in folders if any(re.fullmatch(names, x.name) for x in _all(path))]


def _candidates(experiment: Path) -> list[Path]:
    """What has a name that interrupted work leaves."""
    names = rf"\.{ID}\.(checkpoints|\w{{8}})|{LOCKS}|{ID}\.journal|{re.escape(JOBS)}"
    paths = [*_all(experiment), *_all(experiment / STUDIES)]
    return [
        path
        for path in paths
        if re.fullmatch(names, path.name) and not path.with_suffix(".json").exists()
    ]


def _finished(experiment: Path) -> list[Path]:
    """Runs, searches and, where `sources.json` says that they are tables, those and figures."""
    names = rf"{ID}|{OUTPUTS}" if (experiment / SOURCES).is_file() else ID
    tables = (read_sources(experiment) or {"tables": {}})["tables"]
    paths = [
        path
        for path in _all(experiment)
        if re.fullmatch(names, path.name) and (path.suffix != ".csv" or path.name in tables)
    ]
    searched = rf"{ID}\.(json|journal)"
    paths += [path for path in _all(experiment / STUDIES) if re.fullmatch(searched, path.name)]
    return paths


def _sort(paths: list[Path], busy: set[str], things: Things) -> None:
    """Each path to what may be removed, or to what is left; nothing of work that goes on."""
    for path in dict.fromkeys(paths):
        if path.name.strip(".").split(".")[0] in busy or (path.name == JOBS and busy):
            continue
        inside = sorted(path.rglob("*")) if _is_folder(path) else []
        if _is_ours(path, inside):
            things.ours.append(Thing(path, inside))
        else:
            things.left.append(path)


def _is_ours(path: Path, inside: list[Path]) -> bool:
    """Whether a thing is what its name says, and has nothing else in it."""
    if not all(_is_folder(one) or (one.is_file() and not one.is_symlink()) for one in inside):
        return False
    identity = path.name.strip(".").split(".")[0]
    if not _is_folder(path):
        return path.is_file() and not path.is_symlink() and _begins(path, identity)
    if path.name.endswith(".checkpoints"):
        parts = left_in(path, age=0)
        return all(one in parts or one.parent in parts or _is_of_a_fit(one) for one in inside)
    known, sign, word = _layout(path, identity)
    if not all(re.fullmatch(known, one.relative_to(path).as_posix()) for one in inside):
        return False
    if not any(one.is_file() for one in inside):
        return True
    return (path / sign).is_file() and word.encode() in (path / sign).read_bytes()


def _layout(folder: Path, identity: str) -> tuple[str, str, str]:
    """The names of a folder's files; one of them, and a word that is in it."""
    if folder.name == JOBS:
        return f"{JOB}|{MADE_BY}", MADE_BY, "experiments"
    if folder.name.startswith("."):
        return f"{RUN}|{MADE_BY}", MADE_BY, "experiments"
    return RUN, MANIFEST, identity


def _is_of_a_fit(path: Path) -> bool:
    """Whether a file is a checkpoint's, or the lock of one who wrote them."""
    if path.name == LOCK:
        return path.is_file() and _begins(path, "")
    return sealed.NAME.fullmatch(path.name) is not None and sealed.is_ours(path)


def _begins(path: Path, identity: str) -> bool:
    """Whether a file begins as this program begins one of that name, as far as it was written."""
    with path.open("rb") as stream:
        begin = stream.read(len(MARK) + 40).decode(errors="replace")
    match path.suffix:
        case ".lock":
            return begin.startswith(MARK) or not begin
        case ".journal":
            header = f'{{"study": "{identity}", '
            return begin.startswith(header) or header.startswith(begin)
        case ".json" if path.parent.name == STUDIES:
            return f'"study": "{identity}"' in begin
        case _:
            return True  # a table or a figure beside its `sources.json`


def _busy(experiment: Path) -> set[str]:
    """The runs and searches, and the tables, that a process works on."""
    paths = [*_all(experiment), *_all(experiment / STUDIES)]
    locks = [path for path in paths if re.fullmatch(LOCKS, path.name) and not path.is_symlink()]
    return {path.name.split(".")[1] for path in locks if holder_of(path)}


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _all(folder: Path) -> list[Path]:
    """All that is in a folder; nothing of one that is not there, or is a link."""
    return sorted(folder.iterdir()) if _is_folder(folder) else []


def remove(things: list[Thing]) -> None:
    """Remove things, and what is in them; a folder only where it is empty then."""
    for thing in things:
        for path in (*reversed(thing.inside), thing.path):
            if not _is_folder(path):
                path.unlink(missing_ok=True)
                continue
            with suppress(OSError):  # something was put there meanwhile, or it is not all ours
                path.rmdir()
