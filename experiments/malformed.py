"""Malformed inputs for every reader of the package, and how each of them reads one.

A `Reader` makes files from a generator, the same from the same seed, and reads them: in silence
where they are valid, with an `InputError` that names the file where they are not. What it reads by
two paths must come out alike.
"""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from experiments import hostile_models, hostile_zips
from experiments.mutations import BINARY, TEXT, spoil
from pmf.data.frames import Encoded
from pmf.errors import InputError

Files = dict[str, bytes]  # by their paths in a folder


class Reader(NamedTuple):
    """A kind of input: `make(rng)` gives its files, `read(folder)` reads them there."""

    make: Callable[[Random], Files]
    read: Callable[[Path], None]


# --- delimited text -------------------------------------------------------------------------------

ROWS = [
    (user, item, 0.5 * (1 + (7 * user + 3 * item) % 10), 1_147_880_044 + user)
    for user in range(1, 9)
    for item in (1, 5, 296, 70_000 + user)
]
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
    """As a table, and as arrays with the compiled loops and without."""
    from pmf.data.catalogue import encoded

    (path,) = folder.iterdir()
    exact = outcome(lambda: encoded(path))
    with compiled():
        fast = outcome(lambda: encoded(path))
    if fast != exact:
        raise AssertionError(f"compiled loops read otherwise: {exact} and {fast}"[:2000])
    read_table(path)


def read_table(path: Path) -> None:
    """As ratings, and as pairs that a model of integers and one of words is asked for."""
    from pmf.data.catalogue import load
    from pmf.data.files import read_ratings
    from pmf.data.frames import Ids, pairs

    asked = pairs(read_ratings(path, required=("user_id", "item_id")), str(path))
    for known in (np.arange(9), np.array(["1", "u2"], dtype=object)):
        for name in ("user_id", "item_id"):
            outcome(lambda name=name, known=known: Ids(known).codes(asked[name], str(path)))
    load(path)


@contextmanager
def compiled() -> Iterator[None]:
    """Compiled loops even for small files, lines across blocks and blocks within lines."""
    from pmf.data import numeric

    kept = numeric.LARGE, numeric.BLOCK, numeric.LONGEST
    numeric.LARGE, numeric.BLOCK, numeric.LONGEST = 0, 64, 256
    try:
        yield
    finally:
        numeric.LARGE, numeric.BLOCK, numeric.LONGEST = kept


def outcome(read: Callable[[], Any]) -> str:
    """What comes of a call, in words: its values or its error."""
    try:
        found = read()
    except InputError as error:
        return str(error)
    if not isinstance(found, Encoded):
        return repr(found)
    (user, item, value), *sides = found
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
    """A MovieLens data set from a folder or a zip, as `pmf.data.catalogue.load` does."""
    from pmf.data.frames import checked
    from pmf.data.movielens import read

    dataset = read(path, name)
    checked(dataset.ratings, dataset.source)


def read_zip(folder: Path) -> None:
    """Past the checksum, which would refuse every one of them."""
    read_movielens(folder / "ml.zip", "ml-25m")


# --- Parquet --------------------------------------------------------------------------------------


