"""Two or more systems on the same held-out ratings: is the difference more than luck?

Users are the unit: a person's ratings are not independent, so whole users are resampled (Efron &
Tibshirani 1993) and whole users are exchanged between two systems (Fisher 1935). A user's line
holds `n` ratings and sums over them, as in a run's `users.csv`; `pmf.evaluate.metrics` says how
sums become a metric, and which direction is good.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from pmf.errors import InputError
from pmf.evaluate.metrics import METRICS, MORE, Metric, compared_metric
from pmf.evaluate.resampling import bca_interval, holm, permutation_p, resampled_sums

COLUMNS = [
    "metric",
    "arm",
    "reference",
    "difference",
    "low",
    "high",
    "p",
    "p_adjusted",
    "effect",
    "n",
    "verdict",
]


class Comparison(NamedTuple):
    """A system against a reference. Differences are system minus reference, in the metric's unit.

    `low`, `high` is the BCa bootstrap interval; `p` is of the permutation test of no difference.
    `effect` is Cohen's d of paired data: mean / standard deviation of what each user adds to the
    difference. In two views a user counts once, however much they rate: `share_better`, the users
    whom the system serves better (a tie counts half), and `p_wilcoxon`, of the signed ranks of
    users' own mean differences. `n` is the number of users.
    """

    difference: float
    low: float
    high: float
    p: float
    effect: float
    share_better: float
    p_wilcoxon: float
    n: int


def verdict(name: str, comparison: Comparison, p: float, level: float = 0.95) -> str:
    """`better` or `worse` where p is at most 1 - level and the interval holds no zero."""
    if not (p <= 1 - level and comparison.low * comparison.high > 0):
        return "no difference shown"
    rises = comparison.difference > 0
    return "better" if rises == (compared_metric(name).best == MORE) else "worse"


def paired(
    users: pd.DataFrame,
    reference: pd.DataFrame,
    metric: str,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Comparison:
    """One system's users' lines against another's: columns `user_id`, `n` and the metric's.

    Raises `InputError` where the two do not hold the same users with the same number of ratings.
    """
    arms = {"the system": users, "the reference": reference}
    return _compared(arms, "the reference", metric, seed, resamples, level)["the system"]


def compare_arms(
    users: pd.DataFrame,
    reference: str,
    metrics: list[str],
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Every arm against the reference, a line for each metric and arm, with a verdict.

    `users` holds lines of every arm, with the columns `user_id`, `arm`, `n` and the metrics'; where
    there are several lines of one user, `pooled` makes one of them. An arm without a metric (all
    its values missing, as the log density of a system without variance) has no line for it, and
    where the reference is without, nobody has.
    `p_adjusted` is Holm's over the arms of one metric, and gives the verdict.

    Raises `InputError` naming the arm where users, or their numbers of ratings, differ.
    """
    arms: dict[str, pd.DataFrame] = {str(name): part for name, part in users.groupby("arm")}
    if reference not in arms:
        raise InputError(f"reference {reference!r}: not one of the arms {', '.join(arms)}")
    rows: list[dict[str, Any]] = []
    for metric in metrics:
        column = compared_metric(metric).column
        having = {n: x for n, x in arms.items() if column in x and x[column].notna().any()}
        if reference not in having:
            continue
        by_arm = _compared(having, reference, metric, seed, resamples, level)
        adjusted = holm(np.array([one.p for one in by_arm.values()]))
        for (arm, one), p in zip(by_arm.items(), adjusted, strict=True):
            says = verdict(metric, one, p, level)
            line = {"metric": metric, "arm": arm, "reference": reference, "verdict": says}
            rows.append(line | one._asdict() | {"p_adjusted": p})
    return pd.DataFrame(rows, columns=COLUMNS)


def pooled(users: pd.DataFrame) -> pd.DataFrame:
    """One line per user and arm, from lines with the columns `fold` and `seed` besides.

    Seeds of a fold are averaged. Over folds, numbers of ratings and sums over ratings are added,
    and metrics with one value per user are averaged: each fold is then a draw of the same thing.
    """
    keys = ["user_id", "arm"]
    values = [c for c in users.columns if c not in (*keys, "fold", "seed")]
    by_fold = users.groupby([*keys, "fold"], sort=True)[values].mean()
    added = [c for c in values if c == "n" or _is_sum(c)]
    grouped = by_fold.groupby(level=keys, sort=True)
    missing = by_fold[added].isna().groupby(level=keys, sort=True).any()
    sums = grouped[added].sum().mask(missing)  # a sum with a part missing is missing
    means = grouped[[c for c in values if c not in added]].mean()
    return pd.concat([sums, means], axis=1)[values].reset_index()


