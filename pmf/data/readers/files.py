"""A file of ratings to a frame, whatever it is: by its name, its first line, and what is said."""

import zipfile
import zlib
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from pmf.data.columns import REQUIRED
from pmf.data.encoding import is_worthwhile
from pmf.data.readers.archives import PACKED, Packed
from pmf.data.readers.lines import AsUtf8, Stream
from pmf.data.readers.numeric import LONGEST, read_numbers
from pmf.data.readers.parquet import DAMAGE, check_types, open_parquet, to_frame, unreadable
from pmf.data.readers.reading import AS_IT_IS, Form, Reading, by_place, form_of
from pmf.data.readers.records import READERS, is_netflix, read_netflix
from pmf.data.readers.text import LONGEST_HEADER, Wanted, read_csv, width_of
from pmf.errors import InputError
from pmf.io.atomic import TABLES, check_target, replacing_all

DELIMITED = ".csv", ".tsv", ".tab", ".txt", ".dat", ".inter"
KINDS = (*DELIMITED, *READERS, ".parquet")
PLAIN = ",\t;|"  # separators that the compiled loops know


def read_ratings(
    path: Path,
    required: tuple[str, ...] = REQUIRED,
    only_required: bool = False,
    reading: Reading = AS_IT_IS,
) -> pd.DataFrame:
    """The rating columns of a file under their canonical names; other columns are not read.

    `only_required` leaves out a column that is there but not required, as a timestamp. Raises
    `InputError` naming the file, and the row where the reader knows it.
    """
    return _read(path, Wanted(required, only_required, reading.columns), reading)


class Whole(NamedTuple):
    """A file with all its columns, and which of them is which: `{its name: canonical name}`."""

    frame: pd.DataFrame
    columns: dict[str, str]

    @property
    def ratings(self) -> pd.DataFrame:
        """The columns of ratings under their canonical names, unchecked."""
        return self.frame[list(self.columns)].rename(columns=self.columns)


def read_whole(path: Path, reading: Reading = AS_IT_IS) -> Whole:
    """All columns of a file of ratings under their own names, the fields of a text as written.

    Without a header those of ratings get their canonical names, the others their numbers. Raises
    `InputError` as `read_ratings`.
    """
    frame = _read(path, Wanted(REQUIRED, told=reading.columns, as_written=True), reading)
    names, named = list(frame.columns), reading.columns
    if names == (places := [str(place + 1) for place in range(len(names))]):
        named = by_place(named, len(places))
    columns = Wanted(REQUIRED, told=named).columns(names, str(path))
    if names == places:
        frame, columns = frame.rename(columns=columns), {one: one for one in columns.values()}
    return Whole(frame, columns)


def read_folds(path: Path) -> pd.DataFrame:
    """A file that assigns pairs to folds: columns user_id, item_id (or the usual names) and fold.

    Raises `InputError` as `read_ratings`.
    """
    pair = ("user_id", "item_id")
    table = read_ratings(path, pair, only_required=True)
    fold = _read(path, Wanted(pair, as_written=True), AS_IT_IS)
    if "fold" not in fold:
        raise InputError(f"{path}: no column fold; it says which part each pair is in")
    numbers = pd.to_numeric(fold["fold"], errors="coerce")
    if numbers.isna().any():
        row = int(numbers.isna().to_numpy().argmax())
        raise InputError(
            f"{path}, row {row + 1}, column fold: {fold['fold'].iloc[row]!r} is no number"
        )
    return table.assign(fold=numbers)


