"""The checks that every table of ratings passes, whole or batch by batch."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from pmf.errors import InputError

Place = Callable[[int], str]  # a row's number, from 0, to the words that name it


def rows_of(source: str) -> Place:
    """Names of the rows of one table, counted from 1."""
    return lambda row: f"{source}, row {row + 1}"


class Tally:
    """One check: counts the rows that fail it, and remembers the first."""

    def __init__(self, column: str, what: str):
        self.column, self.what, self.first, self.count = column, what, "", 0

    def see(self, bad: np.ndarray | pd.Series, values: pd.Series, place: Place) -> None:
        """Add the rows of a batch; `place` names them."""
        if bad.any():
            row = int(np.argmax(np.asarray(bad)))
            value = shown(values.iloc[row])
            self.first = self.first or f"{place(row)}, column {self.column}: {value} {self.what}"
            self.count += int(bad.sum())

    def settle(self) -> None:
        """Raise `InputError` naming the first row that failed, and how many did."""
        if self.count:
            raise InputError(f"{self.first} ({self.count} such rows); correct or remove them")


class Checks:
    """Ids are there, ratings are finite numbers within `scale` (lowest and highest)."""

    def __init__(self, scale: tuple[float, float] | None = None):
        # As the ratings are: a bound of 0.7 is a rating of 0.7, whatever either is rounded to.
        self.scale = scale and (np.float32(scale[0]), np.float32(scale[1]))
        self.ids = {name: Tally(name, "is missing") for name in ("user_id", "item_id")}
        self.finite = Tally("rating", "is not a finite number")
        low, high = scale or (-np.inf, np.inf)
        self.inside = Tally("rating", f"is outside the scale {low:g} to {high:g}")

    def see_ids(self, table: pd.DataFrame, place: Place) -> None:
        """Look for missing ids in a batch."""
        for name, tally in self.ids.items():
            tally.see(table[name].isna(), table[name], place)

    def see_ratings(self, column: pd.Series, place: Place) -> pd.Series:
        """The ratings of a batch as float32 numbers; a bad one may be NaN."""
        numbers = as_float32(column)
        self.finite.see(~np.isfinite(numbers), column, place)
        if self.scale is not None:
            self.inside.see(~numbers.between(*self.scale), numbers, place)
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


def as_float32(column: pd.Series) -> pd.Series:
    """Ratings as numbers; NaN for what is none."""
    if column.dtype == np.float32:
        return column
    # What is too large for a float32 is infinite; some NaNs, of a damaged file, signal.
    with np.errstate(over="ignore", invalid="ignore"):
        return pd.to_numeric(column, errors="coerce").astype(np.float32)


def shown(value: object) -> str:
    """A value as a person wrote it, or its begin: 1.5, not np.float64(1.5)."""
    return repr(value.item() if isinstance(value, np.generic) else value)[:200]
