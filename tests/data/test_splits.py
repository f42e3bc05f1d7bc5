"""Splits of what `fit` accepts, by brute force. Catches: a rating of the future in training, text
or units sorted as they are written, the wrong side of the cutting moment, the first of a tie taken
for the last, a column lost, a row of the frame's index, a leak planted among ties."""

import datetime as dt
import inspect
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from pmf.data import splits
from pmf.data.frames import checked
from pmf.data.splits import Split, SplitMomentWarning
from pmf.data.tables import as_frame
from pmf.errors import InputError

ALIASED = {"user_id": "userId", "item_id": "movieId", "rating": "score", "timestamp": "ts"}


def ratings(seed: int = 0, n: int = 400, users: int = 12, moments: int = 10**6) -> pd.DataFrame:
    """Distinct pairs of users with few and many ratings, at some of `moments` seconds, in no
    order, with a column of the person's own and an index that does not count from 0."""
    rng = np.random.default_rng(seed)
    user = np.minimum(rng.geometric(0.25, n), users)
    frame = pd.DataFrame({"user_id": user, "item_id": rng.integers(0, 90, n)}).drop_duplicates()
    n = len(frame)
    frame["rating"] = rng.integers(1, 11, n) / 2
    frame["timestamp"] = 1_100_000_000 + 86_400 * rng.integers(0, moments, n) // 1000
    return frame.assign(note=[f"row {j}" for j in range(n)]).sample(frac=1, random_state=seed)


def rows(part: pd.DataFrame) -> list[str]:
    return part["note"].tolist()


SPLITS = {
    "sample_records": lambda frame: splits.sample_records(frame, 0.2, 1),
    "crossfold_records": lambda frame: splits.crossfold_records(frame, 4, 1)[1],
    "assigned_folds": lambda frame: splits.assigned_folds(frame, folds(frame))[0],
    "sample_n": lambda frame: splits.sample_n(frame, 2, 1),
    "sample_fraction": lambda frame: splits.sample_fraction(frame, 0.3, 1),
    "last_n": lambda frame: splits.last_n(frame, 2),
    "last_fraction": lambda frame: splits.last_fraction(frame, 0.3),
    "split_global_time": lambda frame: splits.split_global_time(frame, 0.2),
    "split_at_time": lambda frame: splits.split_at_time(frame, "2006-01-01"),
    "sample_users": lambda frame: splits.sample_users(frame, 4, 3, 1),
    "sample_items": lambda frame: splits.sample_items(frame, 0.2, 1),
}
BY_TIME = "last_n", "last_fraction", "split_global_time", "split_at_time"


def folds(frame: pd.DataFrame) -> pd.DataFrame:
    frame = as_frame(frame)
    ids = [name for name in frame if name in ("user_id", "item_id", "userId", "movieId")]
    return frame[ids].assign(fold=np.arange(len(frame)) % 2).rename(columns={"userId": "user"})


def test_every_splitter_is_tried_here():
    """Each function that gives splits, as a command line or a configuration would name it."""
    splitters = {
        name
        for name, one in inspect.getmembers(splits, inspect.isfunction)
        if one.__module__ == splits.__name__
        and next(iter(inspect.signature(one).parameters), "") == "frame"
        and not name.startswith("_")
    }
    assert splitters == set(SPLITS)


