"""What a run works on: a data set, its digest, and the split that a configuration names."""

import hashlib
from functools import lru_cache
from pathlib import Path

import pandas as pd

from experiments.config.schema import SplitConfig
from pmf.data import splits
from pmf.data.readers.files import read_folds
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.data.sources.base import load_data
from pmf.data.sources.movielens import Dataset, data_dir
from pmf.errors import InputError


@lru_cache(maxsize=1)  # a grid is mostly of one data set, and a large one fills the memory
def dataset(name: str, reading: Reading | None = None) -> Dataset:
    """A data set by name, or a file by path; the last one is kept."""
    return load_data(name, reading or AS_IT_IS)


@lru_cache(maxsize=64)
def digest(
    name: str, tables: tuple[str, ...], folds: str = "", reading: Reading | None = None
) -> str:
    """sha256 of the canonical tables of a data set, rows in order, and of a file of folds.

    The order counts, since a seeded split is of positions.
    """
    total = hashlib.sha256()
    for table in tables:
        frame = getattr(dataset(name, reading), table)
        total.update(f"{table} {list(frame.columns)} {len(frame)}".encode())
        if len(frame):
            rows = pd.util.hash_pandas_object(frame, index=False)
            total.update(rows.to_numpy().tobytes())
    if folds:
        total.update(_folds_file(folds).read_bytes())
    return total.hexdigest()


def split_data(frame: pd.DataFrame, config: SplitConfig) -> splits.Split:
    """The split that a configuration names, with the share of training ratings that it keeps."""
    whole = _whole_split(frame, config)
    return whole if config.keep == 1 else splits.keep_share(whole, config.keep, config.seed)


def _whole_split(frame: pd.DataFrame, config: SplitConfig) -> splits.Split:
    match config.kind:
        case "sample_records":
            return splits.sample_records(frame, config.fraction, config.seed)
        case "crossfold_records":
            folds = splits.crossfold_records(frame, config.partitions, config.seed)
            return _fold(folds, config.fold)
        case "assigned_folds":
            assignment = read_folds(_folds_file(config.file))
            return _fold(splits.assigned_folds(frame, assignment), config.fold)
        case "sample_n":
            return splits.sample_n(frame, config.n, config.seed)
        case "sample_fraction":
            return splits.sample_fraction(frame, config.fraction, config.seed)
        case "last_n":
            return splits.last_n(frame, config.n)
        case "last_fraction":
            return splits.last_fraction(frame, config.fraction)
        case "split_global_time":
            return splits.split_global_time(frame, config.fraction)
        case "split_at_time":
            return splits.split_at_time(frame, config.at)
        case "sample_users":
            return splits.sample_users(frame, config.users, config.given, config.seed)
        case "sample_items":
            return splits.sample_items(frame, config.fraction, config.seed)


def _fold(folds: list[splits.Split], fold: int) -> splits.Split:
    if fold > len(folds):
        raise InputError(f"split.fold={fold}: there are {len(folds)} folds")
    return folds[fold - 1]


def _folds_file(file: str) -> Path:
    path = next((p for p in (Path(file), data_dir() / file) if p.is_file()), None)
    if path is None:
        raise InputError(f"split.file={file!r}: no such file, here or in {data_dir()}")
    return path
