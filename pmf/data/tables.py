"""The one entry for tables in memory: every container of ratings becomes a pandas frame."""

from os import PathLike
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

from pmf.errors import InputError, one_line


@runtime_checkable
class ArrowStream(Protocol):
    """A table of any library that speaks Arrow: polars, pyarrow, DuckDB, ..."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


Table: TypeAlias = pd.DataFrame | ArrowStream | Any  # Any: a scipy.sparse matrix

NAMES = 'columns=["user_id", "item_id", "rating"]'
PAIR_NAMES = 'columns=["user_id", "item_id"]'


def as_frame(table: Table, source: str = "the frame") -> pd.DataFrame:
    """A table of ratings or pairs as a pandas frame; a frame as it is.

    A table of polars, pyarrow or another library that speaks Arrow keeps its columns. A
    scipy.sparse matrix of users by items gets columns user_id, item_id (row and column numbers,
    from 0) and rating: each stored entry is a rating, an explicit zero too.

    Raises `InputError` with the conversion for what is no table: a path, several, a dict, a list,
    an array.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if sparse.issparse(table):
        return _of_sparse(table, source)
    speaks = hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__")
    if speaks and not isinstance(table, pd.Series):
        try:
            frame: pd.DataFrame = pa.table(table).to_pandas()
            return frame
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise InputError(
                f"{source}: {_name_of(table)} is no table ({one_line(error)}); "
                "say pandas.DataFrame(...) of it"
            ) from error
    raise InputError(f"{source}: {_refusal(table)}")


def is_path(data: object) -> TypeGuard[str | PathLike[str]]:
    """Whether this is the name of a data set, or a path."""
    return isinstance(data, str | PathLike)


def refuse_tables(data: object) -> None:
    """Raise `InputError` where a name or a path is needed and something else is given."""
    if not is_path(data):
        what = _refusal(data) if _is_several_paths(data) else f"{_name_of(data)} is no path"
        raise InputError(f"a data set's name or the path of a file is needed: {what}")


def _of_sparse(matrix: Any, source: str) -> pd.DataFrame:
    entries = sparse.coo_array(matrix)
    if entries.ndim != 2:
        raise InputError(f"{source}: a sparse array of {entries.ndim} axes; users by items are two")
    user, item = (axis.astype(np.int64) for axis in entries.coords)
    return pd.DataFrame({"user_id": user, "item_id": item, "rating": entries.data})


def _refusal(table: object) -> str:
    """What a person may have meant, and how to say it."""
    if is_path(table):
        return f"a path; say pmf.load_data({str(table)[:80]!r}).ratings"
    if _is_several_paths(table):
        return (
            "several paths; say pandas.concat([pmf.load_data(path).ratings for path in paths]), or "
            "put Parquet files into one folder and name that"
        )
    match table:
        case pd.Series():
            return "a Series; say ratings.reset_index() or ratings.to_frame(), with a column each"
        case dict():
            return "a dict; say pandas.DataFrame(ratings) of a dict of columns"
        case np.ndarray() if table.dtype.names:
            return "a structured array; say pandas.DataFrame(ratings)"
        case np.ndarray() if table.ndim == 2 and table.shape[1] not in (2, 3, 4):
            return (
                f"an array of shape {table.shape}; of a matrix of users by items say "
                "scipy.sparse.coo_array(matrix), whose zeros are no ratings"
            )
        case np.ndarray():
            return f"an array; say pandas.DataFrame(ratings, {NAMES})"
        case [[_, _] | (_, _), *_]:
            return f"a {type(table).__name__}; say pandas.DataFrame(pairs, {PAIR_NAMES})"
        case list() | tuple() | set():
            return f"a {type(table).__name__}; say pandas.DataFrame(ratings, {NAMES})"
    if hasattr(table, "collect"):
        return f"{_name_of(table)}, not computed yet; say ratings.collect()"
    return f"{_name_of(table)} is no table; say pandas.DataFrame(ratings, {NAMES})"


def _is_several_paths(data: object) -> bool:
    if not isinstance(data, list | tuple | set | frozenset):
        return False
    return bool(data) and all(map(is_path, data))


def _name_of(table: object) -> str:
    kind = type(table)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
