"""Canonical ids: a whole number or text, from any container. Equal as text is equal.

A column of ids has one of two forms:

    int64    where every id is a whole number of 64 bits
    text     else; a whole number among text is its decimal digits

So 7, 7.0 and "7" are one id, and "007" is another. Integers may be signed, unsigned or nullable, or
in floats, Decimals, categories or objects. Text stays as it is, a UUID is what `str` makes of it,
and bytes are read as UTF-8.

No ids are what is missing; booleans; dates and times, which can be written in many ways; tuples and
other containers; fractions; and whole numbers that a float may have rounded, from 2**53 on in 64
bits, as two ids may have become one there.
"""

import datetime
import math
import re
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from pandas.api import types

WHOLE = re.compile("0|-?[1-9][0-9]{0,18}")  # as `str` writes an integer, of 19 digits at most
INT64 = np.iinfo(np.int64)
EXACT = 53  # bits at most that a whole number may have in any float
IDS = "ids are whole numbers or text"


def canonical(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """A column of ids in its form, and which of its rows are invalid; if any, the column as
    it is.
    """
    if len(column) == 0:
        return column if is_text(column) else column.astype(np.int64), np.zeros(0, bool)
    missing = column.isna().to_numpy(bool)
    if missing.any():
        return column, missing
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _of_categories(column.cat.remove_unused_categories())
    if types.is_signed_integer_dtype(dtype):
        return column.astype(np.int64), missing
    if types.is_unsigned_integer_dtype(dtype) and column.max() <= INT64.max:
        return column.astype(np.int64), missing
    if types.is_float_dtype(dtype):
        return _of_floats(column)
    if is_text(column) and _is_unicode(column):
        return column, missing
    return _one_by_one(column)


def is_text(column: pd.Series) -> bool:
    """Whether every value is text, by type; the content does not matter."""
    if column.dtype != object:
        return isinstance(column.dtype, pd.StringDtype)
    return types.infer_dtype(column, skipna=False) == "string"


def fault(value: Any) -> str:
    """What is wrong with a value that is no id, and what to do."""
    if types.is_scalar(value) and pd.isna(value):
        return "is missing"
    match value:
        case bool() | np.bool_():
            return f"is a boolean; {IDS}"
        case float() | np.floating() if _is_whole(value):
            return (
                f"is a float beyond {_rounds_from(value) - 1:,}, where whole numbers are rounded: "
                "read the ids as integers or as text"
            )
        case float() | np.floating() | Decimal():
            return f"is no whole number; {IDS}"
        case str():
            return "is no text that can be written as UTF-8"
        case bytes():
            return "are bytes, and no UTF-8 text"
        case datetime.date() | datetime.time() | datetime.timedelta() | np.datetime64():
            return "is a date or a time, which can be written in many ways: make it text"
        case _:
            return f"is of type {type(value).__name__}; {IDS}"


def whole_number(text: str) -> int | None:
    """The number that a text is the decimal digits of, in 64 bits; None for any other text."""
    if not WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if INT64.min <= number <= INT64.max else None


def _of_categories(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    ids, bad = canonical(pd.Series(column.cat.categories))
    code = column.cat.codes.to_numpy()
    return (column if bad.any() else ids.take(code).set_axis(column.index)), bad[code]


def _of_floats(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    values = np.asarray(column)
    values = values.astype(float) if values.dtype == object else values
    with np.errstate(invalid="ignore"):
        bad = (values != np.floor(values)) | ~(np.abs(values) < _rounds_from(values))
        ids = pd.Series(values.astype(np.int64), column.index, name=column.name)
    return (column if bad.any() else ids), bad


def _rounds_from(values: float | np.floating | np.ndarray) -> int:
    """The least whole number that may be another one's, rounded to this type of float."""
    return int(2 ** min(np.finfo(np.asarray(values).dtype).nmant + 1, EXACT))


def _is_whole(value: float | np.floating | Decimal) -> bool:
    return math.isfinite(value) and value == math.floor(value)


def _is_unicode(text: pd.Series) -> bool:
    """Whether all can be written: Python's strings may hold half a character."""
    try:
        "".join(text.unique()).encode()
    except UnicodeEncodeError:
        return False
    return True


def _one_by_one(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    ids = [_id_of(value) for value in column]
    bad = np.array([one is None for one in ids], bool)
    if bad.any():
        return column, bad
    if all(isinstance(one, int) and INT64.min <= one <= INT64.max for one in ids):
        values = np.array(ids, np.int64)
    else:
        values = np.array([str(one) for one in ids], object)
    return pd.Series(values, column.index, name=column.name), bad


def _id_of(value: Any) -> int | str | None:
    """A whole number of any size, or text; None for other values."""
    match value:
        case bool() | np.bool_():
            return None
        case int() | np.integer():
            return int(value)
        case float() | np.floating():
            is_exact = _is_whole(value) and abs(float(value)) < _rounds_from(value)
            return int(value) if is_exact else None
        case Decimal():
            return int(value) if _is_whole(value) else None
        case UUID():
            return str(value)
        case bytes():
            return _decoded(value)
        case str():
            return None if _decoded(value.encode("utf8", "surrogatepass")) is None else str(value)
        case _:
            return None


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
