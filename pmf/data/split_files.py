"""Ratings to a file to learn from and one to test with, by any split of `pmf.data.splits`."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from pmf.data import splits
from pmf.data.checks import rows_of
from pmf.data.choices import Duplicates, SplitKind
from pmf.data.frames import encode, one_a_pair, times_of
from pmf.data.readers.files import read_folds, write_tables
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.data.sources.base import Rows, files_of, load_rows
from pmf.data.splits import Split, check_fraction
from pmf.data.times import moment
from pmf.errors import InputError
from pmf.io.atomic import TABLES, check_target

KINDS: dict[str, Callable[..., Any]] = {name: getattr(splits, name) for name in get_args(SplitKind)}
IN_TIME = ("last_n", "last_fraction", "split_global_time", "split_at_time")
IN_FOLDS = ("crossfold_records", "assigned_folds")
DEFAULTS: dict[str, Any] = {
    "fraction": 0.2,
    "n": 1,
    "seed": 0,
    "partitions": 5,
    "fold": 1,
    "users": 100,
    "given": 0,
}
LEAST = {"n": 1, "seed": 0, "partitions": 2, "users": 1, "given": 0, "fold": 1}


class Rule(NamedTuple):
    """A split by name, with its settings checked."""

    kind: str
    settings: dict[str, Any]

    def __call__(self, frame: pd.DataFrame) -> Split:
        """The split of a frame. Raises `InputError` where the ratings do not allow it."""
        settings = dict(self.settings)
        if self.kind not in IN_FOLDS:
            split: Split = KINDS[self.kind](frame, **settings)
            return split
        fold: int = settings.pop("fold")
        if "folds" in settings:
            settings["assignment"] = read_folds(settings.pop("folds"))
        splits: list[Split] = KINDS[self.kind](frame, **settings)
        if fold > len(splits):
            raise InputError(f"fold={fold}: there are {len(splits)} folds")
        return splits[fold - 1]


def rule(kind: str, options: Mapping[str, Any]) -> Rule:
    """A split by the name of its function and its settings, None where one is not given.

    Raises `InputError` for a setting that this split has not, lacks, or cannot have.
    """
    names = [*inspect.signature(KINDS[kind]).parameters][1:]
    names = ["folds" if name == "assignment" else name for name in names]
    names += ["fold"] if kind in IN_FOLDS else []
    chosen = {name: value for name, value in options.items() if value is not None}
    if others := [name for name in chosen if name not in names]:
        raise InputError(
            f"{others[0]} is no setting of {kind}, which has {', '.join(names)}; leave it out, or "
            "say another split"
        )
    settings: dict[str, Any] = {name: chosen.get(name, DEFAULTS.get(name)) for name in names}
    for name, value in settings.items():
        if value is None:
            raise InputError(f"{kind} needs {name}")
        if name in LEAST and value < LEAST[name]:
            raise InputError(f"{name}={value}: at least {LEAST[name]}")
    if "fraction" in settings:
        check_fraction(settings["fraction"])
    if "at" in settings:
        moment(settings["at"])
    return Rule(kind, settings)


def part(
    data: str,
    rule: Rule,
    train: Path,
    test: Path,
    duplicates: Duplicates = "error",
    reading: Reading = AS_IT_IS,
) -> Split:
    """Write the parts of what `pmf fit` reads to two files, together or not at all.

    They have the columns of the input as it has them. Gives the parts as checked ratings. Raises
    `InputError` before the reading where a file cannot be written, or is read.
    """
    _check_outputs(data, rule, train, test)
    rows = load_rows(data, reading, times=rule.kind in IN_TIME or duplicates == "last")
    rows = _each_once(rows, data, duplicates)
    split = rule(rows.ratings.assign(row=np.arange(len(rows.ratings))))
    parts = {train: split.train, test: split.test}
    write_tables({path: _written(rows, part["row"], path) for path, part in parts.items()})
    return Split(*(part.drop(columns="row") for part in split))


def _check_outputs(data: str, rule: Rule, train: Path, test: Path) -> None:
    folds = rule.settings.get("folds")
    for path in (train, test):
        check_target(path, TABLES, [*files_of(data), *([folds] if folds else [])])
    if train.resolve() == test.resolve() or (
        train.exists() and test.exists() and train.samefile(test)
    ):
        raise InputError(f"{train}: both parts cannot be one file; name two")


def _each_once(rows: Rows, source: str, duplicates: Duplicates) -> Rows:
    encoded, times = encode(rows.ratings, source), times_of(rows.ratings)
    chosen = one_a_pair(encoded, duplicates, source, rows_of(source), times)
    if chosen is None:
        return rows
    whole, ratings = (part.iloc[chosen.row].reset_index(drop=True) for part in rows[:2])
    ratings = ratings.assign(rating=chosen.value)
    if duplicates == "mean":
        whole = whole.assign(**{_rating(rows): chosen.value})
    return Rows(whole, ratings, rows.columns)


def _written(rows: Rows, places: pd.Series, path: Path) -> pd.DataFrame:
    """Some rows as they are written to a file: ratings of a text are numbers in a Parquet file."""
    whole, name = rows.whole.iloc[places], _rating(rows)
    if path.suffix.lower() == ".csv" or pd.api.types.is_numeric_dtype(whole[name]):
        return whole
    return whole.assign(**{name: pd.to_numeric(whole[name])})


def _rating(rows: Rows) -> str:
    return next(name for name, one in rows.columns.items() if one == "rating")
