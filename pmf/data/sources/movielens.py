"""The MovieLens data sets: found in the data folder or downloaded, read from the zip in place.

Harper & Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015.
"""

import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import platformdirs
import pooch

from pmf.data.readers.archives import DAMAGE, folder_in_zip
from pmf.data.readers.text import read_csv
from pmf.errors import InputError, one_line
from pmf.io.atomic import replacing
from pmf.types import Params

URL = "https://files.grouplens.org/datasets/movielens/"

Root: TypeAlias = Path | zipfile.Path  # a folder, or one in an archive
Readers: TypeAlias = dict[str, Callable[[], pd.DataFrame]]  # a table's name to what reads it


@dataclass(frozen=True)
class Archive:
    """One published zip: its checksum (as pooch writes it), its folder and its file format."""

    checksum: str
    folder: str
    format: str  # "csv", "dat" or "u.data"
    encoding: str = "utf8"


ARCHIVES = {
    "ml-latest-small": Archive(
        "sha256:696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
        "ml-latest-small",
        "csv",
    ),
    "ml-100k": Archive(
        "sha256:50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        "ml-100k",
        "u.data",
        "latin-1",
    ),
    "ml-1m": Archive(
        "sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        "ml-1m",
        "dat",
        "latin-1",
    ),
    # GroupLens publishes an md5 only for this one.
    "ml-10m": Archive("md5:ce571fd55effeba0271552578f2648bd", "ml-10M100K", "dat"),
    "ml-20m": Archive(
        "sha256:96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3", "ml-20m", "csv"
    ),
    "ml-25m": Archive(
        "sha256:8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa", "ml-25m", "csv"
    ),
    "ml-32m": Archive(
        "sha256:e4a68655d7386b8f95f2f2424b2ff975dfdd15ffd59e0d864a14dca43e99d6ee", "ml-32m", "csv"
    ),
}


PARTS = "ratings", "items", "tags", "links"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Ratings `user_id, item_id, rating, timestamp`, and what is known of the items.

    `items` has `item_id, title, year, genres` (genres separated by `|`); `tags` has `user_id,
    item_id, tag, timestamp`; `links` has `item_id, imdb_id, tmdb_id`. Absent tables are empty.
    `truth` is what generated ratings were drawn from, users and items numbered from 1.
    """

    name: str
    source: str
    ratings: pd.DataFrame
    items: pd.DataFrame = field(default_factory=pd.DataFrame)
    tags: pd.DataFrame = field(default_factory=pd.DataFrame)
    links: pd.DataFrame = field(default_factory=pd.DataFrame)
    truth: Params | None = None

    def __repr__(self) -> str:
        sizes = (f"{len(getattr(self, name)):,} {name}" for name in PARTS)
        return f"Dataset({self.name}: {', '.join(sizes)})"


def data_dir() -> Path:
    """`PMF_DATA_DIR`, or the platform's cache folder."""
    return Path(os.environ.get("PMF_DATA_DIR") or platformdirs.user_cache_path("pmf") / "data")


def find(name: str) -> Path | None:
    """The unpacked folder or the zip of a data set in the data folder, if it is there."""
    for candidate in (ARCHIVES[name].folder, name, f"{name}.zip"):
        path = data_dir() / candidate
        if path.is_file() or any(path.glob("*")):
            return path
    return None


def fetch(name: str, from_zip: Path | None = None) -> Path:
    """The data set's folder or zip: found, copied from `from_zip`, or downloaded; zips checked.

    Raises `InputError` for a wrong checksum, or without network, saying what to put where.
    """
    archive, target = ARCHIVES[name], data_dir() / f"{name}.zip"
    if from_zip is not None:
        _check(from_zip, archive)
        _make_folder(target.parent)
        with replacing(target) as temporary:
            shutil.copyfile(from_zip, temporary)
        return target
    path = find(name)
    if path is not None:
        if path.is_file():
            _check(path, archive)
        return path
    _make_folder(target.parent)
    url = f"{URL}{name}.zip"
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, archive.checksum, fname=target.name, path=target.parent)
    except ValueError as error:
        raise InputError(f"{url}: {error}; nothing was kept") from error
    except OSError as error:  # requests' errors are among these
        raise InputError(
            f"{name} could not be downloaded from {url} ({type(error).__name__}); get {name}.zip "
            f"by other means and put it into {target.parent}, or run "
            f"`pmf data fetch {name} --from-zip FILE`"
        ) from error
    return target


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the data folder {folder} ({error.strerror}); set PMF_DATA_DIR"
        ) from error


