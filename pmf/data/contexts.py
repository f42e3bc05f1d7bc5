"""The contexts that ratings are given in: a part of their time, by name, or another column.

| by | the contexts are |
| --- | --- |
| `day`, `week`, `month` | each day, week (from Monday) or month, of UTC |
| `hour`, `weekday` | the 24 hours of the day, the 7 days of the week (0 is Monday), of UTC |
| another name | the values of the column of this name, such as a device |
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int

from pmf.data.checks import rows_of
from pmf.data.columns import canonical_columns
from pmf.data.ids import Ids, factorize
from pmf.data.tables import Table, as_frame
from pmf.data.times import to_seconds
from pmf.errors import InputError, hint

DAY = 86400


def _day(seconds: np.ndarray) -> np.ndarray:
    return np.asarray(seconds // DAY, np.int64)


def _month(seconds: np.ndarray) -> np.ndarray:
    return _day(seconds).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


# Each numbers its contexts from 1970 on, or from 0. The first of January 1970 was a Thursday.
BINS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "day": _day,
    "week": lambda seconds: (_day(seconds) + 3) // 7,
    "month": _month,
    "hour": lambda seconds: np.asarray(seconds // 3600 % 24, np.int64),
    "weekday": lambda seconds: (_day(seconds) + 3) % 7,
}
ASCENDING = "day", "week", "month"  # of these a later one has the larger number


class ContextRows(NamedTuple):
    """The number of each rating's context, and how many there are; the last is the unknown one."""

    train: Int[np.ndarray, " n"]
    num_rows: int
    heldout: Int[np.ndarray, " m"] | None = None


def contexts_of(frame: Table, by: str, source: str) -> pd.Series | None:
    """The context of each row of a table of ratings or pairs; None without the column for it.

    Raises `InputError` naming `source` and the row of a time that is missing or none. Of another
    column `coded_contexts` and `Ids.codes` check the values.
    """
    table = as_frame(frame, source)
    names = [str(name) for name in table.columns]
    if by in BINS:
        roles = {role: name for name, role in canonical_columns(names, (), source).items()}
        wanted = roles.get("timestamp", "")
    else:
        wanted = by
    if wanted not in names:
        return None
    column = table.iloc[:, names.index(wanted)].reset_index(drop=True)
    return pd.Series(BINS[by](to_seconds(column, rows_of(source)))) if by in BINS else column


def require_contexts(frame: Table, by: str, source: str) -> pd.Series:
    """The same. Raises `InputError` without the column."""
    contexts = contexts_of(frame, by, source)
    if contexts is not None:
        return contexts
    if by in BINS:
        raise InputError(f"{source}: context={by!r} needs a column of times, named timestamp")
    names = [str(name) for name in as_frame(frame, source).columns]
    raise InputError(
        f"{source}: context={by!r}: neither a column nor one of {', '.join(BINS)}; "
        f"{hint(by, [*BINS, *names])}"
    )


def coded_contexts(contexts: pd.Series, source: str) -> tuple[np.ndarray, Ids]:
    """A number for each row's context, and what they stand for, in ascending order."""
    code, values = factorize(contexts, source)
    order = np.argsort(values, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order))
    return place[code], Ids(values[order])
