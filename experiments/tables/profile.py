"""How many ratings a data set has, of what value, and how unequally they fall on its rows."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from experiments.config import inputs
from experiments.config.schema import RunConfig

COLUMNS = ["data", "of", "at", "count", "share"]
MOST_ROWS, MOST_VALUES = 40, 20  # lines of a side and of the values


def profiles(configs: Iterable[RunConfig]) -> pd.DataFrame:
    """The lines of `profile` for each data set of some runs; none of runs without ratings."""
    sets = dict.fromkeys((one.data, one.reading) for one in configs if one.split is not None)
    parts = [profile(inputs.dataset(*one).ratings).assign(data=one[0]) for one in sets]
    return pd.concat(parts)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def profile(ratings: pd.DataFrame) -> pd.DataFrame:
    """`of, at, count, share`: a side's rows from the most rated down, and the ratings' values.

    For `of` user or item, `count` is how many ratings the row in place `at` has, and `share` is
    that of the first `at` rows among all ratings; the last place is the number of rows. For rating,
    `at` is a value, or the middle of an interval where there are many, and `share` is its own.
    """
    sides = [_side(ratings[f"{side}_id"], side) for side in ("user", "item")]
    return pd.concat([*sides, _values(ratings["rating"].to_numpy(np.float64))])


def _side(ids: pd.Series, side: str) -> pd.DataFrame:
    count = ids.value_counts().to_numpy()
    at = np.unique(np.round(np.geomspace(1, len(count), MOST_ROWS)).astype(int))
    share = np.cumsum(count) / count.sum()
    return pd.DataFrame({"of": side, "at": at, "count": count[at - 1], "share": share[at - 1]})


def _values(values: np.ndarray) -> pd.DataFrame:
    at, count = np.unique(values, return_counts=True)
    if len(at) > MOST_VALUES:
        count, edges = np.histogram(values, MOST_VALUES)
        at = (edges[:-1] + edges[1:]) / 2
    return pd.DataFrame({"of": "rating", "at": at, "count": count, "share": count / len(values)})
