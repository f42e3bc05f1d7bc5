"""Train and test parts of a frame of ratings, deterministic by seed, named as LensKit names them.

Every function takes any table that `fit` takes and gives `Split`s of it: frames of its rows, in
their order, with all its columns as they are. Times are read as `pmf.data.times` says. A cut in
time treats the ratings of its own moment in one of two ways:

- where all ratings are cut at one time (`split_at_time`, `split_global_time`) they are test, so
  that no moment is on both sides;
- where each user's are cut at a number of them (`last_n`, `last_fraction`), of equal times those
  later in the frame are later; where that leaves a moment on both sides, one `SplitMomentWarning`
  counts the users.
"""

import hashlib
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.data.checks import rows_of
from pmf.data.columns import ALIASES, REQUIRED, canonical_columns
from pmf.data.frames import pairs, select
from pmf.data.ids import Ids, factorize
from pmf.data.tables import Table, as_frame
from pmf.data.times import moment, to_seconds, written
from pmf.errors import InputError

SOURCE = "the frame"


class SplitMomentWarning(UserWarning):
    """Ratings of one user at one moment are on both sides of a split by time."""


class Split(NamedTuple):
    """Two disjoint parts of a frame."""

    train: pd.DataFrame
    test: pd.DataFrame

    def __repr__(self) -> str:
        return f"Split(train: {len(self.train):,} ratings, test: {len(self.test):,})"

    @property
    def hash(self) -> str:
        """16 hex digits that change with any rating of either part, or with their order."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            columns = select(part, REQUIRED, SOURCE)[list(REQUIRED)]
            digest.update(pd.util.hash_pandas_object(columns, index=False).to_numpy().tobytes())
            digest.update(b"|")
        return digest.hexdigest()[:16]


def _split(frame: pd.DataFrame, test: np.ndarray) -> Split:
    if test.all() or not test.any():
        raise InputError(
            f"the split leaves {'no training' if test.all() else 'no test'} ratings of {len(frame)}"
        )
    return Split(frame[~test].reset_index(drop=True), frame[test].reset_index(drop=True))


def sample_records(frame: Table, fraction: float, seed: int) -> Split:
    """A random `fraction` of the ratings as test."""
    frame = as_frame(frame, SOURCE)
    check_fraction(fraction)
    rng = np.random.default_rng(seed)
    test = np.zeros(len(frame), bool)
    test[rng.permutation(len(frame))[: round(fraction * len(frame))]] = True
    return _split(frame, test)


def crossfold_records(frame: Table, partitions: int, seed: int) -> list[Split]:
    """k-fold: each rating is in exactly one of `partitions` test parts."""
    frame = as_frame(frame, SOURCE)
    if not 2 <= partitions <= len(frame):
        raise InputError(f"partitions={partitions}: between 2 and the {len(frame)} ratings")
    rng = np.random.default_rng(seed)
    fold = rng.permutation(np.arange(len(frame)) % partitions)
    return [_split(frame, fold == j) for j in range(partitions)]


def assigned_folds(frame: Table, assignment: Table) -> list[Split]:
    """Folds fixed elsewhere: `assignment` has columns user_id, item_id (or aliases) and fold."""
    frame, assignment = as_frame(frame, SOURCE), as_frame(assignment, "the folds")
    if "fold" not in assignment:
        raise InputError("the folds: no column fold; it says which part each pair is in")
    keys, assigned = pairs(frame), pairs(assignment, "the folds")
    sides = {name: Ids(factorize(keys[name], SOURCE)[1]) for name in keys}
    keys, assigned = (
        pd.DataFrame({name: ids.codes(table[name]) for name, ids in sides.items()})
        for table in (keys, assigned)
    )
    assigned["fold"] = assignment["fold"].to_numpy()
    fold = keys.merge(assigned, on=[*sides], how="left")["fold"]
    if len(fold) != len(frame) or fold.isna().any():
        raise InputError(
            f"the folds assign {int(fold.notna().sum())} rows to {len(frame)} ratings; "
            "they must name each (user, item) pair once"
        )
    return [_split(frame, (fold == j).to_numpy()) for j in np.sort(fold.unique())]


def sample_n(frame: Table, n: int, seed: int) -> Split:
    """`n` random ratings of each user as test; a user with n or fewer stays in training whole."""
    frame = as_frame(frame, SOURCE)
    history = _history(frame, np.random.default_rng(seed).random(len(frame)))
    return _split(frame, history.latest(_n_each(n, history)))


def sample_fraction(frame: Table, fraction: float, seed: int) -> Split:
    """A random `fraction` of each user's ratings as test, rounded, and never all of them."""
    frame = as_frame(frame, SOURCE)
    history = _history(frame, np.random.default_rng(seed).random(len(frame)))
    return _split(frame, history.latest(_fraction_each(fraction, history)))


def last_n(frame: Table, n: int) -> Split:
    """Each user's `n` latest ratings as test; a user with n or fewer stays in training whole."""
    frame = as_frame(frame, SOURCE)
    history = _history(frame, _time(frame))
    return _split(frame, _checked_moments(history, history.latest(_n_each(n, history))))


def last_fraction(frame: Table, fraction: float) -> Split:
    """The latest `fraction` of each user's ratings as test, rounded, and never all of them."""
    frame = as_frame(frame, SOURCE)
    history = _history(frame, _time(frame))
    return _split(
        frame, _checked_moments(history, history.latest(_fraction_each(fraction, history)))
    )


