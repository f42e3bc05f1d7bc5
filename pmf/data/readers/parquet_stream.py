"""Parquet files that need not fit in memory, to encoded arrays, in two passes by batches.

The first pass checks every value and learns the ids, their counts and the distinct ratings; the
second writes the arrays. Memory, besides the arrays where they are not on disk:

    a batch (`BATCH` rows) + the ids of both sides, hashed + `pmf.data.encoding.SORTED` pairs

of which the last, for pairs that repeat, is not needed where numba is installed and each user's
ratings stand together.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import DTypeLike

from pmf.data.checks import Checks, Place, as_floats
from pmf.data.choices import Duplicates
from pmf.data.columns import REQUIRED, UNTOLD, Columns, canonical_columns
from pmf.data.frames import Encoded, distinct
from pmf.data.ids import Ids, factorize, joined
from pmf.data.readers.parquet import (
    DAMAGE,
    check_types,
    group_sizes,
    open_parquet,
    to_frame,
    unreadable,
)
from pmf.data.times import Times
from pmf.data.values import Palette, Stored, put
from pmf.errors import InputError
from pmf.types import Ratings

BATCH = 1 << 18  # rows read at a time


class Files(NamedTuple):
    """Parquet files whose rows, one file after another, are one table."""

    paths: tuple[Path, ...]
    rows: np.ndarray  # (files,) rows in each
    told: Columns

    @property
    def start(self) -> np.ndarray:
        """The number of each file's first row in the whole."""
        return np.asarray(np.cumsum(self.rows) - self.rows)

    def place(self, row: int) -> str:
        """The file of a row of the whole, and its number in it from 1."""
        file = int(np.searchsorted(np.cumsum(self.rows), row, side="right"))
        return f"{self.paths[file]}, row {row - int(self.start[file]) + 1}"


class Scan(NamedTuple):
    """What the first pass learns of a data set."""

    source: str
    files: Files
    users: Ids
    items: Ids
    user_count: np.ndarray  # (users,) ratings of each
    item_count: np.ndarray
    palette: Palette

    @property
    def num_ratings(self) -> int:
        return int(self.files.rows.sum())


class Batch(NamedTuple):
    """Rows of one file under canonical names, from row `first` of the whole on."""

    file: Path
    first: int
    table: pd.DataFrame

    def place(self, files: Files) -> Place:
        """Names of its rows."""
        return lambda row: files.place(self.first + row)


def scan(path: Path, scale: tuple[float, float] | None = None, told: Columns = UNTOLD) -> Scan:
    """The first pass over a Parquet file, or a folder of them in the order of their paths.

    `told` names columns (`pmf.data.columns`). Row numbers follow first appearance. Raises
    `InputError` with the messages of `pmf.data.frames.checked`, naming the file and the row in it.
    """
    paths = parquet_files(path)
    files = Files(paths, np.array([_num_rows(file) for file in paths], np.int64), told)
    checks, users, items, palette = Checks(scale), _Seen(), _Seen(), Palette()
    for batch in _batches(files, 0, int(files.rows.sum())):
        table, place = batch.table, batch.place(files)
        checks.see_ids(table, place)
        values = checks.see_ratings(table["rating"], place)
        if not checks.failed:
            users.add(table["user_id"], str(batch.file))
            items.add(table["item_id"], str(batch.file))
            palette.see(values.to_numpy())
    checks.settle()
    if not files.rows.sum():
        raise InputError(f"{path}: no ratings")
    return Scan(str(path), files, users.ids, items.ids, users.count, items.count, palette)


