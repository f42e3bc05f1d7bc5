"""The checks that every table of ratings passes, whole or batch by batch."""

import math
from collections.abc import Callable
from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd

from pmf.data.canonical import canonical, fault
from pmf.data.values import as_numbers
from pmf.errors import InputError

Place = Callable[[int], str]  # a row's number, from 0, to the words that name it


def rows_of(source: str) -> Place:
    """Names of the rows of one table, counted from 1."""
    return lambda row: f"{source}, row {row + 1}"


class Tally:
    """One check: counts the rows that fail it, and remembers the first.

    `hint` says of its value what else may help.
    """

    def __init__(self, column: str, what: str, hint: Callable[[object], str] = lambda value: ""):
        self.column, self.what, self.hint, self.first, self.count = column, what, hint, "", 0

    def see(self, bad: np.ndarray | pd.Series, values: pd.Series, place: Place) -> None:
        """Add the rows of a batch; `place` names them."""
        if bad.any():
            row = int(np.argmax(np.asarray(bad)))
            value = values.iloc[row]
            says = f"{shown(value)} {self.what}{self.hint(value)}"
            self.first = self.first or f"{place(row)}, column {self.column}: {says}"
            self.count += int(bad.sum())

    def settle(self) -> None:
        """Raise `InputError` naming the first row that failed, and how many did."""
        if self.count:
            raise InputError(f"{self.first} ({self.count} such rows); correct or remove them")


class Checks:
    """Ids are such, ratings are finite numbers within `scale` (lowest and highest)."""

    def __init__(self, scale: tuple[float, float] | None = None):
        self.scale = scale
        self.ids = {name: Tally(name, "", fault) for name in ("user_id", "item_id")}
        self.finite = Tally("rating", "is not a finite number", _hint)
        low, high = scale or (-np.inf, np.inf)
        self.inside = Tally("rating", f"is outside the scale {low:g} to {high:g}")

    def see_ids(self, table: pd.DataFrame, place: Place) -> None:
        """Bring the ids of a batch into canonical form, in place, unless one is bad."""
        for name, tally in self.ids.items():
            ids, bad = canonical(table[name])
            tally.see(bad, table[name], place)
            table[name] = ids

    def see_ratings(self, column: pd.Series, place: Place) -> pd.Series:
        """The ratings of a batch as numbers of 32 bits where these hold all, else of 64; a bad one
        may be NaN.
        """
        numbers = as_floats(column)
        self.finite.see(~np.isfinite(numbers), column, place)
        if self.scale is not None:
            # As the ratings are: a bound of 0.7 is a rating of 0.7, whatever that is rounded to.
            low, high = np.asarray(self.scale, numbers.to_numpy().dtype)
            self.inside.see((numbers < low) | (numbers > high), numbers, place)
        return numbers

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """In the order in which they are reported."""
        return *self.ids.values(), self.finite, self.inside

    @property
    def failed(self) -> bool:
        """Whether a row seen so far failed one."""
        return any(tally.count for tally in self.tallies)

    def settle(self) -> None:
        """Raise `InputError` for the first check that a row failed."""
        for tally in self.tallies:
            tally.settle()


def as_floats(column: pd.Series) -> pd.Series:
    """Ratings as numbers of 32 bits where these hold all exactly, else of 64.

    NaN for other values (times, booleans, complex numbers); what is too large for 32
    bits is infinite.
    """
    if column.dtype == np.float32:
        return column
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("mixed", "mixed-integer"):  # whole words are tried as numbers, as in a file
        column = column.where(column.map(lambda value: isinstance(value, str | Real | Decimal)))
        column = column.mask(column.map(lambda value: isinstance(value, NO_RATINGS)))
    elif kind not in NUMBERS:
        return pd.Series(np.nan, column.index, np.float32, name=column.name)
    with np.errstate(over="ignore", invalid="ignore"):  # some NaNs, of a damaged file, signal
        numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
        numbers = numbers.mask(numbers.abs() > np.finfo(np.float32).max, np.inf)
        return pd.Series(as_numbers(numbers.to_numpy()), column.index, name=column.name)


NUMBERS = "integer", "floating", "mixed-integer-float", "decimal", "string", "empty"
NO_RATINGS = bool, np.bool_, np.timedelta64  # which Python takes for numbers


def _hint(value: object) -> str:
    """A hint how ratings like this one become numbers, if there is one."""
    match value:
        case str() if _is_number(value.replace(",", ".")):
            return f"; write it with a point, {value.strip().replace(',', '.')}"
        case bool() | np.bool_() | "true" | "false" | "True" | "False" | "TRUE" | "FALSE":
            return "; say what number yes and no are, as 1 and 0, and convert the column"
        case date() | timedelta() | np.datetime64() | np.timedelta64() | time():
            return "; is another column the rating?"
        case complex() | np.complexfloating():
            return "; say which of its parts is the rating, and convert the column"
        case _:
            return ""


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def shown(value: object) -> str:
    """A value as a person wrote it, or its begin: 1.5, not np.float64(1.5)."""
    return repr(value.item() if isinstance(value, np.generic) else value)[:200]
