"""Parquet files from anywhere: what they say of themselves is checked before it is believed."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from pmf.data.readers.archives import TABLE_RATIO, check_growth
from pmf.errors import InputError, one_line

# What pyarrow raises for a damaged file, and for words in it that are no UTF-8.
DAMAGE = pa.ArrowException, OSError, EOFError, OverflowError, UnicodeDecodeError
ROW_BYTES = 20  # of a rating in memory: two 64-bit ids and a float


def open_parquet(path: Path, buffer_size: int = 0) -> pa.parquet.ParquetFile:
    """A file opened, its numbers of rows consistent and its columns no decompression bomb.

    Where its pages have checksums, as in all that this package writes, reading verifies them.

    Raises `InputError` naming the file where it is damaged or claims too much.
    """
    try:
        parquet = pa.parquet.ParquetFile(
            path, buffer_size=buffer_size, page_checksum_verification=True
        )
        groups = [parquet.metadata.row_group(j) for j in range(parquet.num_row_groups)]
        # Not a column's own: pyarrow 26 ends the process where that metadata is damaged.
        unpacked = sum(group.total_byte_size for group in groups)
        sizes = group_sizes(parquet)
    except DAMAGE as error:
        raise unreadable(path, error) from error
    rows = parquet.metadata.num_rows
    if min(sizes, default=0) < 0 or sum(sizes) != rows:
        raise InputError(f"{path}: damaged: {rows:,} rows in groups of {sizes[:9]}; write it again")
    check_growth(str(path), path.stat().st_size, max(unpacked, ROW_BYTES * rows), TABLE_RATIO)
    return parquet


def group_sizes(parquet: pa.parquet.ParquetFile) -> list[int]:
    """The number of rows of each row group."""
    return [parquet.metadata.row_group(j).num_rows for j in range(parquet.num_row_groups)]


def unreadable(path: Path, error: Exception) -> InputError:
    """What to raise for a file that pyarrow cannot read."""
    return InputError(f"{path}: cannot be read ({one_line(error)})")


def check_types(schema: pa.Schema, columns: dict[str, str], path: Path) -> None:
    """Raise `InputError` where a column's type cannot be what its canonical name says.

    Ids and ratings are numbers or words; an id may be of bytes, a timestamp a date, too.
    """
    for name, canonical in columns.items():
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        is_date = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
        is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        also = is_date if canonical == "timestamp" else is_bytes and canonical != "rating"
        if not (_is_plain(kind) or also):
            raise InputError(
                f"{path}, column {canonical}: its type {str(kind):.200} is neither numbers nor "
                "words; convert it"
            )


def _is_plain(kind: pa.DataType) -> bool:
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    is_word = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    other = pa.types.is_boolean(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind)
    return bool(is_number or is_word or other)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A frame that takes over the table's memory column by column, instead of doubling it.

    What pandas once noted in a file is not believed: columns are columns. Raises pyarrow's errors
    where a value is none of its type.
    """
    table.validate(full=True)
    if table.schema.metadata:
        table = table.replace_schema_metadata()
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return frame