def encoded_blocks(
    scanned: Scan, process_id: int = 0, num_processes: int = 1
) -> Iterator[tuple[int, Ratings]]:
    """The second pass: encoded ratings by batches, each with the number of its first row.

    Of several processes each reads its own run of rows, n / num_processes of them, and no row group
    that is another's alone. Raises `InputError` where a file has changed since the first pass.
    """
    n = scanned.num_ratings
    begin, end = (n * j // num_processes for j in (process_id, process_id + 1))
    for file, first, table in _batches(scanned.files, begin, end):
        user = scanned.users.codes(table["user_id"], str(file))
        item = scanned.items.codes(table["item_id"], str(file))
        if scanned.users.unknown(user).any() or scanned.items.unknown(item).any():
            raise _changed(str(file))
        yield first, Ratings(user, item, as_floats(table["rating"]).to_numpy())


def read(scanned: Scan, duplicates: Duplicates = "error", folder: Path | None = None) -> Encoded:
    """The second pass, into arrays: in memory, or in files in `folder`, mapped.

    In files a rating takes one or two bytes where that is exact (`pmf.data.values`). Raises
    `InputError` as `pmf.data.frames.distinct`.
    """
    if folder is not None and duplicates != "error":
        raise InputError("on disk a pair rated twice is an error; say on_disk=False, or remove it")
    n = scanned.num_ratings
    if folder is None:
        user, item = np.empty(n, np.int32), np.empty(n, np.int32)
        single = scanned.palette.is_single
        value: Stored = np.empty(n, np.float32 if single else np.float64)
    else:
        user, item = (_mapped(folder / name, n, np.int32) for name in ("user.npy", "item.npy"))
        value = scanned.palette.empty(partial(_mapped, folder / "value.npy", n))
    for first, block in encoded_blocks(scanned):
        rows = slice(first, first + len(block.user))
        user[rows], item[rows] = block.user, block.item
        if not put(value, rows, block.value):
            raise _changed(scanned.source)
    whole = Encoded(Ratings(user, item, value), scanned.users, scanned.items)
    time = _read_times(scanned) if duplicates == "last" else None
    return distinct(whole, duplicates, scanned.source, scanned.files.place, time)


def _read_times(scanned: Scan) -> np.ndarray | None:
    """A pass over the timestamps alone, as seconds since 1970; None where no file has any.

    Raises `InputError` where a file has none and another has, and as `pmf.data.times.Times`.
    """
    files = scanned.files
    if not any(_has_times(file, files.told) for file in files.paths):
        return None
    times, parts = Times(), []
    for batch in _batches(files, 0, scanned.num_ratings, ("timestamp",)):
        parts.append(times.see(batch.table["timestamp"], batch.place(files)))
    times.settle()
    return np.concatenate(parts)


def _has_times(file: Path, told: Columns) -> bool:
    with _open(file) as parquet:
        names = parquet.schema_arrow.names
    return "timestamp" in canonical_columns(names, (), str(file), told).values()


def _mapped(path: Path, n: int, dtype: DTypeLike) -> np.ndarray:
    """A new array in a file. Its room is taken now: a disk that fills up later kills the process.

    Raises `InputError` where there is not enough.
    """
    try:
        array = np.lib.format.open_memmap(path, "w+", dtype, (n,))
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise InputError(
            f"{path.parent}: no room for {n:,} ratings ({error.strerror}); set TMPDIR to a folder "
            "on a larger disk"
        ) from error
    return array


def _changed(source: str) -> InputError:
    return InputError(f"{source}: changed while it was read; try again")


class _Seen:
    """The ids of one side so far, in order of first appearance, and how often each occurred."""

    def __init__(self) -> None:
        self.ids, self.count = Ids(np.empty(0, np.int64)), np.empty(0, np.int64)

    def add(self, column: pd.Series, source: str) -> None:
        codes, values = factorize(column, source)
        known = self.ids.codes(pd.Series(values))
        fresh = self.ids.unknown(known)
        if fresh.any():
            known[fresh] = len(self.ids) + np.arange(fresh.sum())
            self.ids = Ids(joined(self.ids.values, values[fresh]))
            self.count = np.append(self.count, np.zeros(fresh.sum(), np.int64))
        self.count[known] += np.bincount(codes, minlength=len(values))


def parquet_files(path: Path) -> tuple[Path, ...]:
    """The Parquet files of a folder by path; hidden ones and those like _metadata are no data."""
    if path.is_file():
        return (path,)
    files = [
        file
        for file in sorted(path.rglob("*.parquet"))
        if not any(part[0] in "._" for part in file.relative_to(path).parts)
    ]
    if not files:
        raise InputError(f"{path}: no Parquet file; put FILE.parquet there, or name another")
    return tuple(files)


def _num_rows(file: Path) -> int:
    with _open(file) as parquet:
        return int(parquet.metadata.num_rows)


def _open(file: Path) -> pa.parquet.ParquetFile:
    # Buffered: without, a whole column of a row group is read at once.
    return open_parquet(file, buffer_size=1 << 20)


def _batches(
    files: Files, begin: int, end: int, wanted: tuple[str, ...] = REQUIRED
) -> Iterator[Batch]:
    """The `wanted` columns of the rows from `begin` to `end` of the whole, `BATCH` at a time."""
    for file, rows, start in zip(*files[:2], files.start, strict=True):
        low, high = (int(np.clip(x - start, 0, rows)) for x in (begin, end))
        if low < high:
            with _open(file) as parquet:
                if parquet.metadata.num_rows != rows:
                    raise _changed(str(file))
                names = parquet.schema_arrow.names
                columns = canonical_columns(names, wanted, str(file), files.told)
                columns = {name: one for name, one in columns.items() if one in wanted}
                check_types(parquet.schema_arrow, columns, file)
                for first, table in _tables(parquet, [*columns], low, high, file):
                    yield Batch(file, int(start) + first, table.rename(columns=columns))


def _tables(
    parquet: pa.parquet.ParquetFile, columns: list[str], low: int, high: int, file: Path
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Some columns of the rows from `low` to `high` of a file, each part with its first row."""
    edges = np.cumsum([0, *group_sizes(parquet)])
    groups = [g for g in range(len(edges) - 1) if edges[g] < high and edges[g + 1] > low]
    first = int(edges[groups[0]])
    try:
        for batch in parquet.iter_batches(BATCH, groups, columns):
            begin, end = max(low - first, 0), min(high - first, len(batch))
            if begin < end:
                part = pa.Table.from_batches([batch.slice(begin, end - begin)])
                yield first + begin, to_frame(part)
            first += len(batch)
    except DAMAGE as error:
        raise unreadable(file, error) from error
    if first != edges[groups[-1] + 1]:
        raise InputError(f"{file}: damaged: not as many rows as it says; write it again")
