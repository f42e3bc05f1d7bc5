"""Means over folds and seeds with their intervals, paired differences, and laws of growth."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import linregress, t

from pmf.evaluate.resampling import mean_interval

LEVEL = 0.95  # of every interval that is drawn or printed
FEWEST = 3  # draws of an interval: of two, Student's t has 12.7 standard errors to either side
UNITS = ("split.fold", "split.seed")  # one draw of training and test ratings each


class Interval(NamedTuple):
    """An estimate; `low` and `high` are NaN where there were too few draws."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        return self.low == self.low


def interval(values: np.ndarray) -> Interval:
    """The mean of independent values, and its Student t interval if they are `FEWEST` or more."""
    values = np.asarray(values, np.float64)
    n, mean = len(values), float(np.mean(values))
    if n < FEWEST:
        return Interval(mean, np.nan, np.nan, n)
    bounds = mean_interval(values, level=LEVEL)
    return Interval(mean, bounds.low, bounds.high, n)


def estimate_text(estimate: Interval, form: str = "{:.4f}") -> str:
    """An estimate with half the width of its interval, where that says something."""
    if estimate.mean != estimate.mean:
        return "–"
    half = form.replace("+", "").format(estimate.high - estimate.mean) if estimate.known else ""
    half = f" ± {half}" if half.strip("0.%") else ""  # none where all repetitions agree
    return (form.format(estimate.mean) + half).replace("-", "−")


def units(table: pd.DataFrame) -> list[str]:
    """What a repetition is: a fold or a split's seed; where there is one split, the fit's seed, or
    the number of a measurement.
    """
    splits = [name for name in UNITS if name in table and table[name].nunique() > 1]
    seeds = [
        name
        for name in ("model.seed", "model.repeat")
        if name in table and table[name].nunique() > 1
    ]
    return splits or seeds


def over_folds(table: pd.DataFrame, keys: list[str], value: str = "value") -> pd.DataFrame:
    """`keys, mean, low, high, n`: seeds are averaged, then a t interval is taken over the folds.

    Training sets of folds overlap, so these intervals are a little too narrow (Nadeau & Bengio,
    Machine Learning 2003); comparisons of systems are tested on users instead.
    """
    each = table.groupby([*keys, *units(table)], dropna=False, sort=False)[value].mean()
    rows = []
    for key, values in each.reset_index().groupby(keys, dropna=False, sort=False):
        estimate = interval(values[value].to_numpy())
        rows.append(dict(zip(keys, key, strict=True)) | estimate._asdict())
    return pd.DataFrame(rows, columns=[*keys, *Interval._fields])


def mean_of(table: pd.DataFrame, value: str = "value") -> Interval:
    """The mean of a part of a table as a whole, over its folds as `over_folds` takes it."""
    return Interval(*over_folds(table.assign(whole=0), ["whole"], value).iloc[0, 1:])


def paired(one: pd.DataFrame, other: pd.DataFrame, value: str = "value") -> Interval:
    """The mean difference, one minus other, over the folds that both have."""
    keys = units(pd.concat([one, other]))
    if not keys:
        return Interval(float(one[value].mean() - other[value].mean()), np.nan, np.nan, 1)
    left, right = (table.groupby(keys)[value].mean() for table in (one, other))
    return interval((left - right).dropna().to_numpy())


def above(one: pd.DataFrame, best: pd.DataFrame) -> str:
    """By how much one is above the best, paired over repetitions; ▼ where that is shown."""
    gap = paired(one, best)
    mark = "" if not gap.known else " ▼" if gap.low > 0 else " ="
    return estimate_text(gap, "{:+.4f}") + mark


class Power(NamedTuple):
    """value = scale * x^exponent, fitted to logarithms; `error` is the exponent's half-width."""

    exponent: float
    error: float  # NaN from fewer than three sizes
    scale: float

    def at(self, x: np.ndarray) -> np.ndarray:
        return self.scale * np.asarray(x, np.float64) ** self.exponent


class Line(NamedTuple):
    """value = start + slope * x; `error` is the slope's half-width."""

    start: float
    slope: float
    error: float  # NaN from fewer than three sizes

    def at(self, x: np.ndarray) -> np.ndarray:
        return self.start + self.slope * np.asarray(x, np.float64)


def power_law(x: np.ndarray, value: np.ndarray) -> Power | None:
    """Least squares on logarithms; None where there are not two sizes."""
    line = straight_line(np.log(x), np.log(value))
    return Power(line.slope, line.error, float(np.exp(line.start))) if line else None


def straight_line(x: np.ndarray, value: np.ndarray) -> Line | None:
    """Least squares; None where there are not two sizes."""
    if len(np.unique(x)) < 2:
        return None
    fit = linregress(x, value)
    error = t.ppf((1 + LEVEL) / 2, len(x) - 2) * fit.stderr if len(x) > 2 else np.nan
    return Line(float(fit.intercept), float(fit.slope), float(error))