def _is_sum(column: str) -> bool:
    """Whether a column of users' lines holds sums over ratings, or else a value of each user."""
    name = column.partition("@")[0]
    for own_name, metric in METRICS.items():
        if metric.compares and name == (metric.column or own_name):
            return metric.is_of_ratings
    raise InputError(f"users' column {column!r}: no metric is made of it")


def _compared(
    arms: dict[str, pd.DataFrame],
    reference: str,
    name: str,
    seed: int,
    resamples: int,
    level: float,
) -> dict[str, Comparison]:
    metric = compared_metric(name)
    weight, totals = _aligned(arms, reference, metric)
    others = [arm for arm in arms if arm != reference]
    if not others:
        return {}
    table = np.column_stack([totals[reference], *(totals[arm] for arm in others), weight])
    of = _difference_from_sums(metric)
    whole = of(table.sum(0)[None])[0]
    resampled = of(resampled_sums(table, seed, resamples))
    left_out = of(table.sum(0) - table)
    adds = table[:, 1:-1] - table[:, :1]
    p = permutation_p(adds, seed, resamples)
    by_arm = {}
    for j, arm in enumerate(others):
        low, high = bca_interval(float(whole[j]), resampled[:, j], left_out[:, j], level)
        gain = adds[:, j] / weight
        good = gain > 0 if metric.best == MORE else gain < 0
        by_arm[arm] = Comparison(
            float(whole[j]),
            low,
            high,
            float(p[j]),
            _cohen(adds[:, j]),
            float(np.mean(good + (gain == 0) / 2)),
            _wilcoxon_p(gain),
            len(weight),
        )
    return by_arm


def _difference_from_sums(metric: Metric) -> Callable[[np.ndarray], np.ndarray]:
    """Sums `(rows, 1 + systems + 1)`, the weight last, to differences `(rows, systems)`."""

    def of(sums: np.ndarray) -> np.ndarray:
        means = sums[:, :-1] / sums[:, -1:]
        scores = metric.value(means) if metric.over_ratings else means
        return np.asarray(scores[:, 1:] - scores[:, :1])

    return of


def _cohen(x: np.ndarray) -> float:
    mean, spread = float(x.mean()), float(x.std(ddof=1))
    return mean / spread if spread > 0 else float(np.copysign(np.inf, mean) if mean else 0)


def _wilcoxon_p(gain: np.ndarray) -> float:
    return float(wilcoxon(gain).pvalue) if np.any(gain != 0) else 1.0


def _aligned(
    arms: dict[str, pd.DataFrame], reference: str, metric: Metric
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The users' weights, and each arm's totals in the same order of users."""
    tables = {name: _by_user(table, name, metric) for name, table in arms.items()}
    base = tables[reference]
    for name, table in tables.items():
        if not (table.index.equals(base.index) and np.allclose(table["n"], base["n"])):
            raise InputError(
                f"{name}: its users, or their numbers of ratings, are not those of {reference}: "
                "compare runs of the same test ratings, or leave it out"
            )
    if len(base) < 2:
        raise InputError(f"{reference}: {len(base)} users; a comparison needs at least two")
    totals = {n: table[metric.column].to_numpy(np.float64) for n, table in tables.items()}
    weight = base["n"].to_numpy(np.float64)
    if metric.over_ratings:
        return weight, totals
    if metric.by_user:
        totals = {name: metric.value(sums / weight) for name, sums in totals.items()}
    return np.ones(len(base)), totals


def _by_user(table: pd.DataFrame, name: str, metric: Metric) -> pd.DataFrame:
    """Lines indexed by user. Users without a value of a per-user metric are left out."""
    missing = {"user_id", "n", metric.column} - set(table.columns)
    if missing:
        raise InputError(f"{name}: users' lines have no column {', '.join(sorted(missing))}")
    lines = table.set_index("user_id")[["n", metric.column]].sort_index()
    if lines.index.has_duplicates:
        twice = lines.index[lines.index.duplicated()][0]
        raise InputError(f"{name}: user {twice} has several lines; make one of them by `pooled`")
    if metric.of_list:
        lines = lines.dropna()
    if not np.isfinite(lines.to_numpy(np.float64)).all() or not (lines["n"] > 0).all():
        raise InputError(f"{name}: {metric.column} of a user is not finite, or its n not positive")
    return lines
