"""Tables from CSV, TSV and Parquet files, plain or gzipped, by pyarrow."""

import csv
import zlib
from io import BytesIO, StringIO
from pathlib import Path
from typing import IO, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from pmf.atomic import TABLES, check_target, replacing
from pmf.data.columns import REQUIRED, canonical_columns
from pmf.data.numeric import LONGEST, is_worthwhile, read_numbers
from pmf.data.packed import Inflated
from pmf.data.parquet import DAMAGE, check_types, one_line, open_parquet, to_frame, unreadable
from pmf.errors import InputError

LONGEST_HEADER = 1 << 17  # bytes
MOST_COLUMNS = 10_000
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def read_ratings(
    path: Path, required: tuple[str, ...] = REQUIRED, only_required: bool = False
) -> pd.DataFrame:
    """The rating columns of a file, as a frame; other columns are not read.

    `only_required` leaves out a column that is there but not required, as a timestamp. Raises
    `InputError` naming the file, and the row where the reader knows it.
    """
    if path.is_dir():
        raise InputError(f"{path}: a folder; a folder of Parquet files can be fitted, not loaded")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else path.suffix.lower()
    try:
        if kind == ".parquet":
            return _read_parquet(path, required, only_required)
        if kind not in SEPARATORS:
            raise InputError(
                f"{path}: unknown kind of file; say .csv, .tsv or .parquet (.csv.gz, .tsv.gz)"
            )
        if suffixes[-1] != ".gz" and is_worthwhile(path.stat().st_size):
            plain = _read_plain(path, SEPARATORS[kind], required, only_required)
            if plain is not None:
                return plain
        with Inflated(path) if suffixes[-1] == ".gz" else path.open("rb") as stream:
            separator = SEPARATORS[kind]
            return read_csv(
                stream, str(path), separator, required=required, only_required=only_required
            )
    except (*DAMAGE, zlib.error) as error:
        raise unreadable(path, error) from error


def _read_parquet(path: Path, required: tuple[str, ...], only_required: bool) -> pd.DataFrame:
    with open_parquet(path) as parquet:
        schema = parquet.schema_arrow
        columns = _columns(schema.names, required, only_required, str(path))
        check_types(schema, columns, path)
        frame = to_frame(parquet.read(list(columns)).select(list(columns)))
        if len(frame) != parquet.metadata.num_rows:
            raise InputError(f"{path}: damaged: not as many rows as it says; write it again")
        return frame


def _columns(
    names: list[str], required: tuple[str, ...], only_required: bool, source: str
) -> dict[str, str]:
    found = canonical_columns(names, required, source)
    return {name: one for name, one in found.items() if one in required or not only_required}


def _read_plain(
    path: Path, separator: str, required: tuple[str, ...], only_required: bool
) -> pd.DataFrame | None:
    """A file of plain numbers under a header, by compiled loops; None where it is anything else."""
    with path.open("rb") as stream:
        header = stream.readline(LONGEST)
    if not header.endswith(b"\n") or header.count(b'"') % 2 or b"\r" in header.rstrip(b"\r\n"):
        return None
    try:
        parse = pa.csv.ParseOptions(delimiter=separator)
        names = pa.csv.read_csv(BytesIO(header), parse_options=parse).column_names
        columns = _columns(names, required, only_required, str(path))
    except (pa.ArrowInvalid, UnicodeDecodeError, InputError):  # the other path says it better
        return None
    kinds = ["-"] * len(names)
    for name, canonical in columns.items():
        kinds[names.index(name)] = "d" if canonical == "rating" else "i"
    numbers = read_numbers(path, len(header), separator, "".join(kinds))
    if numbers is None or not numbers.integers.shape[1]:
        return None
    in_text = [name for name, kind in zip(names, kinds, strict=True) if kind == "i"]
    arrays = dict(zip(in_text, numbers.integers, strict=True))
    return pd.DataFrame({name: arrays.get(name, numbers.decimals) for name in columns}, copy=False)


def read_csv(
    stream: IO[bytes] | Inflated,
    source: str,
    separator: str = ",",
    names: list[str] | None = None,
    required: tuple[str, ...] | None = None,
    encoding: str = "utf8",
    quoted: bool = True,
    only_required: bool = False,
) -> pd.DataFrame:
    """A delimited table. `names` for a file without a header; `required` keeps rating columns only.

    Raises `InputError` naming `source` and what pyarrow found wrong.
    """
    parse = pa.csv.ParseOptions(delimiter=separator, quote_char='"' if quoted else False)
    read = pa.csv.ReadOptions(column_names=names, encoding=encoding, block_size=1 << 23)
    convert = pa.csv.ConvertOptions(strings_can_be_null=True)
    header = _header(stream, source, separator, quoted)
    _check_width(names or header.fields, source)
    try:
        if required is not None:
            known = pa.csv.read_csv(BytesIO(header.text), read, parse, convert).column_names
            columns = _columns(known, required, only_required, source)
            convert.include_columns = list(columns)
            # Ids are read as words: 007 is not 7, and twenty digits are no float.
            words = pa.dictionary(pa.int32(), pa.string())
            ids = [name for name, canonical in columns.items() if canonical.endswith("_id")]
            convert.column_types = {name: words for name in ids}
        table = pa.csv.read_csv(stream, read, parse, convert)
        for name in ids if required is not None else ():
            at = table.column_names.index(name)
            table = table.set_column(at, name, _numbers_if_exact(table[name]))
        return to_frame(table)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"{source}: {one_line(error)}; correct the file") from error


class Header(NamedTuple):
    """The first line of a table that is not empty: its fields, and all the bytes up to its end."""

    fields: list[str]
    text: bytes


def _header(stream: IO[bytes] | Inflated, source: str, separator: str, quoted: bool) -> Header:
    """Raises `InputError` naming `source`; the stream is at its begin again."""
    head = stream.read(LONGEST_HEADER)
    stream.seek(0)
    # Of one byte a character, as no encoding of ours hides a separator within another one.
    lines = StringIO(head.decode("latin-1"), newline="")
    rows = csv.reader(
        lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    )
    try:
        fields = next((row for row in rows if row), [])
    except csv.Error as error:
        raise InputError(f"{source}: its header cannot be read ({one_line(error)})") from error
    if lines.tell() >= LONGEST_HEADER:
        raise InputError(f"{source}: no line ends in its first {LONGEST_HEADER:,} bytes")
    return Header(fields, head[: lines.tell()])


def _check_width(names: list[str], source: str) -> None:
    """Raise `InputError` for a table so wide that its columns alone, of kilobytes each before the
    first value, would fill the memory.
    """
    if len(names) > MOST_COLUMNS:
        raise InputError(
            f"{source}: {len(names):,} columns or more, at most {MOST_COLUMNS:,} can be read; "
            "keep those of ratings"
        )


def _numbers_if_exact(column: pa.ChunkedArray) -> pa.Array:
    """Ids read as words, as 64-bit integers where each is written as that integer is."""
    column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # an empty column, or a pyarrow that keeps the wrapper
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
    words = column.dictionary if isinstance(column, pa.DictionaryArray) else column
    try:
        numbers = pa.compute.cast(words, pa.int64())
    except pa.ArrowInvalid:
        numbers = None
    if numbers is None or not pa.compute.cast(numbers, pa.string()).equals(words):
        return column.cast(pa.string())
    return numbers.take(column.indices) if isinstance(column, pa.DictionaryArray) else numbers


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """A frame as CSV or Parquet, by the path's suffix, whole or not at all."""
    check_target(path, TABLES)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False)
