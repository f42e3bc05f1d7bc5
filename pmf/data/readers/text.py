"""Delimited text to frames, by pyarrow: CSV, TSV and what is like them."""

import csv
import re
from collections.abc import Iterable, Iterator
from io import BytesIO, StringIO
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from pmf.data.columns import UNTOLD, Columns, canonical_columns
from pmf.data.readers.lines import UNIT, AsUtf8, Changed, Stream, split_at
from pmf.data.readers.parquet import to_frame
from pmf.data.readers.quotes import Places, Watched, check_quotes
from pmf.errors import InputError, one_line

LONGEST_HEADER = 1 << 17  # bytes
MOST_COLUMNS = 10_000
BLOCK = 1 << 23  # bytes
TYPED = re.compile(r":(token|float)(_seq)?$")  # RecBole's types in a header: user_id:token
WHOLE = r"^(0|-?[1-9][0-9]{0,15})(\.0+)?$"  # what a float may be of
WORDS = pa.dictionary(pa.int32(), pa.string())
WRITTEN_OUT = {"rating": pa.string(), "timestamp": pa.string()}


class Wanted(NamedTuple):
    """Which columns of ratings are read: those required, as they are told, and perhaps others.

    `as_written`: every column of the file, under its own name, and of a text as words (ids that
    are whole numbers as such: they are written alike).
    """

    required: tuple[str, ...]
    only_required: bool = False
    told: Columns = UNTOLD
    as_written: bool = False

    def columns(self, names: list[str], source: str) -> dict[str, str]:
        """`{name in the file: canonical name}`. Raises `InputError` naming `source`."""
        bare = {TYPED.sub("", name): name for name in names}
        if len(bare) < len(names):
            bare = {name: name for name in names}
        roles = canonical_columns(list(bare), self.required, source, self.told)
        return {
            bare[name]: canonical
            for name, canonical in roles.items()
            if canonical in self.required or not self.only_required
        }


class Header(NamedTuple):
    """The first line of a table that is not empty: its fields, and all the bytes up to its end."""

    fields: list[str]
    text: bytes


def read_csv(
    stream: Stream,
    source: str,
    separator: str = ",",
    names: list[str] | None = None,
    wanted: Wanted | None = None,
    encoding: str = "utf8",
    quoted: bool = True,
) -> pd.DataFrame:
    """A delimited table. `names` for a file without a header; `wanted`: the columns of ratings
    alone, under their canonical names.

    A separator of several characters, or a space for any run of blanks, is not quoted. Only an
    empty field is missing. Raises `InputError` naming `source` and what is wrong, with the line of
    a quote.
    """
    try:
        if encoding.lower() not in ("utf8", "utf-8"):
            stream = AsUtf8(stream, encoding, source)
        if separator == " " or len(separator.encode()) > 1:
            told = separator
            stream = Changed(stream, lambda: split_at(told), source)
            separator = UNIT.decode()
        watched = Watched(stream, separator) if quoted else None
        return _read(watched or stream, watched, source, separator, names, wanted)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
            raise _undecodable(source, error) from error
        raise InputError(f"{source}: {one_line(error)}; correct the file") from error


def _read(
    stream: Stream,
    watched: Watched | None,
    source: str,
    separator: str,
    names: list[str] | None,
    wanted: Wanted | None,
) -> pd.DataFrame:
    quoted = watched is not None
    head = header_of(stream, source, separator, quoted)
    _check_width(names or head.fields, source)
    parse = pa.csv.ParseOptions(delimiter=separator, quote_char='"' if quoted else False)
    read = pa.csv.ReadOptions(column_names=names, block_size=BLOCK)
    convert = pa.csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
    columns: dict[str, str] = {}
    known = names or head.fields
    if wanted is not None:
        known = pa.csv.read_csv(BytesIO(head.text), read, parse, convert).column_names
        if names is None and not wanted.told:
            _check_names(known, source)
        columns = wanted.columns(known, source)
        convert.include_columns = list(columns)
        # Ids are read as words: 007 is not 7, and twenty digits are no float.
        convert.column_types = {name: _TYPES[one] for name, one in columns.items() if one in _TYPES}
        if wanted.as_written:
            convert.include_columns = known
            ids = {name: WORDS for name, one in columns.items() if one.endswith("_id")}
            convert.column_types = dict.fromkeys(known, pa.string()) | ids
    table: pa.Table | None = None
    try:
        table = _table(stream, read, parse, convert, columns)
        is_odd = watched is not None and watched.is_odd(table.num_rows + (names is None))
    except pa.ArrowInvalid:
        if watched is None or not watched.quotes:
            raise
        is_odd = True
    if is_odd:
        places = _places(known, columns)
        check_quotes(stream, separator, len(known), places, source)
        parse.newlines_in_values = True
        table = _table(stream, read, parse, convert, columns)
    assert table is not None
    for name in (name for name, one in columns.items() if one.endswith("_id")):
        at = table.column_names.index(name)
        table = table.set_column(at, name, numbers_if_exact(table[name]))
    frame = to_frame(table)
    return frame if wanted is not None and wanted.as_written else frame.rename(columns=columns)


