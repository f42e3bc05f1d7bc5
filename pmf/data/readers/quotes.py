"""Quotes in delimited text: one that is never closed, or closed lines later, swallows ratings.

While pyarrow reads, the text's line ends and quotes are counted, at little cost. Where the counts
are odd, Python's csv module reads the text again, strictly, and says which line is wrong.
"""

import csv
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pmf.data.readers.lines import Stream, lines_of
from pmf.errors import InputError

QUOTE, NEWLINE, RETURN = b'"'[0], b"\n"[0], b"\r"[0]
MOST_LINES = 1000  # of one field
REMEDY = "close it, write it twice, or say quoting=False (--no-quoting)"


class Watched:
    """A stream whose quotes and lines are counted as they are read."""

    def __init__(self, stream: Stream, separator: str):
        self.stream, self.separator = stream, separator.encode()[0]
        self._forget()

    def _forget(self) -> None:
        self.lines = self.quotes = self.amid = 0
        self.tail = b""

    def read(self, size: int = -1) -> bytes:
        """As of the stream."""
        data = self.stream.read(size)
        text = self.tail + data  # a pair of bytes is looked at once, across reads too
        self.lines += _line_ends(text) - _line_ends(self.tail)
        if QUOTE in text:
            self.quotes += data.count(QUOTE)
            self.amid += self._amid(np.frombuffer(text, np.uint8))
        self.tail = text[-2:]
        return data

    def _amid(self, text: np.ndarray) -> int:
        """Quotes with a letter before and after: fields do not begin or end there."""
        at = np.flatnonzero(text[1:-1] == QUOTE) + 1
        edges = self.separator, QUOTE, NEWLINE, RETURN
        return int(np.sum(~np.isin(text[at - 1], edges) & ~np.isin(text[at + 1], edges)))

    def is_odd(self, rows: int) -> bool:
        """Whether quotes are not those of so many rows, the header one of them, a line each."""
        lines = self.lines + (self.tail[-1:] not in (b"", b"\n", b"\r")) - (self.tail == b"\n\n")
        return bool(self.quotes) and (self.quotes % 2 == 1 or self.amid > 0 or lines > rows)

    def seek(self, begin: int) -> None:
        """Back to the begin."""
        self.stream.seek(begin)
        self._forget()

    def close(self) -> None:
        """As of any stream."""
        self.stream.close()

    @property
    def closed(self) -> bool:
        return self.stream.closed


def _line_ends(text: bytes) -> int:
    """Line ends, of blank lines too: one more than rows is a reason to look, not a mistake.

    Two signs take several times as long to find as one, which most texts have not.
    """
    ends = text.count(b"\n")
    return ends + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else ends


class Places(NamedTuple):
    """Where in a row its ids are, and its rating, if it has one."""

    ids: Sequence[int]
    rating: int | None


def check_quotes(stream: Stream, separator: str, width: int, places: Places, source: str) -> None:
    """Read a text of `width` fields a row strictly.

    Raises `InputError` naming the line where a quote is not closed, is closed amid a field, or
    opens a field that takes in rows.
    """
    stream.seek(0)
    lines_of_field: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines_of(stream):
            lines_of_field.append(line)
            yield line

    rows, begin = csv.reader(noted(), delimiter=separator, strict=True), 1
    while True:
        lines_of_field.clear()
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{source}, line {begin}: a quote is not closed where its field ends, or not at "
                f"all ({error}); {REMEDY}"
            ) from error
        if len(lines_of_field) > 1:
            _check_swallowed(
                row, lines_of_field, separator, width, places, f"{source}, line {begin}"
            )
        begin += len(lines_of_field)


def _check_swallowed(
    row: list[str], lines: list[str], separator: str, width: int, places: Places, where: str
) -> None:
    """Raise `InputError` where one of several lines that quotes join to a row is a row itself."""
    opening = f"{where}: a quote opens a field of several lines"
    if any("\n" in row[at] or "\r" in row[at] for at in places.ids if at < len(row)):
        raise InputError(f"{opening}, which is an id; {REMEDY}")
    if len(lines) > MOST_LINES:
        raise InputError(f"{opening}, {len(lines):,} of them; {REMEDY}")
    for number, line in enumerate(lines[1:], 1):
        fields = line.rstrip("\r\n").split(separator)
        ends_a_field = number == len(lines) - 1 and '"' in fields[0]
        is_row = len(fields) == width and not ends_a_field
        if is_row and (places.rating is None or _is_number(fields[places.rating])):
            raise InputError(f"{opening}, and {line.strip()[:80]!r}, a row by itself; {REMEDY}")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
