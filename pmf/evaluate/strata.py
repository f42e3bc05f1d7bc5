"""Every score by strata of how much is known: user history length and item popularity."""

import numpy as np
import pandas as pd

from pmf.evaluate.metrics import all_scores

EDGES = (0, 1, 5, 20, 100, 500)  # training ratings: 0, 1-4, 5-19, 20-99, 100-499, 500 and more


def labels() -> list[str]:
    """The names of the strata, from none to many."""
    names = [
        str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in zip(EDGES, EDGES[1:], strict=False)
    ]
    return [*names, f"{EDGES[-1]}+"]


def stratified(
    user: np.ndarray,
    rating: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray | None,
    stars: np.ndarray | None,
    count: np.ndarray,
) -> pd.DataFrame:
    """All scores within each stratum of `count`, the training ratings of a pair's user or item."""
    level = np.searchsorted(EDGES, count, side="right") - 1
    rows = []
    for j, label in enumerate(labels()):
        in_level = level == j
        if in_level.any():
            spread = None if variance is None else variance[in_level]
            inside = user[in_level], rating[in_level], mean[in_level]
            part = all_scores(*inside, spread, stars)
            rows.append({"stratum": label, **part})
    return pd.DataFrame(rows)
