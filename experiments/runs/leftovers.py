"""What interrupted sweeps leave behind, found and removed; nothing that a process works on."""

import shutil
from pathlib import Path

from experiments.runs.folders import JOBS, STUDIES, is_locked
from pmf.errors import InputError


def leftovers(runs_dir: Path) -> list[Path]:
    """Unfinished runs and searches, checkpoints, locks and jobs' logs, of work that has stopped."""
    found = []
    for experiment in _experiments(runs_dir):
        busy = _busy(experiment)
        hidden = [path for path in sorted(experiment.glob(".*")) if path.name != JOBS]
        hidden += sorted((experiment / STUDIES).glob(".*"))
        found += [path for path in hidden if path.name.split(".")[1] not in busy]
        journals = sorted((experiment / STUDIES).glob("*.journal*"))
        found += [path for path in journals if not _is_done_or_busy(path, busy)]
        if not busy and (experiment / JOBS).is_dir():
            found.append(experiment / JOBS)
    return found


def _experiments(runs_dir: Path) -> list[Path]:
    return sorted(path for path in runs_dir.glob("*") if path.is_dir())


def _busy(experiment: Path) -> set[str]:
    """The runs and searches that a process works on."""
    locks = [*experiment.glob(".*.lock"), *(experiment / STUDIES).glob(".*.lock")]
    return {path.name.split(".")[1] for path in locks if is_locked(path)}


def _is_done_or_busy(journal: Path, busy: set[str]) -> bool:
    name = journal.name.split(".")[0]
    return name in busy or journal.with_name(f"{name}.json").is_file()


def whole_experiment(runs_dir: Path, name: str) -> Path:
    """The folder of an experiment, to be removed with all its runs.

    Raises `InputError` where there is none, or a process works in it.
    """
    known = [path.name for path in _experiments(runs_dir)]
    if name not in known:
        there = f"there are {', '.join(known)}" if known else "there are none"
        raise InputError(f"{name}: no such experiment in {runs_dir}/; {there}")
    busy = _busy(runs_dir / name)
    if busy:
        raise InputError(f"{runs_dir / name}: a process works on {', '.join(sorted(busy))}")
    return runs_dir / name


def remove(paths: list[Path]) -> None:
    """Remove files and folders."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