_TYPES = {"user_id": WORDS, "item_id": WORDS, "rating": pa.float64()}


def _table(
    stream: Stream,
    read: pa.csv.ReadOptions,
    parse: pa.csv.ParseOptions,
    convert: pa.csv.ConvertOptions,
    columns: dict[str, str],
) -> pa.Table:
    """The table; a rating or a time that is none stays as it is written, for a check to name."""
    stream.seek(0)
    try:
        return pa.csv.read_csv(stream, read, parse, convert)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error) or not columns:
            raise
    written = {name: WRITTEN_OUT[one] for name, one in columns.items() if one in WRITTEN_OUT}
    convert.column_types = {**convert.column_types, **written}
    stream.seek(0)
    return pa.csv.read_csv(stream, read, parse, convert)


def _places(names: list[str], columns: dict[str, str]) -> Places:
    at = {canonical: names.index(name) for name, canonical in columns.items()}
    return Places([place for one, place in at.items() if one.endswith("_id")], at.get("rating"))


def header_of(stream: Stream, source: str, separator: str, quoted: bool) -> Header:
    """The first line that is not empty. Raises `InputError` naming `source`.

    The stream is at its begin again.
    """
    head = stream.read(LONGEST_HEADER)
    stream.seek(0)
    # Of one byte a character, as no encoding of ours hides a separator within another one.
    lines = StringIO(head.decode("latin-1"), newline="")
    rows = _rows(lines, separator, quoted)
    try:
        fields = next((row for row in rows if row), [])
    except csv.Error as error:
        raise InputError(f"{source}: its header cannot be read ({one_line(error)})") from error
    if lines.tell() >= LONGEST_HEADER:
        raise InputError(f"{source}: no line ends in its first {LONGEST_HEADER:,} bytes")
    return Header(fields, head[: lines.tell()])


def _check_names(names: list[str], source: str) -> None:
    """Raise `InputError` where the first line's fields can be no names of columns."""
    if len(names) == 1:
        raise InputError(
            f"{source}: one column only, {names[0]!r:.80}; say how its fields are parted, as "
            "separator=';' (--separator ';')"
        )
    if all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in names):
        raise InputError(
            f"{source}: its first line has no names of columns but {names!r:.80}; where it is a "
            "rating say header=False (--no-header)"
        )


def width_of(line: bytes, separator: str, quoted: bool) -> int:
    """How many fields a line has."""
    if separator == " " or len(separator.encode()) > 1:
        line, separator = split_at(separator)(line), UNIT.decode()
    text = line.decode("latin-1").rstrip("\r\n")
    return len(next(_rows([text], separator, quoted), []))


def _rows(lines: Iterable[str], separator: str, quoted: bool) -> Iterator[list[str]]:
    if quoted:
        return csv.reader(lines, delimiter=separator)
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)


def _undecodable(source: str, error: UnicodeDecodeError | pa.ArrowInvalid) -> InputError:
    """What to raise for text of another encoding than was said."""
    return InputError(
        f"{source}: {one_line(error)}; say its encoding, as encoding='latin-1' (--encoding "
        "latin-1), or correct the file"
    )


def _check_width(names: list[str], source: str) -> None:
    """Raise `InputError` for a table so wide that its columns alone, of kilobytes each before the
    first value, would fill the memory.
    """
    if len(names) > MOST_COLUMNS:
        raise InputError(
            f"{source}: {len(names):,} columns or more, at most {MOST_COLUMNS:,} can be read; "
            "keep those of ratings"
        )


def numbers_if_exact(column: pa.ChunkedArray) -> pa.Array:
    """Ids read as words, as 64-bit integers where each is written as that integer is.

    Where all are written as whole numbers, some as 7.0, which a table with a gap in it once was
    written as, they are floats, for the check of ids to make integers of.
    """
    column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # an empty column, or a pyarrow that keeps the wrapper
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
    words = column.dictionary if isinstance(column, pa.DictionaryArray) else column
    try:
        numbers = pa.compute.cast(words, pa.int64())
    except pa.ArrowInvalid:
        numbers = None
    if numbers is None or not pa.compute.cast(numbers, pa.string()).equals(words):
        are_whole = pa.compute.match_substring_regex(words, WHOLE)
        if not pa.compute.all(are_whole, min_count=1).as_py():
            return column.cast(pa.string())
        numbers = pa.compute.cast(words, pa.float64())
    return numbers.take(column.indices) if isinstance(column, pa.DictionaryArray) else numbers
