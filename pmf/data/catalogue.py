"""A data set by name, or a file of ratings by path."""

import difflib
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pandas as pd

from pmf.data import movielens
from pmf.data.files import read_ratings
from pmf.data.frames import checked
from pmf.data.movielens import Dataset
from pmf.errors import InputError

BUNDLED = "ml-small-2016"
NAMES = (BUNDLED, *movielens.ARCHIVES)


def load(name_or_path: str | Path) -> Dataset:
    """A data set by name (`NAMES`) or a CSV, TSV or Parquet file by path, every value checked.

    Raises `InputError` where it is neither, or its content is bad.
    """
    name = str(name_or_path)
    if name == BUNDLED:
        dataset = _bundled()
    elif name in movielens.ARCHIVES:
        dataset = movielens.load(name)
    elif Path(name).suffix or Path(name).exists():
        dataset = Dataset(Path(name).name, name, read_ratings(Path(name)))
    else:
        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f"did you mean {near[0]}?" if near else f"known names: {', '.join(NAMES)}"
        raise InputError(f"{name}: neither a data set's name nor a file; {hint}")
    return replace(dataset, ratings=checked(dataset.ratings, dataset.source))


def _bundled() -> Dataset:
    folder = resources.files("pmf.data") / "bundled"

    def table(file: str) -> pd.DataFrame:
        with (folder / file).open("rb") as stream:
            return pd.read_parquet(stream)

    return Dataset(BUNDLED, str(folder), table("ratings.parquet"), table("movies.parquet"))
