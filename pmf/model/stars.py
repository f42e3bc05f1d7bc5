"""The probability of each star under a predictive Gaussian: its mass between midpoints.

Stars are the few values that ratings have, ascending. To the lowest belongs all below the first
midpoint, to the highest all above the last, so the probabilities of a rating sum to 1.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_ndtr, ndtr

from pmf.model.predictive import Prediction

MOST = 20  # values up to which ratings are stars
OFTEN = 3  # ratings a value at the least: fewer may be numbers of any kind


def stars_of(rating: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"] | None:
    """The distinct values of ratings, ascending; None where they are one, more than `MOST`, or each
    is too rare to be a star.
    """
    stars = np.unique(rating)
    return stars if 1 < len(stars) <= min(MOST, len(rating) / OFTEN) else None


def midpoints(stars: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k-1"]:
    """Where one star ends and the next begins."""
    return np.asarray((stars[1:] + stars[:-1]) / 2)


def nearest(
    rating: Float[np.ndarray, " n"], stars: Float[np.ndarray, " k"]
) -> Int[np.ndarray, " n"]:
    """The place of the star of each rating."""
    return np.searchsorted(midpoints(stars), rating)


def edges(prediction: Prediction, stars: Float[np.ndarray, " k"]) -> Float[np.ndarray, "n k+1"]:
    """Where the stars of each pair begin and end, standardised by its Gaussian."""
    mean, sd = prediction.mean[:, None], np.sqrt(prediction.variance)[:, None]
    ends = np.full((len(mean), 1), np.inf)
    return np.concatenate([-ends, (midpoints(stars) - mean) / sd, ends], 1)


def cumulative(prediction: Prediction, stars: Float[np.ndarray, " k"]) -> Float[np.ndarray, "n k"]:
    """P(rating at most each star)."""
    return np.asarray(ndtr(edges(prediction, stars)[:, 1:]))


def probabilities(
    prediction: Prediction, stars: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "n k"]:
    """P(each star)."""
    return np.asarray(np.exp(log_probabilities(prediction, stars)))


def log_probabilities(
    prediction: Prediction, stars: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "n k"]:
    """log P(each star), exact far from the mean: of two edges above it the upper tails differ."""
    z = edges(prediction, stars)
    low, high = z[:, :-1], z[:, 1:]
    is_above = low > 0
    low, high = np.where(is_above, -high, low), np.where(is_above, -low, high)
    below = log_ndtr(high)
    return np.asarray(below + np.log1p(-np.exp(log_ndtr(low) - below)))