def _read(path: Path, wanted: Wanted, reading: Reading) -> pd.DataFrame:
    if path.is_dir():
        raise InputError(f"{path}: a folder; a folder of Parquet files can be fitted, not loaded")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        packed = Packed(path) if path.suffix.lower() in PACKED else None
        kind = Path(packed.name if packed else path.name).suffix.lower()
        if kind not in KINDS and reading.separator is None:
            raise InputError(
                f"{path}: unknown kind of file; say {', '.join(KINDS)}, packed or not "
                f"({', '.join(PACKED)}), or how its fields are parted (--separator)"
            )
        if packed and kind == ".parquet":
            raise InputError(f"{path}: a Parquet file packed once more; unpack it")
        if is_parquet_file(path, reading):
            refuse_all_but(reading, ("columns",), str(path))
            return _read_parquet(path, wanted)
        with closing(packed.open() if packed else path.open("rb")) as stream:
            is_plain = packed is None and not wanted.as_written
            return _read_text(stream, path, kind, wanted, reading, is_plain)
    except (*DAMAGE, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise unreadable(path, error) from error


def is_parquet_file(path: Path, reading: Reading = AS_IT_IS) -> bool:
    """By its name, unless it is said how its fields are parted."""
    return path.suffix.lower() == ".parquet" and reading.separator is None


def refuse_all_but(reading: Reading, allowed: tuple[str, ...], source: str) -> None:
    """Raise `InputError` where something is said that this kind of file, or a data set, has not."""
    if wrong := [name for name in reading.said if name not in allowed]:
        raise InputError(
            f"{source}: {', '.join(wrong)}: what it is read by is known; leave that out"
        )


def _read_parquet(path: Path, wanted: Wanted) -> pd.DataFrame:
    with open_parquet(path) as parquet:
        schema = parquet.schema_arrow
        columns = wanted.columns(schema.names, str(path))
        check_types(schema, columns, path)
        read = schema.names if wanted.as_written else list(columns)
        frame = to_frame(parquet.read(read).select(read))
        if len(frame) != parquet.metadata.num_rows:
            raise InputError(f"{path}: damaged: not as many rows as it says; write it again")
        return frame if wanted.as_written else frame.rename(columns=columns)


def _read_text(
    stream: Stream, path: Path, kind: str, wanted: Wanted, reading: Reading, is_plain: bool
) -> pd.DataFrame:
    source = str(path)
    if not reading.is_utf8:
        stream, is_plain = AsUtf8(stream, reading.encoding, source), False
    first = _first_line(stream)
    if reading.separator is None and (kind in READERS or is_netflix(first)):
        reader = READERS.get(kind, read_netflix)
        named = (".jsonl", ".ndjson", ".json")
        allowed = ("encoding", "columns") if kind in named else ("encoding",)
        refuse_all_but(reading, allowed, source)
        return reader(stream, source, wanted)
    form = form_of(kind, reading, first, source)
    if is_plain and form.header and form.separator in PLAIN and is_worthwhile(path.stat().st_size):
        plain = _read_plain(path, form, wanted)
        if plain is not None:
            return plain
    names = None
    if not form.header:
        names = [str(place + 1) for place in range(width_of(first, form.separator, form.quoted))]
        wanted = wanted._replace(told=by_place(reading.columns, len(names)))
    return read_csv(stream, source, form.separator, names, wanted, quoted=form.quoted)


def _first_line(stream: Stream) -> bytes:
    """The first line that is not empty, with its end. The stream is at its begin again."""
    head = stream.read(LONGEST_HEADER).removeprefix(b"\xef\xbb\xbf")
    stream.seek(0)
    return next((line for line in head.splitlines(keepends=True) if line.strip()), b"")


def _read_plain(path: Path, form: Form, wanted: Wanted) -> pd.DataFrame | None:
    """A file of plain numbers under a header, by compiled loops; None where it is anything else."""
    with path.open("rb") as stream:
        header = stream.readline(LONGEST)
    if not header.endswith(b"\n") or header.count(b'"') % 2 or b"\r" in header.rstrip(b"\r\n"):
        return None
    quote = '"' if form.quoted else False
    try:
        parse = pa.csv.ParseOptions(delimiter=form.separator, quote_char=quote)
        names = pa.csv.read_csv(BytesIO(header), parse_options=parse).column_names
        columns = wanted.columns(names, str(path))
    except (pa.ArrowInvalid, UnicodeDecodeError, InputError):  # the other path says it better
        return None
    kinds = ["-"] * len(names)
    for name, canonical in columns.items():
        kinds[names.index(name)] = "d" if canonical == "rating" else "i"
    numbers = read_numbers(path, len(header), form.separator, "".join(kinds))
    if numbers is None or not numbers.integers.shape[1]:
        return None
    in_text = [name for name, kind in zip(names, kinds, strict=True) if kind == "i"]
    arrays = dict(zip(in_text, numbers.integers, strict=True))
    columns_read = {columns[name]: arrays.get(name, numbers.decimals) for name in columns}
    return pd.DataFrame(columns_read, copy=False)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """A frame as CSV or Parquet, by the path's suffix, whole or not at all."""
    write_tables({path: frame})


def write_tables(frames: dict[Path, pd.DataFrame]) -> None:
    """Each frame to its path, as CSV or Parquet by its suffix: all of them, whole, or none."""
    for path in frames:
        check_target(path, TABLES)
    with replacing_all([*frames]) as temporaries:
        for temporary, (path, frame) in zip(temporaries, frames.items(), strict=True):
            if path.suffix.lower() == ".parquet":
                frame.to_parquet(temporary, index=False, write_page_checksum=True)
            else:
                frame.to_csv(temporary, index=False)
