"""Scores of predictive Gaussians against held-out ratings. NumPy arrays in, numbers out.

Gneiting & Raftery, "Strictly proper scoring rules, prediction, and estimation" (JASA 2007).
"""

import numpy as np
import pandas as pd
from scipy.stats import norm

from pmf.model.predictive import Prediction, interval

LEVELS = np.linspace(0.05, 0.95, 19)


def rmse(rating: np.ndarray, mean: np.ndarray) -> float:
    """Root mean squared error over ratings."""
    return float(np.sqrt(np.mean((rating - mean) ** 2)))


def mae(rating: np.ndarray, mean: np.ndarray) -> float:
    """Mean absolute error over ratings."""
    return float(np.mean(np.abs(rating - mean)))


def mean_over_users(score, user: np.ndarray, rating: np.ndarray, mean: np.ndarray) -> float:
    """The mean over users of `score(rating, mean)` of each one's ratings."""
    order = np.argsort(user, kind="stable")
    edges = np.flatnonzero(np.diff(user[order])) + 1
    parts = zip(np.split(rating[order], edges), np.split(mean[order], edges), strict=True)
    return float(np.mean([score(r, m) for r, m in parts]))


def log_density(rating: np.ndarray, prediction: Prediction) -> np.ndarray:
    """log N(r | mean, variance) of each rating, in nats. More is better."""
    return np.asarray(norm.logpdf(rating, prediction.mean, np.sqrt(prediction.variance)))


def crps(rating: np.ndarray, prediction: Prediction) -> np.ndarray:
    """Continuous ranked probability score of each rating, in rating units. Less is better.

    For a Gaussian, with z the standardised rating: sd (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi))
    (Gneiting & Raftery 2007, eq. 21, with the sign turned).
    """
    sd = np.sqrt(prediction.variance)
    z = (rating - prediction.mean) / sd
    return sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


def pit(rating: np.ndarray, prediction: Prediction) -> np.ndarray:
    """Probability integral transform of each rating: uniform on (0, 1) where calibrated."""
    return np.asarray(norm.cdf(rating, prediction.mean, np.sqrt(prediction.variance)))


def coverage(rating: np.ndarray, prediction: Prediction, level: float) -> float:
    """The share of ratings inside their central interval of probability `level`."""
    low, high = interval(prediction, level)
    return float(np.mean((low <= rating) & (rating <= high)))


def sharpness(prediction: Prediction, level: float) -> float:
    """The mean width of central intervals, in rating units. At equal coverage less is better."""
    low, high = interval(prediction, level)
    return float(np.mean(high - low))


def point_scores(rating: np.ndarray, mean: np.ndarray) -> dict[str, float]:
    """What a system without a variance can be scored by; `n` is the number of ratings."""
    rating, mean = (np.asarray(x, np.float64) for x in (rating, mean))
    return {"n": len(rating), "rmse": rmse(rating, mean), "mae": mae(rating, mean)}


def scores(rating: np.ndarray, prediction: Prediction) -> dict[str, float]:
    """Every score of a set of ratings; `n` is their number."""
    rating = np.asarray(rating, np.float64)
    prediction = Prediction(*(np.asarray(x, np.float64) for x in prediction))
    return {
        **point_scores(rating, prediction.mean),
        "log_density": float(np.mean(log_density(rating, prediction))),
        "crps": float(np.mean(crps(rating, prediction))),
        "coverage_50": coverage(rating, prediction, 0.5),
        "coverage_90": coverage(rating, prediction, 0.9),
        "sharpness_90": sharpness(prediction, 0.9),
    }


def user_scores(user: np.ndarray, rating: np.ndarray, mean: np.ndarray) -> dict[str, float]:
    """RMSE and MAE as means over users: a person counts once, however much they rate."""
    return {
        "user_rmse": mean_over_users(rmse, user, rating, mean),
        "user_mae": mean_over_users(mae, user, rating, mean),
    }


def user_sums(
    user: np.ndarray, rating: np.ndarray, mean: np.ndarray, variance: np.ndarray | None
) -> pd.DataFrame:
    """Each user's number of ratings and sums of errors, by user: what paired tests need.

    Columns `user_id, n, squared_error, absolute_error` and, with a variance, `log_density, crps`.
    """
    error = rating - mean
    columns = {"n": np.ones(len(rating), int), "squared_error": error**2}
    columns["absolute_error"] = np.abs(error)
    if variance is not None:
        columns["log_density"] = log_density(rating, Prediction(mean, variance))
        columns["crps"] = crps(rating, Prediction(mean, variance))
    return pd.DataFrame(columns).groupby(pd.Series(user, name="user_id")).sum().reset_index()


def pit_histogram(values: np.ndarray, bins: int = 20) -> pd.DataFrame:
    """The share of probability integral transforms in each of equal bins: flat where calibrated."""
    count, edges = np.histogram(values, bins, (0.0, 1.0))
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "share": count / len(values)})


def calibration(rating: np.ndarray, prediction: Prediction) -> pd.DataFrame:
    """Nominal against actual coverage of central intervals, and their mean width."""
    rows = [
        (level, coverage(rating, prediction, level), sharpness(prediction, level))
        for level in LEVELS
    ]
    return pd.DataFrame(rows, columns=["nominal", "actual", "width"])
