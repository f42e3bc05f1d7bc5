"""Contexts from times and columns. Catches: a week that begins on another day; times before 1970
rounded up; contexts numbered in the order of rows; a missing column, or a time that is none, passed
over in silence.
"""

import numpy as np
import pandas as pd
import pytest

from pmf.data.contexts import ASCENDING, BINS, coded_contexts, contexts_of, require_contexts
from pmf.errors import InputError

RNG = np.random.default_rng(2)
SECONDS = RNG.integers(-2_000_000_000, 2_000_000_000, 500)
TIMES = pd.to_datetime(pd.Series(SECONDS), unit="s")
EXPECTED = {
    "day": TIMES.dt.normalize(),
    "week": TIMES.dt.to_period("W-SUN").dt.start_time,  # from Monday
    "month": TIMES.dt.to_period("M").dt.start_time,
    "hour": TIMES.dt.hour,
    "weekday": TIMES.dt.day_of_week,
}


@pytest.mark.parametrize("by", BINS)
@pytest.mark.parametrize("kind", ["int", "float"])
def test_times_fall_into_the_calendars_own_parts(by, kind):
    seconds = SECONDS if kind == "int" else SECONDS + 0.25
    contexts = contexts_of(pd.DataFrame({"user": 1, "timestamp": seconds}), by, "the frame")
    assert contexts.dtype == np.int64
    pd.testing.assert_series_equal(contexts.rank(), EXPECTED[by].rank(), check_names=False)
    if by not in ASCENDING:
        np.testing.assert_array_equal(contexts, EXPECTED[by])


def test_a_column_is_taken_by_its_name():
    frame = pd.DataFrame({"user": [1, 2, 3], "device": ["tv", "phone", "tv"]}, index=[7, 7, 9])
    row, ids = coded_contexts(require_contexts(frame, "device", "the frame"), "the frame")
    assert row.tolist() == [1, 0, 1] and ids.values.tolist() == ["phone", "tv"]


def test_without_its_column_there_are_none():
    frame = pd.DataFrame({"user": [1, 2], "rating": [1.0, 2.0]})
    assert contexts_of(frame, "day", "the frame") is None
    assert contexts_of(frame, "device", "the frame") is None
    with pytest.raises(InputError, match="my.csv: context='day' needs a column of times"):
        require_contexts(frame, "day", "my.csv")
    with pytest.raises(InputError, match="context='dey': neither a column nor .*mean day"):
        require_contexts(frame, "dey", "my.csv")


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [("timestamp", "12/31/2004", "row 2, column timestamp"), ("device", None, "row 2")],
)
def test_what_is_no_context_is_named_with_its_row(column, value, says):
    frame = pd.DataFrame({"user": [1, 2], column: ["2004-12-31", value]})
    with pytest.raises(InputError, match=says):
        by = "day" if column == "timestamp" else column
        coded_contexts(require_contexts(frame, by, "my.csv"), "my.csv")