@pytest.mark.parametrize("name", SPLITS)
def test_a_split_parts_the_rows_as_they_are(name):
    frame = ratings()
    split = SPLITS[name](frame)
    together = pd.concat([split.train, split.test])
    assert sorted(rows(together)) == sorted(rows(frame)) and len(split.test) and len(split.train)
    for part in split:
        expected = frame[frame["note"].isin(part["note"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, expected)  # all columns, in the frame's order


@pytest.mark.parametrize("name", SPLITS)
def test_splits_take_what_fit_takes(name):
    """Aliases, words for ids, an index of any kind, and times of any form: the same rows."""
    frame = ratings()
    truth = SPLITS[name](frame)
    dated = pd.to_datetime(frame["timestamp"], unit="s")
    others = {
        "aliases": frame.rename(columns=ALIASED),
        "index": frame.set_index(
            pd.Index(list("ab") * (len(frame) // 2) + ["c"] * (len(frame) % 2))
        ),
        "datetimes": frame.assign(
            timestamp=dated.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
        ),
        "text": frame.assign(timestamp=dated.dt.strftime("%Y-%m-%dT%H:%M:%SZ")),
        "arrow": pa.Table.from_pandas(frame, preserve_index=False),
        "milliseconds": frame.assign(timestamp=frame["timestamp"] * 1000),
        "checked": checked(frame).assign(note=frame["note"].to_numpy()),
    }
    for form, other in others.items():
        split = SPLITS[name](other)
        assert list(split.train) == list(as_frame(other)), form
        assert (rows(split.train), rows(split.test)) == (rows(truth.train), rows(truth.test)), form
    assert SPLITS[name](others["aliases"]).hash == truth.hash


@pytest.mark.parametrize("name", BY_TIME)
def test_times_that_are_none_are_refused(name):
    frame = ratings()
    with pytest.raises(
        InputError, match="needs a column timestamp, .* ts, .*: add one, or split at"
    ):
        SPLITS[name](frame.drop(columns="timestamp"))
    text = pd.to_datetime(frame["timestamp"], unit="s").dt.strftime("%m/%d/%Y")
    with pytest.raises(InputError, match=r"row 1, column timestamp: '\d\d/\d\d/2\d*' is no time"):
        SPLITS[name](frame.assign(timestamp=text))
    holes = frame["timestamp"].where(frame["note"] != rows(frame)[6])
    with pytest.raises(InputError, match=r"the frame, row 7, column timestamp: nan is missing \(1"):
        SPLITS[name](frame.assign(timestamp=holes))
    dates = pd.to_datetime(holes, unit="s")
    with pytest.raises(InputError, match="row 7, column timestamp: NaT is missing"):
        SPLITS[name](frame.assign(timestamp=dates))


@pytest.mark.parametrize("name", ["sample_n", "sample_fraction", "sample_users", "sample_items"])
def test_missing_ids_are_refused(name):
    frame = ratings().assign(user_id=lambda x: x["user_id"].where(x["note"] != rows(x)[4]))
    with pytest.raises(InputError, match="the frame, row 5, column user_id: nan is missing"):
        SPLITS[name](frame)
    with pytest.raises(InputError, match="no column user_id"):
        SPLITS[name](frame.drop(columns="user_id"))


# --- by brute force -------------------------------------------------------------------------------


def latest(frame: pd.DataFrame, number) -> set[str]:
    """Of each user the `number(count)` ratings that come last in a list sorted by time, in which
    equal times keep the frame's order."""
    notes: set[str] = set()
    for user in frame["user_id"].unique():
        rows = [row for row in frame.itertuples() if row.user_id == user]
        rows.sort(key=lambda row: row.timestamp)  # stable
        take = number(len(rows))
        notes |= {row.note for row in rows[len(rows) - take :]}
    return notes


def quiet(split, *arguments) -> Split:
    with warnings.catch_warnings(action="ignore", category=SplitMomentWarning):
        return split(*arguments)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from([1, 3, 40, 10**6]))
def test_the_latest_of_each_user(seed, n, moments):
    frame = ratings(seed, 120, moments=1000 * moments)
    truth = latest(frame, lambda count: n if count > n else 0)
    if truth:
        assert set(rows(quiet(splits.last_n, frame, n).test)) == truth
        random = splits.sample_n(frame, n, seed).test["user_id"].value_counts()
        counts = frame[frame["note"].isin(truth)]["user_id"].value_counts()
        assert random.to_dict() == counts.to_dict()
    share = n / 10
    truth = latest(frame, lambda count: min(round(share * count), count - 1))
    assert set(rows(quiet(splits.last_fraction, frame, share).test)) == truth
    random = splits.sample_fraction(frame, share, seed).test["user_id"].value_counts()
    counts = frame[frame["note"].isin(truth)]["user_id"].value_counts()
    assert random.to_dict() == counts.to_dict()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 7, 40, 10**6]), st.floats(0.05, 0.6))
