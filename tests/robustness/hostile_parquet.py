"""Malformed Parquet files, or without ratings: odd types, names and metadata of all kinds."""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from random import Random
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from tests.robustness.mutations import BINARY, spoil

ROWS = [
    (user, item, 0.5 * (1 + (7 * user + 3 * item) % 10), 1_147_880_044 + user)
    for user in range(1, 9)
    for item in (1, 5, 296, 70_000 + user)
]


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


def make(rng: Random) -> dict[str, bytes]:
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
    b"",
    b"{",
    b"[]",
    b"{}",
    b'{"index_columns": ["user_id"], "columns": []}',
    b"[" * 9_000,
    b'{"index_columns": [{"kind": "range", "start": 0, "stop": 9, "step": 0}], "columns": [], '
    b'"column_indexes": []}',
)
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
