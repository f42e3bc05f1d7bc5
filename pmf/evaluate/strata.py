"""Every score by strata of how much is known: user history length and item popularity."""

import numpy as np
import pandas as pd

from pmf.evaluate.scores import scores, user_scores
from pmf.predictive import Prediction

EDGES = (0, 1, 5, 20, 100, 500)  # training ratings: 0, 1-4, 5-19, 20-99, 100-499, 500 and more


def labels() -> list[str]:
    """The names of the strata, from none to many."""
    names = [
        str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in zip(EDGES, EDGES[1:], strict=False)
    ]
    return [*names, f"{EDGES[-1]}+"]


def stratified(
    user: np.ndarray, rating: np.ndarray, prediction: Prediction, count: np.ndarray
) -> pd.DataFrame:
    """All scores within each stratum of `count`, the training ratings of a pair's user or item."""
    level = np.searchsorted(EDGES, count, side="right") - 1
    rows = []
    for j, label in enumerate(labels()):
        held = level == j
        if held.any():
            part = Prediction(prediction.mean[held], prediction.variance[held])
            by_user = user_scores(user[held], rating[held], part.mean)
            rows.append({"stratum": label, **scores(rating[held], part), **by_user})
    return pd.DataFrame(rows)
