"""Folders that appear whole, work that one process at a time does, and what interruptions leave.

In `runs/EXPERIMENT/`, ID being a run's:

    ID/               a finished run, whole
    studies/          searches: ID.journal while they run, ID.json when they are done
    .ID.checkpoints/  an unfinished run's
    .ID.XXXX/         an unfinished run folder
    .ID.lock          held by the process that works on the run; the system frees it at its death
    .jobs/            what a cluster's jobs said
"""

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pmf.data.readers.text import WORDS, numbers_if_exact
from pmf.errors import InputError
from pmf.io.atomic import sync
from pmf.io.locks import Busy, only_writer
from pmf.io.sealed_json import Facts, check_files, digests, read_json, write_json

IDS = {"user_id", "item_id"}
MANIFEST = "manifest.json"
PREDICTIONS = "predictions.parquet"
STUDIES = "studies"
JOBS = ".jobs"
TABLES_LOCK = ".tables.lock"
POLL = 0.3  # seconds between looks at what other processes do
ID = "[0-9a-f]{12}"  # of a run or a search
MADE_BY = ".made-by"  # in folders that `clean` may remove
MADE = "`python -m experiments` made this folder, and `clean` removes it\n"


def make(folder: Path) -> None:
    """Make a folder, if need be, and write to it. Raises `InputError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); fix that, or choose another folder"
        ) from error


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill; on success it is synced and renamed to `folder`.

    On failure nothing is left. After a power cut `folder` is there whole, or not at all. Raises
    `InputError` where the system refuses, as for a full disk.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (temporary / MADE_BY).write_text(MADE)
        yield temporary
        (temporary / MADE_BY).unlink()
        for written in temporary.iterdir():
            sync(written)
        sync(temporary)
        temporary.chmod(0o755)
        temporary.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise InputError(
            f"cannot write {folder}: {error.strerror or error}; free some space or fix the "
            "folder, and run again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    known = [path for path in sorted(runs_dir.glob("*/*")) if re.fullmatch(ID, path.name)]
    matches = [path for path in known if path.name.startswith(run_id)]
    if len({path.name for path in matches}) == 1:
        return matches[0]
    if matches:
        raise InputError(f"{run_id}: {len(matches)} runs begin so: {', '.join(map(str, matches))}")
    raise InputError(f"{run_id}: no such run among the {len(known)} in {runs_dir}/")


class Run(NamedTuple):
    """A finished run, every file of it as it was written; the manifest's `files` names them."""

    folder: Path
    facts: Facts

    def table(self, name: str) -> pd.DataFrame | None:
        """One of its CSV files, or None where the run has none."""
        file = f"{name}.csv"
        return read_table(self.folder / file) if file in self.facts["files"] else None

    def predicted_columns(self) -> list[str]:
        """Those of its predictions, which are not read for it."""
        return pq.read_schema(self.folder / PREDICTIONS).names

    def predictions(self) -> pd.DataFrame:
        """Each test rating's; none of a run that broke."""
        if PREDICTIONS not in self.facts["files"]:
            return pd.DataFrame()
        return pd.read_parquet(self.folder / PREDICTIONS, page_checksum_verification=True)


def opened(folder: Path, *needed: str) -> Run:
    """A finished run. Raises `InputError` naming the file that is not as it was written.

    Also where one of the facts that are `needed` is missing, or the folder is another run's.
    """
    path, remedy = folder / MANIFEST, _again(folder)
    facts = read_json(path, remedy)
    if missing := [name for name in ("id", "files", *needed) if name not in facts]:
        raise InputError(f"{path}: made by another version, without {', '.join(missing)}; {remedy}")
    if facts["id"] != folder.name:
        raise InputError(f"{path}: it is of run {facts['id']}; {remedy}")
    check_files(folder, facts["files"], remedy)
    return Run(folder, facts)


def facts_of(folder: Path) -> Facts:
    """What a finished run's manifest says; its seal is that of all that the run is."""
    return read_json(folder / MANIFEST, _again(folder))


def _again(folder: Path) -> str:
    return f"remove {folder} and run {folder.parent.name} again"


def write_manifest(folder: Path, facts: Facts) -> None:
    """Seal a run folder: these facts, and the sha256 of every file that is in it."""
    files = digests([path for path in folder.iterdir() if path.name not in (MANIFEST, MADE_BY)])
    write_json(folder / MANIFEST, facts | {"files": files})


def lock_of(place: Path) -> Path:
    """The lock of a run's folder, or of a search's result."""
    return place.with_name(f".{place.stem}.lock")


def only_one(place: Path) -> AbstractContextManager[None]:
    """Be the only process that makes a run's folder or a search's result.

    Raises `Busy` where another is. Whoever has the lock looks again whether there is something to
    do: another may have been here.
    """
    what = "search" if place.parent.name == STUDIES else "run"
    return only_writer(place.parent, f"{what} {place.stem}", lock_of(place).name)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Write the tables of a folder when no other process does: that is waited for."""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(only_writer(folder, "tables", TABLES_LOCK))
                break
            except Busy:
                time.sleep(POLL)
        yield
