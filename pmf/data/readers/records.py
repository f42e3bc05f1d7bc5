"""Ratings that are no delimited text: JSON lines, Matrix Market, the Netflix prize's files."""

import json
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.json

from pmf.data.readers.lines import UNIT, Change, Changed, Stream, split_at
from pmf.data.readers.parquet import to_frame
from pmf.data.readers.text import LONGEST_HEADER, Wanted, read_csv
from pmf.errors import InputError, one_line

BLOCK = 1 << 24  # bytes: an object of JSON lies within one
NETFLIX = re.compile(rb"\d+:\r?\n?\Z")  # the line of a movie
MATRIX = b"%%MatrixMarket"


# --- JSON lines -----------------------------------------------------------------------------------


def read_json_lines(stream: Stream, source: str, wanted: Wanted) -> pd.DataFrame:
    """An object a line. The first one has the columns. Where a later one has a value of another
    kind, as an id in words among numbers, all are read by Python, which is slower.

    Raises `InputError` naming `source` and what is wrong.
    """
    first = _first_object(stream, source)
    columns = wanted.columns(list(first), source)
    types = {name: _type(first[name], f"{source}, its {name!r}") for name in columns}
    for name, canonical in columns.items():
        if canonical == "rating" and types[name] == pa.int64():  # 5 in one line, 4.5 in another
            types[name] = pa.float64()
    others = "infer" if wanted.as_written else "ignore"
    parse = pa.json.ParseOptions(
        explicit_schema=pa.schema(list(types.items())), unexpected_field_behavior=others
    )
    try:
        table = pa.json.read_json(stream, pa.json.ReadOptions(block_size=BLOCK), parse)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        objects = None if wanted.as_written else _objects(stream)
        if objects is None:
            raise InputError(f"{source}: {one_line(error)}; correct the file") from error
        values = {one: [each.get(name) for each in objects] for name, one in columns.items()}
        return pd.DataFrame(values, dtype=object)
    if wanted.as_written:
        return to_frame(table)
    return to_frame(table.select(list(columns))).rename(columns=columns)


def _objects(stream: Stream) -> list[dict[str, Any]] | None:
    """All objects; None where a line is none."""
    stream.seek(0)
    text = b"".join(iter(lambda: stream.read(BLOCK), b""))
    lines = text.removeprefix(b"\xef\xbb\xbf").splitlines()
    try:
        objects = [json.loads(line.decode()) for line in lines if line.strip()]
    except (ValueError, RecursionError):
        return None
    return objects if all(isinstance(one, dict) for one in objects) else None


def _first_object(stream: Stream, source: str) -> dict[str, Any]:
    head = stream.read(BLOCK)
    stream.seek(0)
    lines = head.removeprefix(b"\xef\xbb\xbf").splitlines()
    first = next((line for line in lines if line.strip()), b"")
    if first.lstrip()[:1] == b"[":
        raise InputError(
            f"{source}: one array; an object a line is read, as pandas.read_json(path).to_json("
            "path, orient='records', lines=True) writes"
        )
    try:
        first_object = json.loads(first)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source}: its first line is no object of JSON ({one_line(error)})"
        ) from error
    if not isinstance(first_object, dict):
        raise InputError(f"{source}: its first line is no object of JSON")
    return first_object


def _type(value: object, place: str) -> pa.DataType:
    match value:
        case str():
            return pa.string()
        case bool():
            return pa.bool_()
        case int():
            return pa.int64()
        case float():
            return pa.float64()
        case None:
            raise InputError(f"{place}: null in the first line; put a line first that has a value")
        case _:
            raise InputError(f"{place}: a number or a word is needed")


# --- Matrix Market --------------------------------------------------------------------------------


