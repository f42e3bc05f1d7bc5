"""Features from a table's columns. Catches: rows that are mixed up, units that weigh, a missing
value that tells something, a column that is rather a name.
"""

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.data.frame_features import MOST_VALUES, frame_features
from pmf.data.ids import Ids

PEOPLE = pd.DataFrame(
    {
        "user_id": ["c", "a", "b", "d"],
        "age": [20.0, 40.0, 30.0, np.nan],
        "job": ["clerk", "nurse", "clerk", None],
        "member": [True, False, True, True],
    }
)


def test_numbers_are_standard_and_words_one_hot():
    features = frame_features(PEOPLE)
    assert [*features.names] == ["age", "job: clerk", "job: nurse", "member: False", "member: True"]
    table = pd.DataFrame(features.table(Ids(np.array(["a", "b", "c", "d"], object)))[:4])
    table.columns = features.names
    assert table["age"].tolist() == pytest.approx([1.2247, 0, -1.2247, 0], abs=1e-4)
    centred = np.array([0, 1, 1, 2 / 3]) - 2 / 3  # a missing one has the mean of those that have it
    assert table["job: clerk"].tolist() == pytest.approx(centred, abs=1e-6)
    assert table["member: True"].tolist() == pytest.approx([-0.75, 0.25, 0.25, 0.25])


def test_the_unit_of_a_number_is_of_no_account():
    other = PEOPLE.assign(age=12 * PEOPLE["age"] + 3)
    one, two = (frame_features(x).values.toarray() for x in (PEOPLE, other))
    np.testing.assert_allclose(one, two, atol=1e-12)


@pytest.mark.parametrize(
    ("frame", "by", "words"),
    [
        (PEOPLE, "item_id", "columns item_id and at least one more are needed"),
        (PEOPLE[["user_id"]], "user_id", "at least one more are needed"),
        (pd.concat([PEOPLE, PEOPLE[:1]]), "user_id", "has user_id 'c' twice; keep one row"),
        (PEOPLE.assign(age=[1, 2, np.inf, 3]), "user_id", "column age has infinite numbers"),
        (
            pd.DataFrame({"user_id": range(2 * MOST_VALUES), "name": map(str, range(2000))}),
            "user_id",
            "column name has 2,000 distinct values; leave it out",
        ),
    ],
)
def test_what_is_no_table_of_features_is_refused(frame, by, words):
    with pytest.raises(pmf.InputError, match=words):
        frame_features(frame, by)
