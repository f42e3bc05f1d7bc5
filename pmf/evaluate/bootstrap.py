"""Intervals of one model's scores: users drawn again, with replacement.

A person's ratings are not independent, so whole users are resampled (Efron & Tibshirani 1993), and
the intervals are bias-corrected and accelerated (`pmf.evaluate.resampling.bca_interval`). They say
how much a score depends on who was asked, not on the split or the seed of a fit.
"""

import numpy as np
import pandas as pd

from pmf.errors import InputError
from pmf.evaluate.resampling import bca_interval, resampled_sums
from pmf.evaluate.scores import crps, log_density
from pmf.model.predictive import Prediction, interval

LEVEL = 0.95
COLUMNS = ["metric", "value", "low", "high"]


def score_intervals(
    user: np.ndarray,
    rating: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray | None,
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

    number = np.bincount(user)
    squared = np.bincount(user, (rating - mean) ** 2)
    absolute = np.bincount(user, np.abs(rating - mean))
    sums = {"rmse": squared, "mae": absolute}
    if variance is not None:
        each = _probabilistic(rating, Prediction(mean, variance))
        sums |= {name: np.bincount(user, values) for name, values in each.items()}
    by_user = {"user_rmse": np.sqrt(squared / number), "user_mae": absolute / number}
    table = np.column_stack([*sums.values(), *by_user.values(), number, np.ones(users)])

    whole = _scores(table.sum(0)[None], len(sums))[0]
    resampled = _scores(resampled_sums(table, seed, resamples), len(sums))
    left_out = _scores(table.sum(0) - table, len(sums))
    rows = [
        (name, whole[j], *bca_interval(float(whole[j]), resampled[:, j], left_out[:, j], LEVEL))
        for j, name in enumerate([*sums, *by_user])
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _probabilistic(rating: np.ndarray, prediction: Prediction) -> dict[str, np.ndarray]:
    """What each rating adds to the scores of a system with a variance."""

    def inside(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return (low <= rating) & (rating <= high)

    half, most = interval(prediction, 0.5), interval(prediction, 0.9)
    return {
        "log_density": log_density(rating, prediction),
        "crps": crps(rating, prediction),
        "coverage_50": inside(*half),
        "coverage_90": inside(*most),
        "sharpness_90": most[1] - most[0],
    }


def _scores(sums: np.ndarray, over_ratings: int) -> np.ndarray:
    """A row of sums over users, the numbers of ratings and of users last, to a row of scores.

    The first `over_ratings` are means over ratings, the first of them under a root: the RMSE.
    """
    means = np.concatenate(
        [sums[:, :over_ratings] / sums[:, -2:-1], sums[:, over_ratings:-2] / sums[:, -1:]], 1
    )
    means[:, 0] = np.sqrt(np.maximum(means[:, 0], 0))
    return means