def test_no_moment_is_on_both_sides_of_a_time(seed, moments, fraction):
    frame = ratings(seed, 120, moments=1000 * moments)
    times = sorted(frame["timestamp"])
    # The least cut that leaves `fraction` or more: what is of the cutting moment is test.
    cut = times[int(np.floor((len(times) - 1) * (1 - fraction)))]
    for split, argument in (
        (splits.split_global_time, fraction),
        (splits.split_at_time, cut),
        (splits.split_at_time, dt.datetime.fromtimestamp(cut, dt.UTC)),
    ):
        if cut == times[0]:
            with pytest.raises(InputError, match="no training ratings|no rating is before"):
                split(frame, argument)
            continue
        train, test = split(frame, argument)
        assert set(rows(test)) == set(frame[frame["timestamp"] >= cut]["note"])
        assert train["timestamp"].max() < cut <= test["timestamp"].min()
        assert not set(train["timestamp"]) & set(test["timestamp"])
        if split is splits.split_global_time:
            assert len(test) >= fraction * len(frame)


@pytest.mark.parametrize("name", BY_TIME)
def test_the_future_never_teaches(name):
    """American days sort as text by month: as such, ratings of later years would be training."""
    frame = ratings(3)
    day = pd.to_datetime("2003-01-15") + pd.to_timedelta(4 * np.arange(len(frame)), "D")
    frame = frame.assign(timestamp=day)
    split = SPLITS[name](frame.sample(frac=1, random_state=0))
    if name in ("split_global_time", "split_at_time"):
        assert split.train["timestamp"].max() < split.test["timestamp"].min()
    for _, user_rows in split.test.groupby("user_id"):
        before = split.train[split.train["user_id"] == user_rows["user_id"].iloc[0]]
        assert not len(before) or before["timestamp"].max() < user_rows["timestamp"].min()
    as_text = frame.assign(timestamp=day.strftime("%m/%d/%Y"))
    with pytest.raises(InputError, match="is no time"):
        SPLITS[name](as_text)


def test_a_leak_planted_among_ties_is_said():
    """Two users whose last day has several ratings, one whose cut lies between days."""
    frame = pd.DataFrame(
        {
            "user": ["a"] * 3 + ["b"] * 3 + ["c"] * 3,
            "item": list("xyzxyzxyz"),
            "rating": 3.0,
            "time": ["2004-01-01", "2004-01-02", "2004-01-02"] * 2
            + ["2004-01-01", "2004-01-02", "2004-01-03"],
        }
    )
    with pytest.warns(SplitMomentWarning, match="^2 of 3 users have ratings of one moment on both"):
        split = splits.last_n(frame, 1)
    assert split.test["item"].tolist() == ["z", "z", "z"]  # of a day the last in order
    with pytest.warns(SplitMomentWarning, match="^2 of 3 users"):
        assert splits.last_fraction(frame, 0.3).test["item"].tolist() == ["z", "z", "z"]
    with warnings.catch_warnings(action="error"):
        assert len(splits.last_n(frame, 2).test) == 6
        assert len(splits.split_at_time(frame, "2004-01-02").test) == 6
        assert len(splits.split_global_time(frame, 0.4).test) == 6


