"""Any frame of ratings to canonical columns and, with an index of ids, to arrays."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from pmf.errors import InputError
from pmf.types import Ratings

ALIASES = {
    "user_id": ("user_id", "userId", "userid", "user", "uid", "UserID"),
    "item_id": ("item_id", "itemId", "itemid", "item", "iid", "movieId", "movie_id", "MovieID"),
    "rating": ("rating", "ratings", "score", "value", "Rating"),
    "timestamp": ("timestamp", "time", "ts", "Timestamp"),
}

Duplicates = Literal["error", "last", "mean"]


def canonical_columns(names: list[str], required: tuple[str, ...], source: str) -> dict[str, str]:
    """Which of a table's columns is which: `{name in the table: canonical name}`.

    Raises `InputError` naming `source` where a required column is missing or a name is ambiguous.
    """
    found: dict[str, str] = {}
    for canonical, aliases in ALIASES.items():
        hits = [name for name in names if name in aliases]
        if len(hits) > 1:
            raise InputError(
                f"{source}: columns {hits} all mean {canonical}; keep one and drop the others"
            )
        if hits:
            found[hits[0]] = canonical
        elif canonical in required:
            raise InputError(
                f"{source}: no column {canonical}; the table has {list(names)}, and {canonical} "
                f"may be called {', '.join(aliases)}"
            )
    return found


def pairs(frame: pd.DataFrame, source: str = "the frame") -> pd.DataFrame:
    """The columns user_id and item_id under their canonical names, in the frame's order.

    Raises `InputError` for a missing column or a missing id.
    """
    return _select(frame, ("user_id", "item_id"), source)[["user_id", "item_id"]]


def checked(
    frame: pd.DataFrame, source: str = "the frame", scale: tuple[float, float] | None = None
) -> pd.DataFrame:
    """A copy with columns user_id, item_id, rating[, timestamp], every value checked.

    `scale` is the lowest and highest rating allowed. Raises `InputError` naming `source`, the first
    bad row (from 1) and the column.
    """
    table = _select(frame, ("user_id", "item_id", "rating"), source)
    if table.empty:
        raise InputError(f"{source}: no ratings")
    table["rating"] = _numeric(table["rating"], source)
    if scale is not None:
        _first_bad(
            ~table["rating"].between(*scale),
            table["rating"],
            source,
            "rating",
            f"is outside the scale {scale[0]:g} to {scale[1]:g}",
        )
    return table


def tidy(
    frame: pd.DataFrame,
    source: str = "the frame",
    scale: tuple[float, float] | None = None,
    duplicates: Duplicates = "error",
) -> pd.DataFrame:
    """`checked`, and fit to learn from: each pair once, at least two users and two items.

    `duplicates` says what to do where a pair occurs twice: error, last in order, or mean.
    """
    return _distinct(checked(frame, source, scale), duplicates, source)


def _select(frame: pd.DataFrame, required: tuple[str, ...], source: str) -> pd.DataFrame:
    names = [str(name) for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{source}: columns {repeated} occur twice; keep one of each")
    found = canonical_columns(names, required, source)
    table = frame.set_axis(names, axis=1)[list(found)].rename(columns=found).reset_index(drop=True)
    for column in ("user_id", "item_id"):
        _first_bad(table[column].isna(), table[column], source, column, "is missing")
    return table


def _numeric(column: pd.Series, source: str) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float32)
    _first_bad(~np.isfinite(numbers), column, source, "rating", "is not a finite number")
    return numbers


def _first_bad(
    bad: pd.Series | np.ndarray, column: pd.Series, source: str, name: str, what: str
) -> None:
    if bad.any():
        row = int(np.argmax(np.asarray(bad)))
        raise InputError(
            f"{source}, row {row + 1}, column {name}: {_shown(column.iloc[row])} {what} "
            f"({int(bad.sum())} such rows); correct or remove them"
        )


def _shown(value: object) -> str:
    """A value as a person wrote it: 1.5, not np.float64(1.5)."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def _distinct(table: pd.DataFrame, duplicates: Duplicates, source: str) -> pd.DataFrame:
    user, users = factorize(table["user_id"], source)
    item, items = factorize(table["item_id"], source)
    for count, name in ((len(users), "user"), (len(items), "item")):
        if count < 2:
            raise InputError(f"{source}: only one {name}; at least two are needed to learn from")
    pair = user.astype(np.int64) * len(items) + item
    ordered = np.sort(pair)
    if not np.any(ordered[1:] == ordered[:-1]):
        return table
    match duplicates:
        case "error":
            row = int(np.argmax(pd.Series(pair).duplicated()))
            raise InputError(
                f"{source}, row {row + 1}: user {_shown(table['user_id'].iloc[row])} rates "
                f"item {_shown(table['item_id'].iloc[row])} a second time; "
                "say duplicates='last' or duplicates='mean', or remove it"
            )
        case "last":
            return table[~pd.Series(pair).duplicated(keep="last")].reset_index(drop=True)
        case "mean":
            others = {name: "last" for name in table.columns if name != "rating"}
            return (
                table.groupby(pair, sort=False)
                .agg({**others, "rating": "mean"})[list(table.columns)]
                .reset_index(drop=True)
            )
        case _:
            raise InputError(f"duplicates={duplicates!r}: say 'error', 'last' or 'mean'")


