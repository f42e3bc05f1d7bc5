"""Folders that appear whole, work that one process at a time does, and what interruptions leave.

In `runs/EXPERIMENT/`, ID being a run's:

    ID/               a finished run, whole
    studies/          searches: ID.journal while they run, ID.json when they are done
    .ID.checkpoints/  an unfinished run's
    .ID.XXXX/         an unfinished run folder
    .ID.lock          held by the process that works on the run; the system frees it at its death
    .jobs/            what a cluster's jobs said
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from experiments.sealed import Facts, check_files, digests, read_json, write_json
from pmf.data.text import WORDS, numbers_if_exact
from pmf.errors import InputError

IDS = {"user_id", "item_id"}
MANIFEST = "manifest.json"
PREDICTIONS = "predictions.parquet"
STUDIES = "studies"
JOBS = ".jobs"
ID = "[0-9a-f]{1,12}"  # of a run or a search, or the beginning of it


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
    if not re.fullmatch(ID, run_id):
        raise InputError(f"{run_id}: not an identity, which has up to 12 digits 0 to 9, a to f")
    known = [path for path in sorted(runs_dir.glob("*/*")) if re.fullmatch(ID, path.name)]
    found = [path for path in known if path.name.startswith(run_id)]
    if len({path.name for path in found}) == 1:
        return found[0]
    if found:
        raise InputError(f"{run_id}: {len(found)} runs begin so: {', '.join(map(str, found))}")
    raise InputError(f"{run_id}: no such run among the {len(known)} in {runs_dir}/")


class Run(NamedTuple):
    """A finished run, every file of it as it was written; the manifest's `files` names them."""

    folder: Path
    facts: Facts

    def table(self, name: str) -> pd.DataFrame | None:
        """One of its CSV files, or None where the run has none."""
        file = f"{name}.csv"
        return read_table(self.folder / file) if file in self.facts["files"] else None

    def predictions(self) -> pd.DataFrame:
        """Each test rating's; none of a run that broke."""
        if PREDICTIONS not in self.facts["files"]:
            return pd.DataFrame()
        return pd.read_parquet(self.folder / PREDICTIONS, page_checksum_verification=True)


def opened(folder: Path, *needed: str) -> Run:
    """A finished run. Raises `InputError` naming the file that is not as it was written.

    Also where one of the facts that are `needed` is missing, or the folder is another run's.
    """
    path, remedy = folder / MANIFEST, f"remove {folder} and run {folder.parent.name} again"
    facts = read_json(path, remedy)
    if missing := [name for name in ("id", "files", *needed) if name not in facts]:
        raise InputError(
            f"{path}: made by another version, without {', '.join(missing)}; {remedy}"
        )
    if facts["id"] != folder.name:
        raise InputError(f"{path}: it is of run {facts['id']}; {remedy}")
    check_files(folder, facts["files"], remedy)
    return Run(folder, facts)


def write_manifest(folder: Path, facts: Facts) -> None:
    """Seal a run folder: these facts, and the sha256 of every file that is in it."""
    files = digests([path for path in folder.iterdir() if path.name != MANIFEST])
    write_json(folder / MANIFEST, facts | {"files": files})


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
