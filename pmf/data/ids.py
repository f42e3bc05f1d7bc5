"""Ids of one side: their row numbers, and the one comparison by which they are found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pmf.data.canonical import canonical, fault, is_text, whole_number
from pmf.data.checks import Tally, rows_of, shown
from pmf.data.encoding import code_by_appearance
from pmf.errors import InputError


def factorize(column: pd.Series, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes 0, 1, ... in order of first appearance, and the ids they stand for, in canonical form.

    Raises `InputError` naming the first row that has no id.
    """
    ids = _checked(column, source)
    if not is_text(ids):
        return code_by_appearance(ids.to_numpy())
    codes, values = pd.factorize(ids)
    return codes.astype(np.int32), np.asarray(values, dtype=object)


def collected(collection: object, name: str) -> pd.Series:
    """One id, or a collection of them, in canonical form: "12" is one id, not two.

    Raises `InputError` naming the argument where a value is no id, and for a table or a mapping.
    """
    if isinstance(collection, np.ndarray):
        collection = np.atleast_1d(collection)
    if isinstance(collection, pd.DataFrame | Mapping) or getattr(collection, "ndim", 1) > 1:
        raise InputError(
            f"{name}: a {type(collection).__name__}; give one column of ids, or a list"
        )
    if isinstance(collection, pd.Series | pd.Index | np.ndarray):
        column = pd.Series(collection).reset_index(drop=True)
    elif isinstance(collection, Iterable) and not isinstance(collection, str | bytes):
        # Each as it is: no common type of numbers.
        column = pd.Series(list(collection), dtype=object)
    else:
        column = pd.Series([collection], dtype=object)
    ids, bad = canonical(column)
    if bad.any():
        value = column.iloc[int(np.argmax(bad))]
        raise InputError(f"{name}: {shown(value)} {fault(value)}")
    return ids


def joined(*parts: np.ndarray) -> np.ndarray:
    """Ids of several sets, one set after another, in one form."""
    if all(part.dtype == np.int64 for part in parts):
        return np.concatenate(parts)
    return np.concatenate([_as_text(part) for part in parts])


def among(column: pd.Series, others: pd.Series) -> np.ndarray:
    """Which ids of a column are among others. Raises `InputError` for an invalid id in either."""
    known = Ids(factorize(others, "the ids")[1])
    return ~known.unknown(known.codes(column))


def with_gaps(values: np.ndarray) -> pd.Series:
    """Ids as a column that others may be missing from, without becoming floats."""
    return pd.Series(values, dtype="Int64" if values.dtype == np.int64 else None)


def looked_up(table: pd.DataFrame, name: str, wanted_ids: pd.Series) -> pd.DataFrame:
    """The first row of a table for each id asked for, by the ids in its column `name`.

    Missing values where an id is missing, and where the table has none of it. Raises `InputError`
    naming the first row of either that has no id.
    """
    code, values = factorize(table[name], "the table")
    first = np.append(np.unique(code, return_index=True)[1], -1)
    is_id = wanted_ids.notna().to_numpy(bool)
    row = np.full(len(wanted_ids), -1)
    row[is_id] = first[Ids(values).codes(wanted_ids[is_id])]
    return table.reset_index(drop=True).reindex(row).set_axis(wanted_ids.index)


@dataclass(frozen=True, eq=False, repr=False)
class Ids:
    """The ids of one side, in row order. An id it does not know has code `len(ids)`.

    `values` are in canonical form: int64, or text as objects.
    """

    values: np.ndarray

    @classmethod
    def of(cls, column: pd.Series, source: str) -> "Ids":
        """A column's ids in its order. Raises `InputError` naming the first row that has none."""
        ids = _checked(column, source)
        return cls(ids.to_numpy(object if is_text(ids) else np.int64))

    def __repr__(self) -> str:
        some = ", ".join(map(shown, self.values[:3]))
        return f"Ids({len(self):,}: {some}{', ...' * (len(self) > 3)})"

    def __len__(self) -> int:
        return len(self.values)

    @property
    def num_rows(self) -> int:
        """How many rows their table has: one per id, and a last one for unknown ids."""
        return len(self.values) + 1

    @cached_property
    def index(self) -> pd.Index:
        """The ids as a hash table, made once."""
        return pd.Index(self.values, tupleize_cols=False)

    def codes(self, column: pd.Series, source: str = "the frame") -> np.ndarray:
        """Row numbers of ids; `len(self)` where one is unknown.

        Ids are the same where they are the same in text: 7 and "7", not "007". Raises `InputError`
        naming the first row that has no id.
        """
        ids = _checked(column, source)
        if is_text(ids) == (self.values.dtype == object):
            codes = self.index.get_indexer(pd.Index(ids, tupleize_cols=False))
        else:
            code, values = factorize(ids, source)
            codes = self._codes_of_other_form(values)[code]
        return np.where(codes < 0, len(self), codes).astype(np.int32)

    def _codes_of_other_form(self, values: np.ndarray) -> np.ndarray:
        """Of text among numbers, or of numbers among text; -1 where one is unknown."""
        if self.values.dtype == object:
            return self.index.get_indexer(pd.Index(_as_text(values), dtype=object))
        numbers = [whole_number(value) for value in values]
        are_there = np.array([number is not None for number in numbers], bool)
        whole = np.array([number or 0 for number in numbers], np.int64)
        positions = self.index.get_indexer(pd.Index(whole))
        return np.where(are_there, positions, -1)

    def row(self, one: object, name: str) -> int:
        """The row number of a single id, the argument `name`; `len(self)` where it is unknown."""
        return int(self.codes(collected([one], name))[0])

    def named(self, codes: np.ndarray, ids: pd.Series) -> np.ndarray:
        """The ids that were asked for, known ones in the form that they have here."""
        if is_text(ids) == (self.values.dtype == object):
            return ids.to_numpy(self.values.dtype)
        known = ~self.unknown(codes)
        if known.all():
            return np.asarray(self.values[codes])
        return _as_text(ids.to_numpy())

    def unknown(self, codes: np.ndarray) -> np.ndarray:
        """Which of the row numbers that `codes` gave stand for an id it does not know."""
        return np.asarray(codes == len(self))


def _checked(column: pd.Series, source: str) -> pd.Series:
    ids, bad = canonical(column)
    tally = Tally(str(column.name), "", fault)
    tally.see(bad, column, rows_of(source))
    tally.settle()
    return ids


def _as_text(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == object else np.array(list(map(str, values)), object)
