"""Times in one form, from any notation: seconds since 1970 in UTC.

| written as | read as |
| --- | --- |
| datetimes and dates, of any unit and zone | themselves |
| ISO text that begins YYYY-MM: `2004-12-31`, `2004-12-31T23:59:59+02:00` | itself |
| numbers, also as text | seconds, milli-, micro- or nanoseconds since 1970, by their size |

Without a zone a time is of UTC. The size of a number tells its unit: below 1e11 it is seconds (to
the year 5138, and counters that only order), below 1e14 milliseconds, below 1e17 microseconds, else
nanoseconds (each from 1973 on). All rows of a column are of one unit: another one is an error, as
is anything else, such as `12/31/2004`, which may be a day in December or none.

The seconds are int64 where all are whole, else float64, which tells apart what a microsecond parts.
"""

from datetime import date
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd

from pmf.data.checks import Place, Tally
from pmf.errors import InputError

EDGES = np.array([1e11, 1e14, 1e17])  # numbers from which on a unit is the next smaller one
LIMIT = 9.2e18  # beyond it a number is no time in any unit
KINDS = (
    *(f"in {unit}seconds since 1970" for unit in ("", "milli", "micro", "nano")),
    "a date",
)
DATE, NONE = len(KINDS) - 1, -1  # positions in `KINDS`, as those of the units are
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FORMS = "2004-12-31, 2004-12-31T23:59:59Z or seconds since 1970"


class Times:
    """The times of one table, whole or batch by batch: present, readable, and all in one unit."""

    def __init__(self) -> None:
        self.missing = Tally("timestamp", "is missing")
        self.readable = Tally("timestamp", f"is no time; write {FORMS}")
        self.alike: Tally | None = None  # from the first row on, whose kind all others share
        self.kind = NONE

    def see(self, column: pd.Series, place: Place) -> np.ndarray:
        """The times of a batch as seconds; of rows that failed, zeros."""
        missing = column.isna().to_numpy(bool)
        if missing.any():
            seconds, kind = np.zeros(len(column), np.int64), np.full(len(column), NONE, np.int8)
            kind[~missing] = _read(column[~missing])[1]
        else:
            seconds, kind = _read(column)
        self.missing.see(missing, column, place)
        self.readable.see((kind == NONE) & ~missing, column, place)
        known = kind[kind != NONE]
        if self.alike is None and len(known):
            self.kind = int(known[0])
            self.alike = Tally("timestamp", f"is not {KINDS[self.kind]}, as the first row is")
        if self.alike is not None:
            self.alike.see((kind != self.kind) & (kind != NONE), column, place)
        return seconds

    def settle(self) -> None:
        """Raise `InputError` for the first check that a row failed."""
        for tally in (self.missing, self.readable, self.alike):
            if tally is not None:
                tally.settle()


def to_seconds(column: pd.Series, place: Place) -> np.ndarray:
    """A column of times as seconds since 1970 in UTC, int64 where all are whole, else float64.

    Raises `InputError` naming the first row whose time is missing, unreadable, or of another unit
    than the first row's.
    """
    times = Times()
    seconds = times.see(column, place)
    times.settle()
    return seconds


def moment(at: object, name: str = "at") -> int | float:
    """One time, in any of the forms of a column's, as seconds. `name` is its name in a message.

    Raises `InputError` for other values.
    """
    try:
        seconds = to_seconds(pd.Series([at], dtype=object), lambda row: name)
    except InputError as error:
        raise InputError(f"{name}={str(at)!r:.200}: no time; say {FORMS}") from error
    one: int | float = seconds[0].item()
    return one


def written(seconds: float) -> str:
    """Seconds since 1970 as ISO text of UTC, to the second."""
    return f"{np.datetime64(int(np.floor(seconds)), 's')}Z"


def _read(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of a column that misses none, and the kind of each row."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.ArrowDtype):
        column = column.astype(object)
    match pd.api.types.infer_dtype(column, skipna=False):
        case "integer" | "floating" | "mixed-integer-float" | "decimal":
            return _from_numbers(_plain(column))
        case "datetime64" | "datetime" | "date":
            return _from_dates(column), np.full(len(column), DATE, np.int8)
        case "string":
            return _from_text(column)
        case "empty":
            return np.zeros(0, np.int64), np.zeros(0, np.int8)
        case _:  # of several types, or of none that is a time
            return _from_text(column.map(_as_text))


def _plain(column: pd.Series) -> np.ndarray:
    """Numbers of any type as int64 where they are integers within it, else as float64."""
    numbers = pd.to_numeric(column)
    if pd.api.types.is_integer_dtype(numbers.dtype):
        if numbers.dtype.kind == "i" or not (numbers > LIMIT).any():
            return numbers.to_numpy(np.int64)
    return numbers.to_numpy(np.float64)


def _from_numbers(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(numbers) and -EDGES[0] < numbers.min() and numbers.max() < EDGES[0]:
        return _parts(numbers, 1), np.zeros(len(numbers), np.int8)  # as most are: at little cost
    inside = (numbers > -LIMIT) & (numbers < LIMIT)  # no NaN is
    if not inside.all():
        numbers = np.where(inside, numbers, 0)
    kind = np.searchsorted(EDGES, np.abs(numbers), side="right").astype(np.int8)
    first = int(kind[0]) if len(kind) else 0
    return _parts(numbers, 1000**first), np.where(inside, kind, NONE)


def _parts(numbers: np.ndarray, per_second: int) -> np.ndarray:
    """Numbers of parts of a second as seconds."""
    if per_second == 1 and numbers.dtype.kind == "i":
        return numbers
    whole, rest = np.divmod(numbers, per_second)
    if rest.any():
        return whole + rest / per_second
    return whole.astype(np.int64)


def _from_dates(column: pd.Series) -> np.ndarray:
    times = pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy()
    unit, _ = np.datetime_data(times.dtype)
    return _parts(times.view(np.int64), PER_SECOND[unit])


def _from_text(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    numbers = pd.to_numeric(column, errors="coerce")
    is_number = numbers.notna().to_numpy(bool)
    is_date = ~is_number
    # The library reads "now" and "today", too.
    is_date[is_date] = column[is_date].str.match(r"\d{4}-\d\d").to_numpy(bool)
    dates = pd.to_datetime(column[is_date], format="ISO8601", utc=True, errors="coerce")
    is_date[is_date] = dates.notna().to_numpy(bool)
    of_numbers, kind_of_numbers = _from_numbers(_plain(numbers[is_number]))
    of_dates = _from_dates(dates.dropna())
    seconds = np.zeros(len(column), np.result_type(of_numbers, of_dates))
    kind = np.where(is_date, np.int8(DATE), np.int8(NONE))
    seconds[is_number], kind[is_number], seconds[is_date] = of_numbers, kind_of_numbers, of_dates
    return seconds, kind


def _as_text(value: object) -> str:
    """A number, a date or a word as text; anything else as none."""
    match value:
        case bool() | np.bool_():
            return ""
        case date():
            return value.isoformat()
        case str() | Real() | Decimal() | np.datetime64():
            return str(value)
        case _:
            return ""