class _History(NamedTuple):
    """Each rating's user as a number and its place in the user's order, from 1 for the latest."""

    user: np.ndarray
    order: np.ndarray  # what the ratings are ordered by
    place: np.ndarray
    size: np.ndarray  # of the user's ratings

    def latest(self, number: np.ndarray) -> np.ndarray:
        """Whether each rating is among its user's `number` latest."""
        return self.place <= number


def _history(frame: pd.DataFrame, order: np.ndarray) -> _History:
    """Of ratings that are equal in `order` the later ones of the frame are later."""
    user = pairs(frame)["user_id"].factorize()[0]
    back = np.lexsort((order, user))[::-1]  # stable: by user, and from the latest
    count = np.bincount(user)
    start = len(user) - np.cumsum(count)  # of each user in that order
    place = np.empty(len(user), np.int64)
    place[back] = np.arange(len(user)) - start[user[back]] + 1
    return _History(user, order, place, count[user])


def _n_each(n: int, history: _History) -> np.ndarray:
    if n < 1:
        raise InputError(f"n={n}: at least one test rating per user")
    return np.where(history.size > n, n, 0)


def _fraction_each(fraction: float, history: _History) -> np.ndarray:
    check_fraction(fraction)
    return np.asarray(np.minimum(np.rint(fraction * history.size), history.size - 1))


def _checked_moments(history: _History, test: np.ndarray) -> np.ndarray:
    """The rows as they are; a warning where a user's ratings of one moment are on both sides."""
    users = pd.DataFrame({"user": history.user, "time": history.order})
    first = users[test].groupby("user")["time"].min()
    last = users[~test].groupby("user")["time"].max()
    cut = int((first == last.reindex(first.index)).sum())
    if cut:
        warnings.warn(
            f"{cut:,} of {len(first):,} users have ratings of one moment on both sides "
            "of the split: of these the later ones of the frame are test; for a cut between "
            "moments use split_at_time or split_global_time",
            SplitMomentWarning,
            stacklevel=3,
        )
    return test


def split_global_time(frame: Table, fraction: float) -> Split:
    """The latest `fraction` of all ratings as test: train on the past, predict the future.

    Ratings that share the cutting moment are all test, so that none is on both sides: where many
    do, as with times to the day, the test part is larger than `fraction`.
    """
    frame = as_frame(frame, SOURCE)
    check_fraction(fraction)
    time = _time(frame)
    return _split(frame, time >= np.quantile(time, 1 - fraction, method="lower"))


def split_at_time(frame: Table, at: object) -> Split:
    """Ratings at the moment `at` and later as test, those before it as training.

    `at` is a date, a datetime, ISO text (`2015-01-01`; without a zone of UTC) or seconds since
    1970. Raises `InputError` where no rating is on one of the sides.
    """
    frame = as_frame(frame, SOURCE)
    cut, time = moment(at), _time(frame)
    test = time >= cut
    if test.all() or not test.any():
        side = "before" if test.all() else "at or after"
        raise InputError(
            f"at={at}: no rating is {side} {written(cut)}; the {len(time):,} ratings are from "
            f"{written(time.min())} to {written(time.max())}"
        )
    return _split(frame, test)


def sample_users(frame: Table, users: int, given: int, seed: int) -> Split:
    """Cold start: of `users` random users, `given` random ratings are training, the rest test."""
    frame = as_frame(frame, SOURCE)
    rng = np.random.default_rng(seed)
    user = pairs(frame)["user_id"]
    ids = user.unique()
    if not 1 <= users < len(ids) or given < 0:
        raise InputError(
            f"users={users}, given={given}: between 1 and {len(ids) - 1} users, 0 or more ratings"
        )
    chosen = user.isin(ids[rng.permutation(len(ids))[:users]])
    order = pd.Series(rng.random(len(frame)))
    rank = order.groupby(user.to_numpy()).rank(method="first")
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
    in_share = np.zeros(n, bool)
    in_share[np.random.default_rng([seed, n]).permutation(n)[: round(share * n)]] = True
    return split._replace(train=split.train[in_share].reset_index(drop=True))


def sample_items(frame: Table, fraction: float, seed: int) -> Split:
    """Cold start: all ratings of a random `fraction` of the items as test, so none in training."""
    frame = as_frame(frame, SOURCE)
    check_fraction(fraction)
    item = pairs(frame)["item_id"]
    ids = item.unique()
    chosen = np.random.default_rng(seed).permutation(len(ids))[: round(fraction * len(ids))]
    return _split(frame, item.isin(ids[chosen]).to_numpy())


def check_fraction(fraction: float) -> None:
    """Raise `InputError` for what is no part of the ratings."""
    if not 0 < fraction < 1:
        raise InputError(f"fraction={fraction}: a test fraction lies between 0 and 1")


def _time(frame: pd.DataFrame) -> np.ndarray:
    """The ratings' times as seconds since 1970. Raises `InputError` where one has none."""
    names = [str(name) for name in frame.columns]
    if "timestamp" not in canonical_columns(names, (), SOURCE).values():
        raise InputError(
            f"a split by time needs a column timestamp, which may be called "
            f"{', '.join(ALIASES['timestamp'])}; the frame has {names[:60]}: add one, or split at "
            "random (sample_records, sample_n, sample_fraction)"
        )
    return to_seconds(select(frame, ("timestamp",), SOURCE)["timestamp"], rows_of(SOURCE))