def factorize(column: pd.Series, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes 0, 1, ... in order of first appearance, and the ids they stand for.

    Raises `InputError` where ids are unhashable or of mixed types.
    """
    try:
        codes, ids = pd.factorize(column)
    except TypeError as error:
        raise InputError(
            f"{source}, column {column.name}: ids must be hashable ({error})"
        ) from error
    values = np.asarray(ids, dtype=object) if ids.dtype.kind not in "iuf" else np.asarray(ids)
    kinds = sorted({type(value).__name__ for value in values}) if values.dtype == object else []
    if len(kinds) > 1:
        raise InputError(
            f"{source}, column {column.name}: ids of mixed types {kinds}; convert them to one"
        )
    return codes.astype(np.int32), values


@dataclass(frozen=True)
class Ids:
    """The raw ids of one side, in row order. An id it does not know has code `len(ids)`."""

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def codes(self, column: pd.Series, source: str = "the frame") -> np.ndarray:
        """Row numbers of raw ids; `len(self)` where the id is unknown.

        Raises `InputError` where no id could match: integers asked of strings, or the reverse.
        """
        ours, theirs = (_kind(np.asarray(x[:1])) for x in (self.values, column))
        if (ours, theirs) == ("strings", "integers"):  # a file whose ids all happen to be numbers
            column = column.astype(str)
        elif len(column) and ours != theirs:
            raise InputError(
                f"{source}, column {column.name}: ids are {theirs}, the model was trained on "
                f"{ours}; convert the column"
            )
        index = pd.Index(self.values, tupleize_cols=False)
        codes = index.get_indexer(pd.Index(column, tupleize_cols=False))
        return np.where(codes < 0, len(self), codes).astype(np.int32)

    def unknown(self, codes: np.ndarray) -> np.ndarray:
        """Which of the row numbers that `codes` gave stand for an id it does not know."""
        return codes == len(self)


def _kind(values: np.ndarray) -> str:
    kind = pd.api.types.infer_dtype(values, skipna=False)
    return "integers" if kind in ("integer", "floating") else f"{kind}s"


class Encoded(NamedTuple):
    """A tidy frame as arrays, and the ids that the row numbers stand for."""

    ratings: Ratings
    users: Ids
    items: Ids


def encode(table: pd.DataFrame, source: str = "the frame") -> Encoded:
    """Row numbers for raw ids, in order of first appearance."""
    user, users = factorize(table["user_id"], source)
    item, items = factorize(table["item_id"], source)
    value = table["rating"].to_numpy(np.float32)
    return Encoded(Ratings(user, item, value), Ids(users), Ids(items))
