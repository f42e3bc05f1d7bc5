"""Any frame of ratings to canonical columns and, with an index of ids, to arrays."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.data.checks import Checks, Place, rows_of, shown
from pmf.data.choices import Duplicates
from pmf.data.columns import REQUIRED, canonical_columns
from pmf.data.contexts import coded_contexts, require_contexts
from pmf.data.encoding import code_by_appearance, first_repeat, has_repeats
from pmf.data.ids import Ids, factorize
from pmf.data.tables import Table, as_frame
from pmf.data.times import to_seconds
from pmf.data.values import as_numbers
from pmf.errors import InputError
from pmf.types import Ratings

HELD_OUT = "the held-out frame"


def pairs(frame: Table, source: str = "the frame") -> pd.DataFrame:
    """The columns user_id and item_id under their canonical names, in the frame's order.

    Ids are in the form of `pmf.data.canonical`. Raises `InputError` for a missing column and for
    what is no id.
    """
    table, checks = select(frame, ("user_id", "item_id"), source), Checks()
    checks.see_ids(table, rows_of(source))
    checks.settle()
    return table[["user_id", "item_id"]]


def checked(
    frame: Table,
    source: str = "the frame",
    scale: tuple[float, float] | None = None,
    times: bool = True,
) -> pd.DataFrame:
    """A copy with columns user_id, item_id, rating[, timestamp], every value checked.

    Ids are in the form of `pmf.data.canonical`. `scale` is the lowest and highest rating allowed.
    Times become seconds since 1970 (`pmf.data.times`); without `times` they are left out, and not
    looked at. Raises `InputError` naming `source`, the first bad row (from 1) and the column.
    """
    table, checks = select(frame, REQUIRED, source), Checks(scale)
    checks.see_ids(table, rows_of(source))
    table["rating"] = checks.see_ratings(table["rating"], rows_of(source))
    checks.settle()
    if table.empty:
        raise InputError(f"{source}: no ratings")
    if "timestamp" in table:
        if not times:
            return table[list(REQUIRED)]
        table["timestamp"] = to_seconds(table["timestamp"], rows_of(source))
    return table


def each_once(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """A checked table. Raises `InputError` naming the first row that repeats a pair."""
    again = table.duplicated(["user_id", "item_id"]).to_numpy()
    if again.any():
        row = int(np.argmax(again))
        user, item = table.loc[row, ["user_id", "item_id"]]
        raise InputError(
            f"{rows_of(source)(row)}: user {shown(user)} rates item {shown(item)} a second time; "
            "keep one rating per pair"
        )
    return table


class Chosen(NamedTuple):
    """Rows that remain where pairs repeat, and their ratings."""

    row: np.ndarray
    value: np.ndarray


def select(frame: Table, required: tuple[str, ...], source: str) -> pd.DataFrame:
    """The columns of ratings under their canonical names, rows numbered from 0.

    Raises `InputError` for a column that is missing, ambiguous, or there twice, and where `frame`
    is none of the tables of `pmf.data.tables.as_frame`.
    """
    frame = as_frame(frame, source)
    names = [str(name) for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{source}: columns {repeated} occur twice; keep one of each")
    columns = canonical_columns(names, required, source)
    return (
        frame.set_axis(names, axis=1)[list(columns)].rename(columns=columns).reset_index(drop=True)
    )


class Encoded(NamedTuple):
    """Ratings as arrays, and the ids that the row numbers stand for."""

    ratings: Ratings
    users: Ids
    items: Ids
    context: np.ndarray | None = None  # of each rating, where they are given in contexts
    contexts: Ids | None = None

    def held_out(self, frame: Table, scale: tuple[float, float] | None) -> Ratings:
        """Other ratings in the same row numbers. Raises `InputError` for a bad frame."""
        table = checked(frame, HELD_OUT, scale, times=False)
        user, item = self.users.codes(table["user_id"]), self.items.codes(table["item_id"])
        return Ratings(user, item, table["rating"].to_numpy())


def encode(table: pd.DataFrame, source: str = "the frame") -> Encoded:
    """Row numbers for raw ids, in order of first appearance."""
    with ThreadPoolExecutor(2) as pool:
        sides = (table[name] for name in ("user_id", "item_id"))
        (user, users), (item, items) = pool.map(lambda side: factorize(side, source), sides)
    value = table["rating"].to_numpy()
    return Encoded(Ratings(user, item, value), Ids(users), Ids(items))


def learnable(
    frame: Table,
    source: str = "the frame",
    scale: tuple[float, float] | None = None,
    duplicates: Duplicates = "error",
    context: str | None = None,
) -> Encoded:
    """The arrays of a frame, every value checked, each pair once (`distinct`).

    Times are looked at where `duplicates` asks for the last. `context` says what the contexts of
    ratings are, see `pmf.data.contexts`.
    """
    frame = as_frame(frame, source)  # once: a reader of batches can be read but once
    table = checked(frame, source, scale, times=duplicates == "last")
    encoded = encode(table, source)
    if context is not None:
        row, contexts = coded_contexts(require_contexts(frame, context, source), source)
        encoded = encoded._replace(context=row, contexts=contexts)
    return distinct(encoded, duplicates, source, rows_of(source), times_of(table))


def times_of(table: pd.DataFrame) -> np.ndarray | None:
    """The times of a checked table; None where it has none."""
    return table["timestamp"].to_numpy() if "timestamp" in table else None


def distinct(
    encoded: Encoded,
    duplicates: Duplicates,
    source: str,
    place: Place,
    time: np.ndarray | None = None,
) -> Encoded:
    """Each pair once, by policy; row numbers in order of first appearance.

    The last rating of a pair is the newest where there is a `time` of each, and of several at that
    moment, or without times, the last in order. `place` names a row. Raises `InputError` where a
    pair repeats and duplicates are errors, and where there is only one user or one item.
    """
    chosen = one_a_pair(encoded, duplicates, source, place, time)
    if chosen is None:
        return encoded
    user, users = _recoded(encoded.ratings.user[chosen.row], encoded.users)
    item, items = _recoded(encoded.ratings.item[chosen.row], encoded.items)
    ratings = Ratings(user, item, chosen.value)
    if encoded.context is None or encoded.contexts is None:
        return Encoded(ratings, users, items)
    present, context = np.unique(encoded.context[chosen.row], return_inverse=True)
    contexts = Ids(encoded.contexts.values[present])
    return Encoded(ratings, users, items, context.astype(np.int32), contexts)


def _recoded(codes: np.ndarray, ids: Ids) -> tuple[np.ndarray, Ids]:
    again, old_codes = code_by_appearance(codes)
    return again, Ids(ids.values[old_codes])


def one_a_pair(
    encoded: Encoded,
    duplicates: Duplicates,
    source: str,
    place: Place,
    time: np.ndarray | None,
) -> Chosen | None:
    """What `distinct` keeps; None where no pair repeats. Raises what it raises."""
    (user, item, value), users, items = encoded.ratings, encoded.users, encoded.items
    for count, name in ((len(users), "user"), (len(items), "item")):
        if count < 2:
            raise InputError(f"{source}: only one {name}; at least two are needed to learn from")
    if not has_repeats(user, item, len(users), len(items)):
        return None
    if duplicates == "error":
        first = first_repeat(user, item, len(users), len(items))
        raise InputError(
            f"{place(first)}: user {shown(users.values[user[first]])} rates "
            f"item {shown(items.values[item[first]])} a second time; "
            "say duplicates='last' or duplicates='mean', or remove it"
        )
    pair = pd.Series(user.astype(np.int64) * len(items) + item)
    by_time = pair if time is None else pair.iloc[np.argsort(time, kind="stable")]
    last = by_time.index[~by_time.duplicated(keep="last")].to_numpy()
    match duplicates:
        case "last":
            rows = np.sort(last)
            return Chosen(rows, value[rows])
        case "mean":
            mean = pd.Series(value, dtype=np.float64).groupby(pair, sort=False).mean()
            rows = pd.Series(last, pair[last]).loc[mean.index].to_numpy()
            return Chosen(rows, as_numbers(mean.to_numpy()))
        case _:
            raise InputError(f"duplicates={duplicates!r}: say 'error', 'last' or 'mean'")
