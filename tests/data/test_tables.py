"""The one door for tables in memory. Catches: a container refused that holds ratings, an explicit
zero lost, ids that change on the way, and a mistake that ends in another library's words."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

import pmf
from pmf.data.columns import canonical_columns
from pmf.data.frames import checked, learnable, pairs

FRAME = pd.DataFrame(
    {"user_id": [0, 0, 2, 2, 4], "item_id": [3, 1, 1, 0, 3], "rating": [5.0, 0.0, 2.5, 4.0, 1.0]}
)
PRIOR = pmf.from_ridge(pmf.Ridge(1, 1, 1, 1), tau=1.0)


class Speaks:
    """A table of another library: nothing is known of it but that it speaks Arrow."""

    def __init__(self, table: pa.Table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def matrix(frame: pd.DataFrame) -> sparse.coo_array:
    place = frame["user_id"].to_numpy(), frame["item_id"].to_numpy()
    return sparse.coo_array((frame["rating"].to_numpy(), place), (5, 4))


CONTAINERS = {
    "arrow": pa.Table.from_pandas,
    "batch": pa.RecordBatch.from_pandas,
    "stream": lambda frame: Speaks(pa.Table.from_pandas(frame, preserve_index=False)),
    "coo": matrix,
    "csr": lambda frame: sparse.csr_array(matrix(frame)),
    "csc": lambda frame: sparse.csc_matrix(matrix(frame)),
}


@pytest.fixture(scope="module")
def fitted() -> pmf.PMF:
    return pmf.PMF(rank=0, prior=PRIOR, num_steps=1).fit(FRAME)


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_the_frame(name):
    table = CONTAINERS[name](FRAME)
    frame = checked(table).sort_values(["user_id", "item_id"], ignore_index=True)
    expected = checked(FRAME).sort_values(["user_id", "item_id"], ignore_index=True)
    pd.testing.assert_frame_equal(frame, expected)  # with its explicit zero
    assert frame["user_id"].dtype == np.int64
    assert len(pairs(table)) == len(FRAME)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pmf.OverlapWarning")
def test_a_model_takes_them_everywhere(fitted):
    """Fit, held-out ratings, prediction, evaluation, ranking, fold-in and extension."""
    new = FRAME.assign(user_id=7)[:2]
    others = sparse.csr_array((new["rating"], (new["user_id"], new["item_id"])), (8, 4))
    table = pa.Table.from_pandas(FRAME)
    ours = pmf.PMF(rank=0, prior=PRIOR, num_steps=1).fit(table, heldout=table)
    pd.testing.assert_frame_equal(ours.predict(table), fitted.predict(FRAME))
    assert pmf.report(ours, table).scores == pmf.report(fitted, FRAME).scores
    pairs = pa.Table.from_pandas(FRAME.assign(item_id=[0, 0, 3, 3, 0])[:3:2])
    assert pmf.ranked(ours, pairs, table, k=2, relevant=1).scores["ranked_users"] == 2
    folded = pmf.fold_in(ours, others)
    assert folded.fitted.users.values.tolist() == [7]
    assert 7 in ours.partial_fit_users(others).require_fitted().users.values


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user": [1], "item": [2], "rating": [3]}, r"a dict; say pandas.DataFrame\(ratings\)"),
        ([(1, 2, 3.0)], r"a list; say pandas.DataFrame\(ratings, columns=\[\"user_id\""),
        (np.ones((3, 3)), r"an array; say pandas.DataFrame\(ratings, columns="),
        (np.ones((30, 50)), r"of a matrix of users by items say scipy.sparse.coo_array\(matrix\)"),
        (np.zeros(2, [("user", int), ("item", int)]), "a structured array; say pandas.DataFrame"),
        (["a.csv", "b.csv"], r"several paths; say pandas.concat\(\[pmf.load_data\(path\).ratings"),
        ([Path("a.csv"), Path("b.csv")], "several paths; .* put Parquet files into one folder"),
        (pd.Series([1.0, 2.0]), r"a Series; say ratings.reset_index\(\)"),
        (None, "NoneType is no table"),
        (object(), "object is no table"),
        (sparse.coo_array(np.ones(3)), "a sparse array of 1 axes; users by items are two"),
        (Speaks(pa.chunked_array([[1, 2]])), "Speaks is no table"),  # a column, not a table
    ],
)
def test_what_is_no_table_is_refused_with_the_conversion(table, message, fitted):
    for refused in (pmf.PMF().fit, fitted.predict, partial(pmf.report, fitted), learnable):
        with pytest.raises(pmf.InputError, match=message):
            refused(table)


def test_a_path_is_not_predicted_and_a_frame_is_not_a_path(fitted):
    with pytest.raises(pmf.InputError, match=r"a path; say pmf.load_data\('pairs.csv'\).ratings"):
        fitted.predict("pairs.csv")
    with pytest.raises(pmf.InputError, match="name or the path of a file is needed: .*DataFrame"):
        pmf.load_data(FRAME)
    with pytest.raises(pmf.InputError, match="several paths; say pandas.concat"):
        pmf.load_data(["a.csv", "b.csv"])


# --- columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["USER_ID", "ITEM_ID", "RATING", "TIMESTAMP"],
        ["User ID", "Item ID", "Rating", "Time"],
        ["user-id", "movie-id", "Score", "TS"],
        ["User-ID", "ISBN", "Book-Rating", "Timestamp"],
        ["reviewerID", "asin", "overall", "unixReviewTime"],
        ["uid", "iid", "value", "timestamp"],
    ],
)
def test_names_in_any_case_and_style(names):
    columns = canonical_columns(names, ("user_id", "item_id", "rating"), "x")
    assert columns == dict(zip(names, ["user_id", "item_id", "rating", "timestamp"], strict=True))


def test_the_usual_name_goes_before_one_that_is_like_it():
    """What was read before other spellings were known is read as it was."""
    names = ["userId", "User", "item", "Item", "asin", "rating", "Overall", "stars"]
    columns = canonical_columns(names, ("user_id", "item_id", "rating"), "x")
    assert columns == {"userId": "user_id", "item": "item_id", "rating": "rating"}


def test_columns_that_are_told_go_before_names():
    names = ["who", "user", "what", "item", "rating", "plays"]
    named = {"user": "who", "item": "what", "rating": "PLAYS"}
    columns = canonical_columns(names, ("user_id", "item_id", "rating"), "x", named)
    assert columns == {"who": "user_id", "what": "item_id", "plays": "rating"}


@pytest.mark.parametrize(
    ("names", "named", "message"),
    [
        (["a", "item", "rating"], {}, "no column user_id; .* say columns: user=NAME"),
        (["USER", "User_Id", "item", "rating"], {}, r"\['USER', 'User_Id'\] all mean user_id"),
        (["who", "item", "rating"], {"user": "whom"}, "no column 'whom' for user; .*'who'?"),
        (["x", "item", "rating"], {"user": "item"}, "column 'item' cannot be two things|no column"),
    ],
)
def test_columns_that_cannot_be_told_apart_are_named(names, named, message):
    with pytest.raises(pmf.InputError, match=message):
        canonical_columns(names, ("user_id", "item_id", "rating"), "x", named)
