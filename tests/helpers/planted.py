"""Ratings that come from items' genres and from tastes beyond them; some items nobody has rated."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.data.features import item_features

USERS, ITEMS, COLD = 60, 90, 20  # the last `COLD` items are rated in `cold` only
GENRES = [f"G{j}" for j in range(6)]
NOISE = 0.5
_rng = np.random.default_rng(4)
FLAGS = np.eye(6, dtype=bool)[_rng.integers(0, 6, ITEMS)] | (_rng.random((ITEMS, 6)) < 0.2)
MOVIES = pd.DataFrame(
    {
        "item_id": [f"m{j}" for j in range(ITEMS)],
        "genres": ["|".join(np.array(GENRES)[row]) for row in FLAGS],
    }
)
FEATURES = item_features(MOVIES)


class Planted(NamedTuple):
    """`warm` is to learn from; `later` are other ratings of the same items, `cold` of new ones."""

    warm: pd.DataFrame
    later: pd.DataFrame
    cold: pd.DataFrame
    tastes: dict[str, np.ndarray]  # of each user, for the genres


@cache
def planted_frame(beyond: float = 0.0) -> Planted:
    """A user's taste for a genre is N(0, 1); `beyond` is the spread of what no genre explains."""
    rng = np.random.default_rng(5)
    tastes = rng.normal(size=(USERS, len(GENRES)))
    x = FLAGS / np.sqrt(FLAGS.sum(1, keepdims=True))
    mean = 3.5 + tastes @ (x - x.mean(0)).T
    mean += beyond * rng.normal(size=(USERS, 1)) * rng.normal(size=ITEMS)
    user, item = (x.ravel() for x in np.meshgrid(np.arange(USERS), np.arange(ITEMS)))
    frame = pd.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "item_id": [f"m{i}" for i in item],
            "rating": rng.normal(mean[user, item], NOISE),
        }
    )
    chance, is_new = rng.random(len(frame)), item >= ITEMS - COLD
    parts = (~is_new & (chance < 0.4), ~is_new & (chance > 0.8), is_new & (chance < 0.5))
    frames = (frame[part].reset_index(drop=True) for part in parts)
    return Planted(*frames, {f"u{u}": row for u, row in enumerate(tastes)})


def agreement(model) -> float:
    """The mean correlation of profiles with the tastes that `planted_frame` drew."""
    names = [f"genre: {genre}" for genre in GENRES]
    tastes = planted_frame().tastes.items()
    correlations = [np.corrcoef(taste, model.profile(user)[names])[0, 1] for user, taste in tastes]
    return float(np.mean(correlations))
