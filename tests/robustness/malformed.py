"""Malformed inputs for every reader of the package, and how each of them reads one.

A `Reader` makes files from a generator, the same from the same seed, and reads them: in silence
where they are valid, with an `InputError` that names the file where they are not. What it reads by
two paths must come out alike.
"""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from pmf.data.frames import Encoded
from pmf.errors import InputError
from tests.robustness import hostile_models, hostile_parquet, hostile_texts, hostile_zips
from tests.robustness.hostile_parquet import ROWS
from tests.robustness.mutations import BINARY, TEXT, spoil

Files = dict[str, bytes]  # by their paths in a folder


class Reader(NamedTuple):
    """A kind of input: `make(rng)` gives its files, `read(folder)` reads them there."""

    make: Callable[[Random], Files]
    read: Callable[[Path], None]


# --- delimited text -------------------------------------------------------------------------------

HEADERS = "userId,movieId,rating,timestamp", "user,item,rating,time", "rating,x,user_id,item_id"


@cache
def _texts() -> tuple[bytes, ...]:
    numbers = "\n".join(",".join(map(str, row)) for row in ROWS)
    words = "\n".join(f'u{user},"i,{item}",{rating},{time}' for user, item, rating, time in ROWS)
    notes = "\n".join(f"{rating},{'note ' * 9},{user},{item}" for user, item, rating, _ in ROWS)
    bodies = zip(HEADERS, (numbers, words, notes), strict=True)
    return tuple(f"{header}\n{body}\n".encode() for header, body in bodies)


def make_csv(rng: Random) -> Files:
    """One delimited file, gzipped in one case of four and then spoilt before, after or both."""
    text, name = rng.choice(_texts()), rng.choice(("r.csv", "r.csv", "r.tsv"))
    if name == "r.tsv":
        text = text.replace(b",", b"\t")
    zipped = rng.random() < 0.25
    if not zipped or rng.random() < 0.6:
        text = spoil(rng, text, TEXT)
    if not zipped:
        return {name: text}
    packed = gzip.compress(text, 1, mtime=0)
    return {f"{name}.gz": spoil(rng, packed, BINARY) if rng.random() < 0.6 else packed}


def read_csv(folder: Path) -> None:
    """As a table, or as arrays with the compiled loops and without: by the content's chance."""
    from pmf.data.sources.base import encoded

    (path,) = folder.iterdir()
    if crc32(path.read_bytes()) % 2:
        read_table(path)
        return
    exact = outcome(lambda: encoded(path))
    with compiled():
        fast = outcome(lambda: encoded(path))
    if fast != exact:
        raise AssertionError(f"compiled loops read otherwise: {exact} and {fast}"[:2000])
    encoded(path)


def read_text(folder: Path) -> None:
    """As a table, with the options that read it."""
    from pmf.data.readers.reading import Reading

    (path,) = folder.iterdir()
    read_table(path, Reading(**hostile_texts.options_of(path.name)))


def read_table(path: Path, reading: Any = None) -> None:
    """As ratings, and as pairs that a model of integers and one of words is asked for."""
    from pmf.data.frames import pairs
    from pmf.data.ids import Ids
    from pmf.data.readers.files import read_ratings
    from pmf.data.readers.reading import AS_IT_IS
    from pmf.data.sources.base import load_data as load

    reading = reading or AS_IT_IS
    pairs_read = pairs(
        read_ratings(path, required=("user_id", "item_id"), reading=reading), str(path)
    )
    for known in (np.arange(9), np.array(["1", "u2"], dtype=object)):
        for name in ("user_id", "item_id"):
            outcome(lambda name=name, known=known: Ids(known).codes(pairs_read[name], str(path)))
    load(path, reading)


@contextmanager
def compiled() -> Iterator[None]:
    """Compiled loops even for small files, lines across blocks and blocks within lines."""
    from pmf.data import encoding
    from pmf.data.readers import numeric

    usual = encoding.LARGE, numeric.BLOCK, numeric.LONGEST
    encoding.LARGE, numeric.BLOCK, numeric.LONGEST = 0, 400, 100
    try:
        yield
    finally:
        encoding.LARGE, numeric.BLOCK, numeric.LONGEST = usual


