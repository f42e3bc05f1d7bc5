"""What each rating adds to a score of a predictive Gaussian. NumPy arrays in, numbers out.

Gneiting & Raftery, "Strictly proper scoring rules, prediction, and estimation" (JASA 2007).
"""

import numpy as np
import pandas as pd
from scipy.stats import norm

from pmf.model.predictive import Prediction, interval
from pmf.model.stars import cumulative, log_probabilities, nearest, probabilities

LEVELS = np.linspace(0.05, 0.95, 19)


def squared_error(rating: np.ndarray, prediction: Prediction) -> np.ndarray:
    """The squared distance of each rating from its predicted mean."""
    return np.asarray((rating - prediction.mean) ** 2)


def absolute_error(rating: np.ndarray, prediction: Prediction) -> np.ndarray:
    """The distance of each rating from its predicted mean."""
    return np.asarray(np.abs(rating - prediction.mean))


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
    return np.asarray(sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)))


def star_log_score(rating: np.ndarray, prediction: Prediction, stars: np.ndarray) -> np.ndarray:
    """log P(star) of each rating's own, in nats. More is better.

    Ordinal and Gaussian models have it alike: `pmf.model.stars`.
    """
    each = log_probabilities(prediction, stars)
    return np.asarray(np.take_along_axis(each, nearest(rating, stars)[:, None], 1)[:, 0])


def ranked_probability_score(
    rating: np.ndarray, prediction: Prediction, stars: np.ndarray
) -> np.ndarray:
    """Sum over stars of (P(at most this star) - whether it is so)^2, each times the distance to the
    next: the CRPS of the distribution over stars, in rating units. Less is better.

    Where stars are 1 apart it is that of Epstein (J. Appl. Meteorol. 1969), not divided by their
    number.
    """
    at_most = nearest(rating, stars)[:, None] <= np.arange(len(stars) - 1)
    squares = (cumulative(prediction, stars)[:, :-1] - at_most) ** 2
    return np.asarray(squares @ np.diff(stars))


def star_hit(rating: np.ndarray, prediction: Prediction, stars: np.ndarray) -> np.ndarray:
    """Whether each rating is the most probable star."""
    probable = np.argmax(log_probabilities(prediction, stars), 1)
    return np.asarray(probable == nearest(rating, stars))


def star_calibration(rating: np.ndarray, prediction: Prediction, stars: np.ndarray) -> pd.DataFrame:
    """How often each star is expected, and how often it is given."""
    given = np.bincount(nearest(rating, stars), minlength=len(stars)) / len(rating)
    expected = probabilities(prediction, stars).mean(0)
    return pd.DataFrame({"star": stars, "expected": expected, "given": given})


def inside(level: float, rating: np.ndarray, prediction: Prediction) -> np.ndarray:
    """Whether each rating is inside its central interval of probability `level`."""
    low, high = interval(prediction, level)
    return np.asarray((low <= rating) & (rating <= high))


def width(level: float, rating: np.ndarray, prediction: Prediction) -> np.ndarray:
    """The width of each central interval, in rating units. At equal coverage less is better."""
    low, high = interval(prediction, level)
    return np.asarray(high - low)


def pit(rating: np.ndarray, prediction: Prediction) -> np.ndarray:
    """Probability integral transform of each rating: uniform on (0, 1) where calibrated."""
    return np.asarray(norm.cdf(rating, prediction.mean, np.sqrt(prediction.variance)))


def pit_histogram(values: np.ndarray, bins: int = 20) -> pd.DataFrame:
    """The share of probability integral transforms in each of equal bins: flat where calibrated."""
    count, edges = np.histogram(values, bins, (0.0, 1.0))
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "share": count / len(values)})


def calibration(rating: np.ndarray, prediction: Prediction) -> pd.DataFrame:
    """Nominal against actual coverage of central intervals, and their mean width."""
    rows = [
        (level, *(float(np.mean(of(level, rating, prediction))) for of in (inside, width)))
        for level in LEVELS
    ]
    return pd.DataFrame(rows, columns=["nominal", "actual", "width"])
