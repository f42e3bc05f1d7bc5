"""Folders that appear whole, work that one process at a time does, and what interruptions leave.

In `runs/EXPERIMENT/`, ID being a run's:

    ID/               a finished run, whole
    studies/          searches: ID.journal while they run, ID.json when they are done
    .ID.checkpoints/  an unfinished run's
    .ID.XXXX/         an unfinished run folder
    .ID.lock          held by the process that works on the run; the system frees it at its death
    .jobs/            what a cluster's jobs said
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from pmf.data.readers.text import WORDS, numbers_if_exact
from pmf.errors import InputError

IDS = {"user_id", "item_id"}
STUDIES = "studies"
JOBS = ".jobs"


def make(folder: Path) -> None:
    """Make a folder, or raise `InputError` saying why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder} ({error.strerror})") from error


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill; on success it is synced and renamed to `folder`.

    On failure nothing is left. After a power cut `folder` is there whole, or not at all.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        for written in temporary.iterdir():
            _sync(written)
        _sync(temporary)
        temporary.chmod(0o755)
        temporary.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV that pandas wrote, with the same floats bit for bit, and ids: 007 is not 7."""
    words = pa.csv.ConvertOptions(column_types={name: WORDS for name in IDS})
    table = pa.csv.read_csv(path, convert_options=words)
    for name in IDS & set(table.column_names):
        at = table.column_names.index(name)
        table = table.set_column(at, name, numbers_if_exact(table[name]))
    return table.to_pandas()


def checkpoints_of(folder: Path) -> Path:
    """Where the run that `folder` is to become keeps its checkpoints."""
    return folder.with_name(f".{folder.name}.checkpoints")


def find_run(runs_dir: Path, run_id: str) -> Path:
    """The folder of a run by its identity, or the beginning of it, in any experiment.

    Raises `InputError` where there is none, or more than one, or it is no identity.
    """
    if not re.fullmatch("[0-9a-f]{1,12}", run_id):
        raise InputError(f"{run_id}: not an identity, which has up to 12 digits 0 to 9, a to f")
    found = sorted(path.parent for path in runs_dir.glob(f"*/{run_id}*/config.json"))
    if len({path.name for path in found}) == 1:
        return found[0]
    if found:
        raise InputError(f"{run_id}: {len(found)} runs begin so: {', '.join(map(str, found))}")
    total = len(list(runs_dir.glob("*/*/config.json")))
    raise InputError(f"{run_id}: no such run among the {total} in {runs_dir}/")


def manifest_of(run: Path, *needed: str) -> dict[str, Any]:
    """The facts of a finished run. Raises `InputError` where one that is needed is missing."""
    path = run / "manifest.json"
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a run's manifest ({error})") from error
    if missing := [name for name in needed if name not in facts]:
        raise InputError(
            f"{path}: made by another version, without {', '.join(missing)}; remove {run} and run "
            "its experiment again"
        )
    return facts


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, which goes with the process however it ends.

    Raises `InputError` where another process holds it.
    """
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(handle), path.stat())
        except OSError:
            is_ours = False
        if not is_ours:  # held, or removed by the one who held it
            raise InputError(
                f"another process works on {path.with_suffix('').name.lstrip('.')} in "
                f"{path.parent}; wait for it, or choose another --runs-dir"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether a process holds this lock file."""
    if not path.exists():
        return False
    try:
        with locked(path):
            return False
    except InputError:
        return True