def _check(path: Path, archive: Archive) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    kind, expected = archive.checksum.split(":")
    actual = pooch.file_hash(str(path), alg=kind)
    if actual != expected:
        raise InputError(
            f"{path}: {kind} is {actual}, not {expected}: damaged, or another "
            "edition; fetch it anew"
        )


def load(name: str) -> Dataset:
    """A MovieLens data set by name, fetched if need be."""
    return read(fetch(name), name)


def load_items(name: str) -> pd.DataFrame:
    """The items alone of a data set by name: its ratings, perhaps many millions, are not read."""
    return _read(fetch(name), name, ("items",))["items"]


def read(path: Path, name: str) -> Dataset:
    """A MovieLens data set from its folder or zip. Nothing is unpacked to disk.

    Raises `InputError` naming the file where one is missing or damaged, or the zip is an attack.
    """
    return Dataset(name, str(path), truth=None, **_read(path, name))


def _read(path: Path, name: str, wanted: tuple[str, ...] = ()) -> dict[str, pd.DataFrame]:
    """The wanted tables by name, or all that are there."""
    archive = ARCHIVES[name]
    try:
        root = folder_in_zip(path, archive.folder) if path.is_file() else path
        match archive.format:
            case "csv":
                tables = _csv_files(root)
            case "dat":
                tables = _dat_files(root, archive.encoding)
            case "u.data":
                tables = _u_files(root, archive.encoding)
            case other:
                raise ValueError(f"format {other!r}")
        return {table: tables[table]() for table in wanted or tables}
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"{path}: incomplete or damaged ({one_line(error)}); remove it, then fetch"
        ) from error


def title_year(titles: pd.Series) -> pd.Series:
    """The year of release in parentheses at a title's end, as a nullable integer."""
    return titles.astype("str").str.extract(r"\((\d{4})\)\s*$")[0].astype("Int32")


def _with_year(movies: pd.DataFrame) -> pd.DataFrame:
    movies.insert(2, "year", title_year(movies["title"]))
    return movies


def _csv_files(root: Root) -> Readers:
    def table(file: str, names: dict[str, str]) -> pd.DataFrame:
        with (root / file).open("rb") as stream:
            frame = read_csv(stream, f"{root}/{file}").rename(columns=names)
        twice = frame.columns[frame.columns.duplicated()]
        if len(twice):
            raise InputError(f"{root}/{file}: the column {twice[0]!r} is there twice; keep one")
        return frame

    ids = {"userId": "user_id", "movieId": "item_id"}
    return {
        "ratings": lambda: table("ratings.csv", ids),
        "items": lambda: _with_year(table("movies.csv", ids)),
        **{
            name: partial(table, f"{name}.csv", ids | {"imdbId": "imdb_id", "tmdbId": "tmdb_id"})
            for name in ("tags", "links")
            if (root / f"{name}.csv").exists()
        },
    }


def _table(root: Root, encoding: str, separator: str, file: str, names: list[str]) -> pd.DataFrame:
    """A table without a header, of fields that are never quoted."""
    with (root / file).open("rb") as stream:
        return read_csv(stream, f"{root}/{file}", separator, names, None, encoding, quoted=False)


def _dat_files(root: Root, encoding: str) -> Readers:
    table = partial(_table, root, encoding, "::")
    tables: Readers = {
        "ratings": partial(table, "ratings.dat", ["user_id", "item_id", "rating", "timestamp"]),
        "items": lambda: _with_year(table("movies.dat", ["item_id", "title", "genres"])),
    }
    if (root / "tags.dat").exists():
        tables["tags"] = partial(table, "tags.dat", ["user_id", "item_id", "tag", "timestamp"])
    return tables


def _u_files(root: Root, encoding: str) -> Readers:
    table = partial(_table, root, encoding)

    def items() -> pd.DataFrame:
        genres = table("|", "u.genre", ["genre", "code"]).dropna().sort_values("code")["genre"]
        names = genres.astype(str).to_numpy()
        columns = ["item_id", "title", "released", "video", "url", *names]
        if len(set(columns)) < len(columns):
            raise InputError(f"{root}/u.genre: a genre is there twice, or called as another column")
        movies = table("|", "u.item", columns)
        flags = movies[list(names)]
        if not flags.isin([0, 1]).all(axis=None):
            raise InputError(f"{root}/u.item: a genre is neither 0 nor 1")
        movies["genres"] = ["|".join(names[row]) for row in flags.to_numpy(bool)]
        return _with_year(movies[["item_id", "title", "genres"]].copy())

    return {
        "ratings": partial(table, "\t", "u.data", ["user_id", "item_id", "rating", "timestamp"]),
        "items": items,
    }