def outcome(read: Callable[[], Any]) -> str:
    """What comes of a call, in words: its values or its error."""
    try:
        result = read()
    except InputError as error:
        return str(error)
    if not isinstance(result, Encoded):
        return repr(result)
    (user, item, value), sides = result.ratings, (result.users, result.items)
    ids = [(ids.values.dtype.kind, ids.values.tolist()) for ids in sides]
    return f"arrays {[np.asarray(x).tolist() for x in (user, item, value)]} {ids}"


# --- files with `::` ------------------------------------------------------------------------------


@cache
def _folders() -> dict[str, Files]:
    ratings = "\n".join("::".join(map(str, row)) for row in ROWS)
    items = sorted({row[1] for row in ROWS})
    movies = "\n".join(f'{item}::The "{item}" (19{item % 100:02})::Drama|War' for item in items)
    flags = "\n".join(f"{item}|Caf\xe9 (1995)|01-Jan-1995||http://a|0|1|1" for item in items)
    return {
        "ml-1m": {
            "ratings.dat": ratings.encode(),
            "movies.dat": movies.encode(),
            "tags.dat": b"2::5::dark; slow::99\n",
        },
        "ml-100k": {
            "u.data": ratings.replace("::", "\t").encode(),
            "u.item": flags.encode("latin-1"),
            "u.genre": b"unknown|0\nAction|1\nWar|2\n\n",
        },
    }


def make_colons(rng: Random) -> Files:
    """A folder as MovieLens 1M's or 100K's, a file of it spoilt, or gone."""
    name = rng.choice(list(_folders()))
    files = dict(_folders()[name])
    which = rng.choice(list(files))
    files[which] = spoil(rng, files[which], TEXT)
    if rng.random() < 0.02:
        del files[which]
    return {f"{name}/{file}": content for file, content in files.items()}


def read_colons(folder: Path) -> None:
    """As the data set whose name the folder has."""
    (path,) = folder.iterdir()
    read_movielens(path, path.name)


def read_movielens(path: Path, name: str) -> None:
    """A MovieLens data set from a folder or a zip, as `pmf.load_data` does."""
    from pmf.data.frames import checked
    from pmf.data.sources.movielens import read

    dataset = read(path, name)
    checked(dataset.ratings, dataset.source)


def read_zip(folder: Path) -> None:
    """Past the checksum, which would refuse every one of them."""
    read_movielens(folder / "ml.zip", "ml-25m")


# --- Parquet --------------------------------------------------------------------------------------


def read_parquet(folder: Path) -> None:
    """As a table, or as arrays and in two passes by batches, in memory and on disk: by chance.

    The passes may refuse what pandas would convert, but not give other numbers.
    """
    from pmf.data.sources.base import encoded

    data = folder / "data"
    if crc32((data / "a.parquet").read_bytes()) % 2:
        for path in sorted(data.iterdir()):
            read_table(path)
        return
    exact = outcome(lambda: encoded(data / "a.parquet"))
    streamed = outcome(lambda: encoded(data))
    with TemporaryDirectory() as work:
        on_disk = outcome(lambda: encoded(data, work_folder=Path(work)))
    different = streamed != on_disk or (
        len(list(data.iterdir())) == 1
        and exact.startswith("arrays")
        and streamed.startswith("arrays")
        and exact != streamed
    )
    if different:
        raise AssertionError(f"read otherwise: {exact}; {streamed}; {on_disk}"[:2000])
    encoded(data)


READERS = {
    "csv": Reader(make_csv, read_csv),
    "texts": Reader(hostile_texts.make, read_text),
    "colons": Reader(make_colons, read_colons),
    "parquet": Reader(hostile_parquet.make, read_parquet),
    "zip": Reader(hostile_zips.make, read_zip),
    "model": Reader(hostile_models.make, hostile_models.read),
}
