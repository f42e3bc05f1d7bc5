"""Features of users, or of items, from the columns of any table: `frame_features`."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from pmf.data.checks import shown
from pmf.data.features import FeatureTable, Kind, one_hot, side_by_side
from pmf.data.ids import Ids, factorize
from pmf.data.tables import Table, as_frame
from pmf.errors import InputError

MOST_VALUES = 1000  # distinct ones of a column of words: of more it is rather a name
SOURCE = "the table of features"


def frame_features(frame: Table, by: str = "user_id") -> FeatureTable:
    """Features of users (or of items, `by="item_id"`): a row each, and a column for each feature.

    Numbers count in standard deviations from their mean, anything else is one-hot. Where a value is
    missing, nothing is known: it is the mean.

    Raises `InputError` where the ids' column is missing or one occurs twice, where there is no
    other column, a number is infinite, or a column of words has over 1,000 of them.
    """
    table = as_frame(frame, SOURCE)
    if by not in table or len(table.columns) < 2:
        raise InputError(
            f"{SOURCE}: columns {by} and at least one more are needed, this one has "
            f"{list(table.columns)}"
        )
    code, values = factorize(table[by], SOURCE)
    if len(values) < len(code):
        twice = values[np.argmax(np.bincount(code) > 1)]
        raise InputError(f"{SOURCE} has {by} {shown(twice)} twice; keep one row of each")
    order = np.argsort(code)  # ids may come in another order than their rows
    kinds = [_kind(name, table[name].iloc[order]) for name in table.columns if name != by]
    return side_by_side(Ids(values), kinds)


def _kind(name: str, column: pd.Series) -> Kind:
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return _number(name, column) if is_number else _words(name, column)


def _number(name: str, column: pd.Series) -> Kind:
    numbers = column.to_numpy(np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        raise InputError(f"{SOURCE}: column {name} has infinite numbers; leave them empty")
    known = numbers[~np.isnan(numbers)]
    mean, spread = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
    standard = np.nan_to_num((numbers - mean) / (spread or 1.0))
    return Kind([name], csr_array(standard[:, None]), np.eye(1))


def _words(name: str, column: pd.Series) -> Kind:
    words = column.astype("string")
    if words.nunique() > MOST_VALUES:
        raise InputError(
            f"{SOURCE}: column {name} has {words.nunique():,} distinct values; leave it out, or "
            "put them into classes"
        )
    return one_hot(name, pd.get_dummies(words))