def _odd_columns(rng: Random) -> pa.Array:
    n = len(ROWS)
    integers, words = pa.array(range(n)), pa.array([f"w{j % 5}" for j in range(n)])
    arrays: list[Callable[[], pa.Array]] = [
        lambda: integers.cast(
            rng.choice((pa.int8(), pa.uint64(), pa.float64(), pa.decimal128(19)))
        ),
        lambda: integers.cast(pa.timestamp(rng.choice(("s", "ms", "us", "ns")))),
        lambda: pa.array([j * 10**16 for j in range(n)]).cast(pa.timestamp("us", tz="UTC")),
        lambda: pa.array([10 ** (j % 19) for j in range(n)]),
        lambda: pa.array([float("nan"), 1e300, -0.0, 5e-324] * (n // 4)),
        lambda: pa.array([None, 1, 2, 3] * (n // 4)),
        lambda: pa.array([True, False] * (n // 2)),
        lambda: pa.nulls(n, rng.choice((pa.null(), pa.int32(), pa.string()))),
        lambda: pa.array([b"\xff\xfe", b"", b"\0", None] * (n // 4)),
        lambda: pa.array([[1], [], None, [2, 3]] * (n // 4)),
        lambda: pa.array([{"a": 1}, {"a": None}] * (n // 2)),
        lambda: pa.array([[("k", 1)], []] * (n // 2), pa.map_(pa.string(), pa.int64())),
        lambda: integers.cast(pa.int32()).cast(rng.choice((pa.date32(), pa.time32("s")))),
        lambda: integers.cast(pa.duration("us")),
        lambda: words.dictionary_encode(),
        lambda: pa.DictionaryArray.from_arrays(
            pa.array([0, 1, None, 2] * (n // 4), pa.int32()),
            pa.array(rng.choice((["a", "b", "c"], [b"\xff", b"", b"x"], [0.5, -0.0, 1e300]))),
        ),
        lambda: words.cast(rng.choice((pa.large_string(), pa.string_view(), pa.binary()))),
        lambda: pa.array([f"{j / 2}" for j in range(n)]),
    ]
    return rng.choice(arrays)()


def make_parquet(rng: Random) -> Files:
    """A file of odd columns or names, or a good one with spoilt bytes; at times two in a folder."""
    files = {"data/a.parquet": _parquet(rng)}
    if rng.random() < 0.1:
        files["data/b.parquet"] = good_parquet(0) if rng.random() < 0.5 else _parquet(rng)
    return files


def _parquet(rng: Random) -> bytes:
    if rng.random() < 0.8:
        return spoil(rng, good_parquet(rng.randrange(len(KINDS))), BINARY)
    names = ["user_id", "item_id", "rating"]
    columns = [pa.array(column) for column in list(zip(*ROWS, strict=True))[:3]]
    for _ in range(rng.choice((1, 1, 2))):
        columns[rng.randrange(3)] = _odd_columns(rng)
    if rng.random() < 0.2:
        names[rng.randrange(3)] = rng.choice(("user", "rating", "", "a.b", "user_id\0", "x" * 999))
    table = pa.Table.from_arrays(columns, names)
    if rng.random() < 0.2:
        table = table.replace_schema_metadata({"pandas": rng.choice(ODD_METADATA)})
    return _written(table.slice(0, rng.choice((0, 1, len(ROWS), len(ROWS)))))


ODD_METADATA = (
    b"", b"{", b"[]", b"{}", b'{"index_columns": ["user_id"], "columns": []}', b"[" * 9_000,
    b'{"index_columns": [{"kind": "range", "start": 0, "stop": 9, "step": 0}], "columns": [], '
    b'"column_indexes": []}',
)  # fmt: skip
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "zstd", "row_group_size": 10, "write_page_checksum": True},
    {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
    {"compression": "gzip", "use_dictionary": False, "column_encoding": "DELTA_BINARY_PACKED"},
)


@cache
def good_parquet(kind: int) -> bytes:
    """Ratings as a Parquet file, ids integers or (kind 0) words; two with pandas' metadata."""
    frame = pd.DataFrame(ROWS, columns=["userId", "movieId", "rating", "timestamp"])
    if kind == 0:
        frame["userId"] = "u" + frame["userId"].astype(str)
    if kind == 3:
        frame = frame[["userId", "movieId"]].assign(rating=frame["rating"].astype(int))
    return _written(pa.Table.from_pandas(frame, preserve_index=kind == 1), **KINDS[kind])


def _written(table: pa.Table, **options: Any) -> bytes:
    stream = BytesIO()
    pa.parquet.write_table(table, stream, **options)
    return stream.getvalue()


def read_parquet(folder: Path) -> None:
    """As a table, as arrays, and in two passes by batches, in memory and on disk.

    The passes may refuse what pandas would convert, but not give other numbers.
    """
    from pmf.data.catalogue import encoded

    data = folder / "data"
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
    for path in sorted(data.iterdir()):
        read_table(path)


READERS = {
    "csv": Reader(make_csv, read_csv),
    "colons": Reader(make_colons, read_colons),
    "parquet": Reader(make_parquet, read_parquet),
    "zip": Reader(hostile_zips.make, read_zip),
    "model": Reader(hostile_models.make, hostile_models.read),
}