def read_matrix(stream: Stream, source: str, wanted: Wanted) -> pd.DataFrame:
    """A Matrix Market file of users by items: ids are its row and column numbers, from 1.

    An explicit zero is a rating. Raises `InputError` for a dense or a symmetric matrix, and where
    there are not as many entries as it says.
    """
    banner, size = _banner(stream, source)
    layout, numbers, symmetry = banner
    if layout != "coordinate":
        raise InputError(f"{source}: a dense matrix; its zeros are no ratings, so write it sparse")
    if numbers not in ("real", "integer", "double", "pattern"):
        raise InputError(f"{source}: a matrix of {numbers} numbers; ratings are real")
    if symmetry != "general":
        raise InputError(f"{source}: a {symmetry} matrix; users by items are none")
    names = ["user_id", "item_id"] if numbers == "pattern" else ["user_id", "item_id", "rating"]
    body = Changed(stream, lambda: _without_head(split_at(" ")), source)
    needed = tuple(name for name in wanted.required if name in names)
    frame = read_csv(body, source, UNIT.decode(), names, Wanted(needed), quoted=False)
    if len(frame) != size[2]:
        raise InputError(f"{source}: {len(frame):,} entries, and {size[2]:,} by its head")
    for name, most in zip(names[:2], size[:2], strict=True):
        if frame[name].dtype.kind != "i" or not frame[name].between(1, most).all():
            raise InputError(f"{source}: a number of {name} is not from 1 to {most:,}")
    if "rating" in wanted.required and "rating" not in names:
        frame["rating"] = 1.0
    return frame


def _banner(stream: Stream, source: str) -> tuple[list[str], list[int]]:
    """Layout, kind of number and symmetry; then users, items and entries."""
    head = stream.read(LONGEST_HEADER).splitlines()
    stream.seek(0)
    words = head[0].decode("latin-1").lower().split() if head else []
    size = next((line.split() for line in head[1:] if line.strip() and line[:1] != b"%"), [])
    if len(words) != 5 or words[:2] != [MATRIX.decode().lower(), "matrix"]:
        raise InputError(f"{source}: its first line is not that of a Matrix Market file")
    if words[2] == "coordinate" and not (len(size) == 3 and all(map(bytes.isdigit, size))):
        raise InputError(f"{source}: no line says how many rows, columns and entries there are")
    try:
        return words[2:], [int(word) for word in size if word.isdigit()]
    except ValueError as error:  # more digits than Python reads
        raise InputError(f"{source}: its size cannot be read ({one_line(error)})") from error


def _without_head(change: Change) -> Change:
    """Lines without comments, and without the first one that is none."""
    is_past = False

    def changed(lines: bytes) -> bytes:
        nonlocal is_past
        rest = re.sub(rb"(?m)^%.*\n?", b"", lines)
        if not is_past and rest.strip():
            is_past = True
            rest = rest.lstrip().partition(b"\n")[2]
        return change(rest)

    return changed


# --- The Netflix prize ----------------------------------------------------------------------------


def is_netflix(first_line: bytes) -> bool:
    """Whether a file's first line is a movie's: `1:`."""
    return NETFLIX.fullmatch(first_line) is not None


def read_netflix(stream: Stream, source: str, wanted: Wanted) -> pd.DataFrame:
    """`combined_data_1.txt`: a line `MOVIE:`, then lines `USER,RATING,DATE`."""
    names = ["item_id", "user_id", "rating", "timestamp"]
    lines = Changed(stream, _with_movies, source)
    return read_csv(lines, source, ",", names, wanted, quoted=False)


def _with_movies() -> Change:
    """Each line with its movie before it."""
    movie = b""

    def changed(lines: bytes) -> bytes:
        nonlocal movie
        first, *rest = re.split(rb"(?m)^(\d+):\r?$\n?", lines)
        parts = [(movie, first), *zip(rest[::2], rest[1::2], strict=True)]
        movie = parts[-1][0]
        return b"".join(re.sub(rb"(?m)^(?=[^\r\n])", name + b",", part) for name, part in parts)

    return changed


Reader = Callable[[Stream, str, Wanted], pd.DataFrame]
READERS: dict[str, Reader] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_lines,
    ".mtx": read_matrix,
}
