"""A data set by name, or a file or folder of ratings by path."""

import difflib
from dataclasses import replace
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pmf.data.choices import Duplicates
from pmf.data.contexts import BINS
from pmf.data.frames import Encoded, checked, learnable
from pmf.data.readers import parquet_stream
from pmf.data.readers.files import is_parquet_file, read_ratings, read_whole, refuse_all_but
from pmf.data.readers.parquet import DAMAGE, unreadable
from pmf.data.readers.parquet_stream import parquet_files
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.data.sources import generated, movielens
from pmf.data.sources.movielens import Dataset
from pmf.data.tables import Table, is_path, refuse_tables
from pmf.errors import InputError

BUNDLED = "ml-small-2016"
NAMES = (BUNDLED, *movielens.ARCHIVES, *generated.SHAPES)


def load_data(
    name_or_path: str | PathLike[str], reading: Reading = AS_IT_IS, times: bool = True
) -> Dataset:
    """A data set by name (`NAMES`) or a file of ratings by path, every value checked.

    `reading` says how a file is to be read where its name does not say it. Without `times` they are
    left out, and not looked at. Raises `InputError` where it is neither a name nor a file, or its
    content is bad.
    """
    name = _known(name_or_path, reading)
    if name == BUNDLED:
        dataset = _bundled()
    elif name in movielens.ARCHIVES:
        dataset = movielens.load(name)
    elif name in generated.SHAPES:
        dataset = generated.load(name)
    else:
        ratings = read_ratings(Path(name), only_required=not times, reading=reading)
        dataset = Dataset(Path(name).name, name, ratings)
    return replace(dataset, ratings=checked(dataset.ratings, dataset.source, times=times))


def files_of(name_or_path: str | PathLike[str]) -> list[Path]:
    """Where `load` reads: a file or folder, or that of a data set; none where none is needed."""
    name = str(name_or_path)
    if name in movielens.ARCHIVES:
        return [path for path in [movielens.find(name)] if path]
    return [] if name in NAMES else [Path(name)]


def unit_of(name: str) -> str:
    """What a rating of a data set is counted in: "stars" where films are rated, else "rating"."""
    return "stars" if name in NAMES else "rating"


class Rows(NamedTuple):
    """Ratings twice, row by row: `whole` as they are written, with all columns, and checked."""

    whole: pd.DataFrame
    ratings: pd.DataFrame
    columns: dict[str, str]  # the ratings' columns: {name in `whole`: canonical name}


def load_rows(
    name_or_path: str | PathLike[str], reading: Reading = AS_IT_IS, times: bool = True
) -> Rows:
    """The rows of whatever `encoded` takes, to be written again. Raises `InputError` as `load`."""
    name = _known(name_or_path, reading)
    if name in NAMES:
        ratings = load_data(name).ratings
        return Rows(ratings, ratings, {column: column for column in map(str, ratings)})
    files = parquet_files(Path(name)) if Path(name).is_dir() else (Path(name),)
    wholes = {file: read_whole(file, reading) for file in files}
    wholes = {file: whole for file, whole in wholes.items() if len(whole.frame)}
    if not wholes:
        raise InputError(f"{name}: no ratings")
    frames = [whole.frame for whole in wholes.values()]
    for frame in frames[1:]:
        if list(frame) != list(frames[0]):
            raise InputError(
                f"{name}: its files have other columns, {list(frames[0])} and {list(frame)}; give "
                "all the same"
            )
    tables = [checked(one.ratings, str(file), times=times) for file, one in wholes.items()]
    whole, ratings = (pd.concat(parts, ignore_index=True) for parts in (frames, tables))
    return Rows(whole, ratings, next(iter(wholes.values())).columns)


def load_items(name_or_path: str | PathLike[str]) -> pd.DataFrame:
    """What is known of the items of a data set by name, its ratings unread; of a file, nothing.

    Raises `InputError` where it is neither, or its items are bad.
    """
    name = _known(name_or_path)
    if name == BUNDLED:
        return _bundled().items
    if name in movielens.ARCHIVES:
        return movielens.load_items(name)
    if name not in generated.SHAPES and not Path(name).exists():
        raise InputError(f"{name}: no such file")
    return pd.DataFrame()


def encoded(
    ratings: Table | str | PathLike[str],
    scale: tuple[float, float] | None = None,
    duplicates: Duplicates = "error",
    work_folder: Path | None = None,
    reading: Reading = AS_IT_IS,
    source: str = "the frame",
    context: str | None = None,
) -> Encoded:
    """Ratings to learn from as arrays: of a table, whose name in messages is `source`, a data set,
    a file, or a folder of Parquet files.

    A folder is read by batches. With a `work_folder` the arrays stay in files there, and a Parquet
    file is read by batches too. Times are read where `duplicates` asks for the last, and `context`
    for the contexts that they are (`pmf.data.contexts`). Raises `InputError` as `load`, and where a
    pair repeats and `duplicates` are errors.
    """
    if not is_path(ratings):
        if work_folder is not None:
            raise InputError("on_disk=True reads Parquet: fit a path, not a frame")
        refuse_all_but(reading, (), source)
        return learnable(ratings, source, scale, duplicates, context)
    name = _known(ratings, reading)
    if context is not None and context not in BINS:
        raise InputError(
            f"{name}: context={context!r}: of a file no columns but the times are read "
            f"({', '.join(BINS)}); give a frame"
        )
    path = Path(name)
    is_parquet = path.is_dir() or is_parquet_file(path, reading)
    if name not in NAMES and is_parquet and (work_folder is not None or path.is_dir()):
        if context is not None:
            raise InputError(f"{name}: contexts need one table; read the folder as a frame")
        refuse_all_but(reading, ("columns",), name)
        scan = parquet_stream.scan(path, scale, reading.columns)
        return parquet_stream.read(scan, duplicates, work_folder)
    if work_folder is not None:
        raise InputError(f"{name}: on_disk=True reads Parquet only; convert it to Parquet")
    if name in NAMES:
        dataset = load_data(name)
        return learnable(dataset.ratings, dataset.source, scale, duplicates, context)
    only_required = duplicates != "last" and context is None
    frame = read_ratings(path, only_required=only_required, reading=reading)
    return learnable(frame, name, scale, duplicates, context)


def _known(name_or_path: str | PathLike[str], reading: Reading = AS_IT_IS) -> str:
    """A known name or what can be a path. Raises `InputError` with the nearest name, and where it
    is said how a data set with a name is to be read.
    """
    refuse_tables(name_or_path)
    name = str(name_or_path)
    if name in NAMES:
        refuse_all_but(reading, (), name)
    if name in NAMES or Path(name).suffix or Path(name).exists():
        return name
    near = difflib.get_close_matches(name, NAMES, 1)
    hint = f"did you mean {near[0]}?" if near else f"known names: {', '.join(NAMES)}"
    raise InputError(f"{name}: neither a data set's name nor a file; {hint}")


def _bundled() -> Dataset:
    folder = resources.files("pmf.data.sources") / "bundled"

    def table(file: str) -> pd.DataFrame:
        try:
            with (folder / file).open("rb") as stream:
                return pd.read_parquet(stream, page_checksum_verification=True)
        except DAMAGE as error:
            raise unreadable(Path(str(folder / file)), error) from error

    return Dataset(BUNDLED, str(folder), table("ratings.parquet"), table("movies.parquet"))