def test_a_cut_without_a_side_says_from_when_to_when():
    frame = ratings()
    span = r"the \d+ ratings are from 2004-11-.*Z to 2007-08-.*Z"
    with pytest.raises(
        InputError, match=f"at=2015-01-01: no rating is at or after 2015-01.*{span}"
    ):
        splits.split_at_time(frame, "2015-01-01")
    with pytest.raises(
        InputError, match=f"at=1999-01-01: no rating is before 1999-01-01.*; {span}"
    ):
        splits.split_at_time(frame, "1999-01-01")
    with pytest.raises(InputError, match="at='1/1/2005': no time; say"):
        splits.split_at_time(frame, "1/1/2005")


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_impossible_fractions_are_refused(share):
    for split in (splits.sample_fraction, splits.last_fraction):
        with pytest.raises(InputError, match="fraction=.*: a test fraction lies between 0 and 1"):
            split(ratings(), share, *([1] if split is splits.sample_fraction else []))


def in_order(users: int = 100, each: int = 40) -> pd.DataFrame:
    """Every user's ratings of the items 0 to 39, one after another: a place is an item."""
    user, item = np.divmod(np.arange(users * each), each)
    frame = pd.DataFrame({"user_id": user, "item_id": item, "rating": 3.0})
    return frame.assign(timestamp=np.arange(len(frame)), place=item / each, row=frame.index)


def union(split: Split) -> pd.DataFrame:
    """Training ratings of the users who have test ratings."""
    return split.train[split.train["user_id"].isin(split.test["user_id"])]


CHOSEN = {
    "sample_records": lambda frame, seed: splits.sample_records(frame, 0.2, seed).test,
    "crossfold_records": lambda frame, seed: splits.crossfold_records(frame, 5, seed)[0].test,
    "sample_n": lambda frame, seed: splits.sample_n(frame, 4, seed).test,
    "sample_fraction": lambda frame, seed: splits.sample_fraction(frame, 0.1, seed).test,
    "sample_users": lambda frame, seed: union(splits.sample_users(frame, 60, 5, seed)),
    "keep_share": lambda frame, seed: splits.keep_share(Split(frame, frame[:1]), 0.2, seed).train,
}


@pytest.mark.parametrize("name", CHOSEN)
def test_what_is_chosen_at_random_has_no_order(name):
    """Neither the first nor the last, of the frame or of a user, nor the same of each user."""
    frame = in_order()
    for seed in (0, 1):
        chosen = CHOSEN[name](frame, seed)
        assert scipy.stats.kstest(chosen["place"] + 1 / 80, "uniform").pvalue > 1e-3
        if name != "sample_users":
            assert scipy.stats.kstest(chosen["row"] / len(frame), "uniform").pvalue > 1e-3
        users, once = np.unique(chosen["user_id"], return_counts=True)
        assert name != "sample_users" or (len(users) == 60 and set(once) == {5})
    one, again, other = (set(CHOSEN[name](frame, seed)["row"]) for seed in (1, 1, 2))
    assert one == again and len(one & other) < 0.7 * len(one)


def test_users_and_items_are_chosen_at_random():
    """A hundred of a thousand, in no order."""
    frame = pd.DataFrame({"user_id": range(1000), "item_id": range(1000), "rating": 3.0})
    frame = pd.concat([frame, frame.assign(item_id=frame["item_id"].iloc[::-1].to_numpy())])
    for seed in (0, 1):
        users = splits.sample_users(frame, 100, 0, seed).test["user_id"].unique()
        items = splits.sample_items(frame, 0.1, seed).test["item_id"].unique()
        for ids in (users, items):
            assert len(ids) == 100
            assert scipy.stats.kstest(np.sort(ids) / 1000, "uniform").pvalue > 1e-3
    assert set(items) != set(splits.sample_items(frame, 0.1, 0).test["item_id"])


def test_a_smaller_share_is_part_of_a_larger_one():
    split = Split(in_order(), in_order(1))
    shares = [set(splits.keep_share(split, share, 3).train["row"]) for share in (0.1, 0.3, 1)]
    assert shares[0] < shares[1] < shares[2] and [len(x) for x in shares] == [400, 1200, 4000]
    assert splits.keep_share(split, 0.1, 3).test is split.test
