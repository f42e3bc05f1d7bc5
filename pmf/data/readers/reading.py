"""`Reading`: how a file of ratings is to be read, where its name does not say it."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from pmf.data.columns import Columns, check_told
from pmf.errors import InputError

WORDS = {"comma": ",", "tab": "\t", "\\t": "\t", "space": " ", "semicolon": ";", "pipe": "|"}
LONGEST = 8  # characters of a separator
WITHIN = "\"'\r\n.-+_"  # what is part of fields, or of lines
BY_PLACE = {"user": "1", "item": "2", "rating": "3", "timestamp": "4"}  # without a header


@dataclass(frozen=True)
class Reading:
    """What a person says of a file of ratings. Without a word its name and first line decide.

        pmf.load_data("mine.txt", pmf.Reading(separator=";", columns={"user": "Who"}))

    `separator`: a character, several as `::`, or a word: comma, tab, space, semicolon, pipe. A
    space is any run of blanks and tabs. `encoding`: as Python names it. `header`: whether the first
    line names the columns; without one they are user, item, rating, timestamp. `columns`: the names
    of the columns `user, item, rating, timestamp` where they are other than usual; without a header
    their numbers from 1. `quoting`: whether a field may stand in double quotes, as in a CSV.

    Raises `InputError` for what none of these can be.
    """

    separator: str | None = None
    encoding: str = "utf8"
    header: bool | None = None
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    quoting: bool | None = None

    __pydantic_config__ = {"extra": "forbid"}  # where a configuration has one

    def __post_init__(self) -> None:
        if self.separator is not None:
            object.__setattr__(self, "separator", _separator(self.separator))
        if not isinstance(self.columns, Mapping):
            raise InputError(f"columns={self.columns!r}: say columns={{'user': 'NAME'}}")
        object.__setattr__(self, "columns", check_told(self.columns))
        _check_encoding(self.encoding)
        for name in ("header", "quoting"):
            if not (getattr(self, name) is None or isinstance(getattr(self, name), bool)):
                raise InputError(f"{name}={getattr(self, name)!r}: say True or False")
        if self.quoting and self.separator is not None and _is_wide(self.separator):
            raise InputError(
                f"quoting with separator={self.separator!r}: fields are quoted where one character "
                "parts them; leave it out"
            )
        if self.header is False and not all(map(str.isdecimal, self.columns.values())):
            raise InputError(
                f"columns={self.columns}: without a header say their numbers, as user=1,item=2"
            )

    @property
    def is_utf8(self) -> bool:
        """Whether the text needs no conversion."""
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig", "ascii")

    @property
    def said(self) -> list[str]:
        """The names of what is said."""
        default = Reading()
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(default, f.name)]


class Form(NamedTuple):
    """What a delimited text is like."""

    separator: str
    quoted: bool
    header: bool


def form_of(kind: str, reading: Reading, first_line: bytes, source: str) -> Form:
    """The form of a text by its suffix, what is said of it, and its first line.

    Raises `InputError` where nothing says how its fields are parted.
    """
    separator = reading.separator or _usual_separator(kind, first_line)
    if separator is None:
        raise InputError(
            f"{source}: how are its fields parted? Say separator='tab' (--separator tab), or "
            "another"
        )
    quoted = (kind == ".csv" or separator == ",") and not _is_wide(separator)
    header = not (kind == ".dat" and separator == "::")
    return Form(
        separator,
        quoted if reading.quoting is None else reading.quoting,
        header if reading.header is None else reading.header,
    )


def _usual_separator(kind: str, first_line: bytes) -> str | None:
    match kind:
        case ".csv":
            return ","
        case ".tsv" | ".tab" | ".txt" | ".inter":
            return "\t"
        case ".dat":
            return "::" if b"::" in first_line else "\t" if b"\t" in first_line else None
        case _:
            return None


def by_place(named: Columns, width: int) -> dict[str, str]:
    """The columns of a table of `width` columns without a header, by number."""
    free = {role: place for role, place in BY_PLACE.items() if int(place) <= width}
    reserved = set(named.values())
    usual = {role: place for role, place in free.items() if place not in reserved}
    return usual | dict(named)


def _separator(text: object) -> str:
    separator = WORDS.get(text, text) if isinstance(text, str) else ""
    bad = any(letter.isalnum() or letter in WITHIN for letter in separator)
    if bad or not 1 <= len(separator) <= LONGEST:
        raise InputError(
            f"separator={text!r}: say {', '.join(WORDS)}, or signs as ; or ::, no letters, digits, "
            "quotes or points"
        )
    return separator


def _is_wide(separator: str) -> bool:
    return separator == " " or len(separator.encode()) > 1


def _check_encoding(encoding: object) -> None:
    try:
        "".encode(encoding)  # type: ignore[arg-type]
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"encoding={encoding!r}: no encoding of that name; say utf8, latin-1, cp1252 or utf16"
        ) from error


AS_IT_IS = Reading()
