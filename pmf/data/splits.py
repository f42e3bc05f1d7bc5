"""Train and test parts of a frame of ratings, deterministic by seed, named as LensKit names them.

Every function takes a tidy frame and gives `Split`s of it; row order within a part is kept.
"""

import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.errors import InputError


class Split(NamedTuple):
    """Two disjoint parts of a frame."""

    train: pd.DataFrame
    test: pd.DataFrame

    @property
    def hash(self) -> str:
        """16 hex digits that change with any rating of either part, or with their order."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            columns = part[["user_id", "item_id", "rating"]]
            digest.update(pd.util.hash_pandas_object(columns, index=False).to_numpy().tobytes())
            digest.update(b"|")
        return digest.hexdigest()[:16]


def _split(frame: pd.DataFrame, test: np.ndarray) -> Split:
    if test.all() or not test.any():
        raise InputError(
            f"the split leaves {'no training' if test.all() else 'no test'} ratings of {len(frame)}"
        )
    return Split(frame[~test].reset_index(drop=True), frame[test].reset_index(drop=True))


def sample_records(frame: pd.DataFrame, fraction: float, seed: int) -> Split:
    """A random `fraction` of the ratings as test."""
    if not 0 < fraction < 1:
        raise InputError(f"fraction={fraction}: a test fraction lies between 0 and 1")
    rng = np.random.default_rng(seed)
    test = np.zeros(len(frame), bool)
    test[rng.permutation(len(frame))[: round(fraction * len(frame))]] = True
    return _split(frame, test)


def crossfold_records(frame: pd.DataFrame, partitions: int, seed: int) -> list[Split]:
    """k-fold: each rating is in exactly one of `partitions` test parts."""
    if not 2 <= partitions <= len(frame):
        raise InputError(f"partitions={partitions}: between 2 and the {len(frame)} ratings")
    rng = np.random.default_rng(seed)
    fold = rng.permutation(np.arange(len(frame)) % partitions)
    return [_split(frame, fold == j) for j in range(partitions)]


def assigned_folds(frame: pd.DataFrame, assignment: pd.DataFrame) -> list[Split]:
    """Folds fixed elsewhere: `assignment` has columns user_id, item_id, fold."""
    keys = ["user_id", "item_id"]
    try:
        fold = frame[keys].merge(assignment[[*keys, "fold"]], on=keys, how="left")["fold"]
    except ValueError as error:
        raise InputError(
            f"the folds' ids are of another type than the ratings' ({error})"
        ) from error
    if len(fold) != len(frame) or fold.isna().any():
        raise InputError(
            f"the folds assign {int(fold.notna().sum())} rows to {len(frame)} ratings; "
            "they must name each (user, item) pair once"
        )
    return [_split(frame, (fold == j).to_numpy()) for j in np.sort(fold.unique())]


def sample_n(frame: pd.DataFrame, n: int, seed: int) -> Split:
    """`n` random ratings of each user as test; a user with n or fewer stays in training whole."""
    rng = np.random.default_rng(seed)
    return _split(frame, _last_of_user(frame, rng.random(len(frame)), n))


def last_n(frame: pd.DataFrame, n: int) -> Split:
    """Each user's `n` latest ratings as test; a user with n or fewer stays in training whole."""
    return _split(frame, _last_of_user(frame, _time(frame), n))


def _last_of_user(frame: pd.DataFrame, order: np.ndarray, n: int) -> np.ndarray:
    if n < 1:
        raise InputError(f"n={n}: at least one test rating a user")
    users = frame["user_id"]
    rank = pd.Series(order).groupby(users.to_numpy()).rank(method="first", ascending=False)
    count = users.map(users.value_counts()).to_numpy()
    return (rank.to_numpy() <= n) & (count > n)


def split_global_time(frame: pd.DataFrame, fraction: float) -> Split:
    """The latest `fraction` of all ratings as test: train on the past, predict the future.

    Ratings that share the cutting timestamp are all test, so that no second is on both sides.
    """
    if not 0 < fraction < 1:
        raise InputError(f"fraction={fraction}: a test fraction lies between 0 and 1")
    time = _time(frame)
    return _split(frame, time >= np.quantile(time, 1 - fraction, method="lower"))


def sample_users(frame: pd.DataFrame, users: int, given: int, seed: int) -> Split:
    """Cold start: of `users` random users, `given` random ratings are training, the rest test."""
    rng = np.random.default_rng(seed)
    ids = frame["user_id"].unique()
    if not 1 <= users < len(ids) or given < 0:
        raise InputError(
            f"users={users}, given={given}: between 1 and {len(ids) - 1} users, 0 or more ratings"
        )
    chosen = frame["user_id"].isin(ids[rng.permutation(len(ids))[:users]])
    order = pd.Series(rng.random(len(frame)))
    rank = order.groupby(frame["user_id"].to_numpy()).rank(method="first")
    return _split(frame, chosen.to_numpy() & (rank.to_numpy() > given))


def keep_share(split: Split, share: float, seed: int) -> Split:
    """A random `share` of the training ratings kept, the test part untouched.

    A smaller share is part of a larger one with the same seed. A share of 1 is the split itself.
    """
    if not 0 < share <= 1:
        raise InputError(f"keep={share}: a share of the training ratings, above 0 and up to 1")
    n = len(split.train)
    if round(share * n) < 1:
        raise InputError(f"keep={share} of {n} training ratings leaves none")
    kept = np.zeros(n, bool)
    kept[np.random.default_rng([seed, n]).permutation(n)[: round(share * n)]] = True
    return split._replace(train=split.train[kept].reset_index(drop=True))


def sample_items(frame: pd.DataFrame, fraction: float, seed: int) -> Split:
    """Cold start: all ratings of a random `fraction` of the items as test, so none in training."""
    if not 0 < fraction < 1:
        raise InputError(f"fraction={fraction}: a share of the items, between 0 and 1")
    ids = frame["item_id"].unique()
    chosen = np.random.default_rng(seed).permutation(len(ids))[: round(fraction * len(ids))]
    return _split(frame, frame["item_id"].isin(ids[chosen]).to_numpy())


def _time(frame: pd.DataFrame) -> np.ndarray:
    if "timestamp" not in frame:
        raise InputError("a split by time needs a column timestamp")
    return frame["timestamp"].to_numpy()
