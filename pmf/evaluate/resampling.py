"""Statistics of paired differences: resampled users, exchanged systems, corrected p-values.

Arrays in, numbers out. Everything is deterministic in `seed`, and holds some tens of megabytes
however many users there are.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from pmf.errors import InputError

CELLS = 1 << 22  # resampled users held at once


class Interval(NamedTuple):
    """A mean with its confidence interval, and the p-value of a true mean of zero."""

    mean: float
    low: float
    high: float
    p: float


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down p-values (Holm 1979): max over j <= i of min(1, (m - j + 1) p_(j)).

    They bound the chance of even one false claim. Where a share of false claims may be borne,
    `scipy.stats.false_discovery_control` has Benjamini and Hochberg's.
    """
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def mean_interval(values: np.ndarray, test_over_train: float = 0, level: float = 0.95) -> Interval:
    """Student's t interval of the mean of differences over seeds, or over folds.

        mean +- t_(J-1) sqrt((1/J + n_test / n_train) s^2)

    `test_over_train` is zero for independent runs. Folds share training ratings and are not
    independent: there it is n_test / n_train, 1 / (k - 1) for k folds (Nadeau & Bengio, "Inference
    for the generalization error", Machine Learning 2003, section 3.2: the corrected resampled t).
    """
    values = np.asarray(values, np.float64)
    count = len(values)
    if count < 2:
        raise InputError(f"{count} values: an interval over seeds or folds needs at least two")
    mean, spread = values.mean(), np.sqrt((1 / count + test_over_train) * values.var(ddof=1))
    if spread == 0:
        return Interval(mean, mean, mean, float(mean == 0))
    half = student.ppf((1 + level) / 2, count - 1) * spread
    p = 2 * student.sf(abs(mean) / spread, count - 1)
    return Interval(float(mean), float(mean - half), float(mean + half), float(p))


def bca_interval(
    estimate: float, resampled: np.ndarray, left_out: np.ndarray, level: float
) -> tuple[float, float]:
    """The bias-corrected and accelerated bootstrap interval (Efron 1987).

    alpha' = Phi(z0 + (z0 + z) / (1 - a (z0 + z))), with z0 the bias correction from the share of
    `resampled` below the estimate, and the acceleration a from the skewness of `left_out`, the
    estimates that leave one user out.
    """
    pull = left_out.mean() - left_out
    spread = np.sum(pull**2)
    if spread == 0:
        return estimate, estimate
    below = np.mean(resampled < estimate) / 2 + np.mean(resampled <= estimate) / 2
    edge = 1 / (len(resampled) + 1)
    bias = ndtri(np.clip(below, edge, 1 - edge))
    skew = np.sum(pull**3) / (6 * spread**1.5)
    z = bias + ndtri(np.array([1 - level, 1 + level]) / 2)
    low, high = np.quantile(resampled, ndtr(bias + z / (1 - skew * z)))
    return float(low), float(high)


def permutation_p(difference: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Two-sided p-values of no difference, by exchanging the systems within users.

    `difference (users, systems)` is what each user adds to the compared sum. Exchanging the two
    systems for a user flips a sign; with both on the same ratings the two sums' total is fixed, so
    this is the test of the difference of means and of root means alike. p = (1 + as extreme) /
    (1 + resamples), never zero (Phipson & Smyth 2010).
    """
    observed = np.abs(difference.sum(0))
    rounding = 1e-12 * np.abs(difference).sum(0)  # a tie in exact arithmetic is a tie
    extreme = np.zeros(len(observed))
    rng = np.random.default_rng(seed)
    for rows in _blocks(resamples, len(difference)):
        bits = np.unpackbits(rng.integers(0, 256, (rows, -(-len(difference) // 8)), np.uint8), 1)
        signs = bits[:, : len(difference)].astype(np.float64)
        flipped = 2 * signs @ difference - difference.sum(0)
        extreme += np.sum(np.abs(flipped) >= observed - rounding, 0)
    return (1 + extreme) / (1 + resamples)


def resampled_sums(columns: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Sums `(resamples, columns)` over users drawn with replacement, the same for all columns."""
    num_users = len(columns)
    rng, sums = np.random.default_rng(seed), []
    for rows in _blocks(resamples, num_users):
        drawn = rng.integers(0, num_users, (rows, num_users)) + num_users * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * num_users).reshape(rows, num_users)
        sums.append(times.astype(np.float64) @ columns)
    return np.concatenate(sums)


def _blocks(resamples: int, num_users: int) -> Iterator[int]:
    size = max(1, CELLS // num_users)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
