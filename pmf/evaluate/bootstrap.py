"""Intervals of one model's scores: users drawn again, with replacement.

A person's ratings are not independent, so whole users are resampled (Efron & Tibshirani 1993), and
the intervals are bias-corrected and accelerated (`pmf.evaluate.resampling.bca_interval`). They say
how much a score depends on who was asked, not on the split or the seed of a fit.
"""

import numpy as np
import pandas as pd

from pmf.errors import InputError
from pmf.evaluate.metrics import added, of_ratings
from pmf.evaluate.resampling import bca_interval, resampled_sums

LEVEL = 0.95
COLUMNS = ["metric", "value", "low", "high"]


def score_intervals(
    user: np.ndarray,
    rating: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray | None,
    stars: np.ndarray | None,
    resamples: int,
    seed: int = 0,
) -> pd.DataFrame:
    """Each score of `n` ratings with its 95 % interval: columns `metric, value, low, high`.

    `user (n,)` numbers the users from 0. With `resamples=0` there are no rows. Deterministic in
    `seed`. Raises `InputError` for fewer than two users, or resamples below 0.
    """
    if resamples < 0:
        raise InputError(f"bootstrap={resamples}: a number of resamples, such as 1000, or 0")
    if not resamples:
        return pd.DataFrame(columns=COLUMNS)
    if (users := int(user.max()) + 1) < 2:
        raise InputError(f"bootstrap={resamples}: {users} user; at least two can be resampled")

    metrics = dict(of_ratings(variance is not None, stars is not None))
    number, columns = np.bincount(user), []
    for metric in metrics.values():
        sums = np.bincount(user, added(metric, rating, mean, variance, stars))
        columns.append(metric.value(sums / number) if metric.by_user else sums)
    table = np.column_stack([*columns, number, np.ones(users)])

    def scores(sums: np.ndarray) -> np.ndarray:
        """Rows of sums over users, the numbers of ratings and of users last, to rows of scores."""
        return np.stack(
            [
                metric.value(sums[:, j] / sums[:, -2])
                if metric.over_ratings
                else sums[:, j] / sums[:, -1]
                for j, metric in enumerate(metrics.values())
            ],
            1,
        )

    whole = scores(table.sum(0)[None])[0]
    resampled = scores(resampled_sums(table, seed, resamples))
    left_out = scores(table.sum(0) - table)
    rows = [
        (name, whole[j], *bca_interval(float(whole[j]), resampled[:, j], left_out[:, j], LEVEL))
        for j, name in enumerate(metrics)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
