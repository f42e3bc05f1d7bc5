"""Times of every form. Catches: text sorted as text, a unit taken for another, a zone forgotten, a
missing or unreadable time let through, the wrong one of two ratings kept."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmf.data.frames import checked, learnable
from pmf.data.readers import parquet_stream
from pmf.data.sources.base import encoded
from pmf.data.sources.base import load_data as load
from pmf.data.times import moment, to_seconds
from pmf.errors import InputError
from tests.helpers.tables import tidy

UTC = dt.UTC
BERLIN = dt.timezone(dt.timedelta(hours=2))


def seconds(values, dtype=None) -> np.ndarray:
    return to_seconds(pd.Series(values, dtype=dtype), lambda row: f"x, row {row + 1}")


EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)


def exact(moments: list[dt.datetime]) -> list[int]:
    """Whole seconds since 1970 by Python's own dates."""
    return [(moment - EPOCH) // dt.timedelta(seconds=1) for moment in moments]


def arrow(values: list, kind: pa.DataType) -> pd.Series:
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


FORMS = {
    "seconds": exact,
    "floats": lambda moments: [float(x) for x in exact(moments)],
    "decimals": lambda moments: [Decimal(x) for x in exact(moments)],
    "text of seconds": lambda moments: [str(x) for x in exact(moments)],
    "milliseconds": lambda moments: [x * 10**3 for x in exact(moments)],
    "text of microseconds": lambda moments: [str(x * 10**6) for x in exact(moments)],
    "nanoseconds": lambda moments: [x * 10**9 for x in exact(moments)],
    "nullable": lambda moments: pd.Series(exact(moments), dtype="Int64"),
    "arrow": lambda moments: arrow(exact(moments), pa.int64()),
    "datetimes": lambda moments: moments,
    "naive datetimes": lambda moments: [x.replace(tzinfo=None) for x in moments],
    "in another zone": lambda moments: [x.astimezone(BERLIN) for x in moments],
    "a column of a zone": lambda moments: pd.Series(moments).dt.tz_convert("America/New_York"),
    "ISO text": lambda moments: [x.isoformat() for x in moments],
    "ISO text of a zone": lambda moments: [x.astimezone(BERLIN).isoformat() for x in moments],
    "ISO text of no zone": lambda moments: [x.strftime("%Y-%m-%d %H:%M:%S") for x in moments],
    "text with Z": lambda moments: [x.strftime("%Y-%m-%dT%H:%M:%SZ") for x in moments],
    "text as arrow": lambda moments: arrow([x.isoformat() for x in moments], pa.string()),
    "categories": lambda moments: pd.Series([x.isoformat() for x in moments], dtype="category"),
    "arrow times": lambda moments: arrow(moments, pa.timestamp("ms", "UTC")),
    "numpy": lambda moments: np.array(exact(moments), "datetime64[s]"),
    "several types": lambda moments: [
        (x, x.isoformat(), np.datetime64(exact([x])[0], "s"))[j % 3] for j, x in enumerate(moments)
    ],
}
LATER = st.datetimes(dt.datetime(1975, 1, 1), dt.datetime(2200, 1, 1))  # ms are told from s


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None)
@given(st.lists(LATER.map(lambda x: x.replace(microsecond=0, tzinfo=UTC)), min_size=1, max_size=9))
def test_every_form_of_a_time_is_the_same_seconds(form, moments):
    whole_seconds = seconds(FORMS[form](moments))
    assert whole_seconds.dtype == np.int64 and whole_seconds.tolist() == exact(moments)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_datetimes_of_any_unit(unit):
    days = np.array(["1969-12-31T23:59:58", "2004-12-31", "2261-01-01"], f"datetime64[{unit}]")
    assert seconds(days).tolist() == [-2, 1104451200, 9183110400]


def test_parts_of_a_second_keep_their_order():
    parts = [1104451200.25, 1104451200.5, 1104451201]
    assert seconds(parts).tolist() == parts
    text = ["2004-12-31T00:00:00.250", "2004-12-31T01:00:00.5+01:00", "2004-12-31 00:00:01"]
    assert seconds(text).tolist() == parts
    micro = 1104451200 * 10**6 + np.arange(50)
    assert np.all(np.diff(seconds(micro)) > 0)
    assert seconds([1112486027123, 1112486027124]).tolist() == [1112486027.123, 1112486027.124]


def test_dates_before_1970_and_counters_are_seconds():
    assert seconds([dt.date(1969, 12, 31), dt.date(1970, 1, 2)]).tolist() == [-86400, 86400]
    assert seconds([0, -5, 7]).tolist() == [0, -5, 7]
    assert seconds([99_999_999_999]).tolist() == [99_999_999_999]


BAD = {
    "American": (["12/31/2004"], "row 1, column timestamp: '12/31/2004' is no time; write 2004-12"),
    "one American": (["2004-12-31", "12/31/2004"], "row 2, column timestamp: '12/31/2004' is no"),
    "no such day": (["2004-02-30"], "'2004-02-30' is no time"),
    "a word that moves": (["now"], "'now' is no time"),
    "words": (["nan", "1"], "row 1, .*'nan' is no time"),
    "not a number": ([3.0, np.nan], "row 2, column timestamp: nan is missing"),
    "not a time": ([dt.datetime(2004, 1, 1), None], "row 2, column timestamp: NaT is missing"),
    "no text": (["2004-12-31", None, None], r"row 2, .* is missing \(2 such rows\)"),
    "infinite": ([np.inf, 3], "inf is no time"),
    "yes": ([True, False], "True is no time"),
    "yes among numbers": (pd.Series([1, True], dtype=object), "row 2, .*True is no time"),
    "complex": ([1j], "1j is no time"),
    "how long": (pd.to_timedelta([1], "s"), r"Timedelta\(.*\) is no time"),
    "of the day": ([dt.time(1)], "is no time"),
    "bytes": ([b"2004-12-31"], "is no time"),
    "too large": (np.array([2**63 + 1], np.uint64), "9223372036854775809 is no time"),
    "the least integer": ([-(2**63)], "is no time"),
    "a list": ([[1]], r"\[1\] is no time"),
    "milli among seconds": (
        [1112486027, 1112486027123],
        "row 2, .*1112486027123 is not in seconds since 1970, as the first row is",
    ),
    "seconds among milli": ([1112486027123, 5], "row 2, .*5 is not in milliseconds since 1970, as"),
    "numbers among dates": (["2004-12-31", "1112486027"], "row 2, .* is not a date, as the first"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_time_is_named(name):
    values, message = BAD[name]
    with pytest.raises(InputError, match=message):
        seconds(values)


def test_one_moment():
    for at in ("2015-01-01", dt.date(2015, 1, 1), pd.Timestamp("2015"), 1420070400, "1420070400"):
        assert moment(at) == 1420070400
    for at in ("1/1/2015", "tomorrow", None, True, [1], float("nan")):
        with pytest.raises(InputError, match=r"at='.*': no time; say 2004-12-31"):
            moment(at)


# --- at the door ----------------------------------------------------------------------------------

RATED = pd.DataFrame({"user": [1, 1, 2, 3], "item": [7, 8, 7, 9], "rating": [1.0, 2.5, 4, 5]})


def test_checked_times_are_seconds():
    days = ["2004-12-31", "2004-02-01", "2005-01-01", "2004-12-30"]
    table = checked(RATED.assign(time=days))
    assert table["timestamp"].tolist() == [1104451200, 1075593600, 1104537600, 1104364800]
    with pytest.raises(InputError, match="r.csv, row 3, column timestamp: '1/1/2005' is no time"):
        checked(RATED.assign(time=[*days[:2], "1/1/2005", "12/30/2004"]), "r.csv")
    assert list(checked(RATED.assign(time="12/31/2004"), times=False)) == [
        "user_id",
        "item_id",
        "rating",
    ]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_of_dates_become_seconds(tmp_path, kind):
    """As the readers give them: dates, datetimes with and without a zone, and text."""
    path = tmp_path / f"r.{kind}"
    columns = {
        "2004-12-31": 1104451200,
        "2004-12-31 12:00:00": 1104494400,
        "2004-12-31T12:00:00+02:00": 1104487200,
        "2004-12-31T12:00:00.5Z": 1104494400.5,
        "1104451200": 1104451200,
        "1104451200.5": 1104451200.5,
        "1104451200500": 1104451200.5,
    }
    for text, truth in columns.items():
        frame = RATED.assign(timestamp=text)
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
        assert load(path).ratings["timestamp"].tolist() == [truth] * 4
    frame = RATED.assign(timestamp="12/31/2004")
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    with pytest.raises(InputError, match=f"r.{kind}, row 1, column timestamp: '12/31/2004'"):
        load(path)
    assert len(load(path, times=False).ratings) == 4  # who does not ask for times needs none


def test_who_needs_no_times_does_not_look_at_them(tmp_path):
    """A day that nobody can read is no reason not to fit."""
    bad = RATED.assign(time=["12/31/2004", None, "soon", "1"])
    truth = as_dict(learnable(RATED))
    bad.to_parquet(tmp_path / "r.parquet")
    for data in (learnable(bad), learnable(bad, duplicates="mean"), encoded(tmp_path)):
        assert as_dict(data) == truth
    with pytest.raises(InputError, match="row 2, column timestamp: .* is missing"):
        learnable(bad, duplicates="last")


def twice(seed: int) -> pd.DataFrame:
    """Pairs rated up to six times, at days in no order, several of them at one."""
    rng = np.random.default_rng(seed)
    n = 300
    day = pd.to_datetime("2004-01-01") + pd.to_timedelta(rng.integers(0, 40, n), "D")
    return pd.DataFrame(
        {"user": rng.integers(0, 9, n), "item": rng.integers(0, 12, n), "rating": np.arange(n) / 8}
    ).assign(time=day.strftime("%Y-%m-%d"))


def newest(frame: pd.DataFrame) -> dict:
    """Of each pair the rating that no later row and no newer one replaces, one by one."""
    latest: dict = {}
    for row in frame.itertuples():
        pair = row.user, row.item
        if pair not in latest or row.time >= latest[pair][0]:
            latest[pair] = row.time, row.rating
    return {pair: rating for pair, (_, rating) in latest.items()}


def as_dict(encoded) -> dict:
    ratings, users, items = encoded.ratings, encoded.users, encoded.items
    pairs = zip(users.values[ratings.user], items.values[ratings.item], strict=True)
    return dict(zip(pairs, np.asarray(ratings.value), strict=True))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_last_of_a_pair_is_the_newest_by_every_path(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(parquet_stream, "BATCH", 37)
    frame = twice(seed)
    truth = newest(frame)
    assert truth != newest(frame.assign(time=0))  # the last in order is another
    assert as_dict(learnable(frame, duplicates="last")) == truth
    table = tidy(frame, duplicates="last")
    assert dict(zip(zip(table.user_id, table.item_id, strict=True), table.rating, strict=True)) == (
        truth
    )
    frame.to_csv(tmp_path / "r.csv", index=False)
    assert as_dict(encoded(tmp_path / "r.csv", duplicates="last")) == truth
    frame.to_parquet(tmp_path / "r.parquet")
    assert as_dict(encoded(tmp_path / "r.parquet", duplicates="last")) == truth
    folder = tmp_path / "folder"
    folder.mkdir()
    frame[:100].to_parquet(folder / "a.parquet")
    frame[100:].assign(time=pd.to_datetime(frame["time"])).to_parquet(folder / "b.parquet")
    assert as_dict(encoded(folder, duplicates="last")) == truth
    without = frame.drop(columns="time")
    assert as_dict(learnable(without, duplicates="last")) == newest(frame.assign(time=0))


def test_a_mean_of_a_pair_is_of_its_newest_time():
    frame = twice(3)
    table = tidy(frame, duplicates="mean")
    mean = frame.groupby(["user", "item"])["rating"].mean()
    time = pd.to_datetime(frame["time"]).groupby([frame["user"], frame["item"]]).max()
    for row in table.itertuples():
        assert row.rating == pytest.approx(mean[row.user_id, row.item_id], rel=1e-6)
        assert row.timestamp == time[row.user_id, row.item_id].timestamp()


def test_bad_times_of_a_folder_are_named_where_they_are_needed(tmp_path):
    frame = twice(0)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.assign(time="12/31/2004").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="b.parquet, row 1, column timestamp: '12/31/2004' is no"):
        encoded(tmp_path, duplicates="last")
    encoded(tmp_path, duplicates="mean")
    frame.assign(time=1104451200).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="b.parquet, row 1, column timestamp: 1104451200 is not a"):
        encoded(tmp_path, duplicates="last")
    frame.drop(columns="time").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="b.parquet: no column timestamp"):
        encoded(tmp_path, duplicates="last")


# --- what is no rating ----------------------------------------------------------------------------

NO_RATINGS = {
    "datetimes": (pd.to_datetime(["2004-12-31"] * 4), "is another column the rating"),
    "of a zone": (pd.to_datetime(["2004-12-31"] * 4, utc=True), "is another column the rating"),
    "dates": ([dt.date(2004, 12, 31)] * 4, "is another column the rating"),
    "timedeltas": (pd.to_timedelta([1] * 4, "s"), "is another column the rating"),
    "periods": (pd.period_range("2004", periods=4, freq="D"), "is not a finite number"),
    "complex": (np.ones(4, complex), "which of its parts"),
    "complex objects": (pd.Series([1j, 2, 3, 4], dtype=object), "which of its parts"),
    "yes and no": ([True, False, True, True], "what number yes and no are"),
    "nullable yes": (pd.Series([True] * 4, dtype="boolean"), "what number yes and no are"),
    "categories of yes": (pd.Series([True] * 4, dtype="category"), "what number yes and no are"),
    "yes among numbers": (pd.Series([True, 2, 3.5, 4], dtype=object), "what number yes and no"),
    "a comma": (["4,5"] * 4, "'4,5' is not a finite number; write it with a point, 4.5"),
    "arrow times": (arrow([dt.datetime(2004, 1, 1)] * 4, pa.timestamp("us")), "is another column"),
}


@pytest.mark.parametrize("name", NO_RATINGS)
def test_what_is_no_rating_is_refused(name):
    values, message = NO_RATINGS[name]
    with pytest.raises(InputError, match="x, row 1, column rating: .*" + message):
        checked(RATED.assign(rating=values), "x")


def test_numbers_of_every_type_are_ratings():
    for values in (
        [1, 2, 3, 4],
        ["1", "2", "3", "4"],
        [Decimal(x) for x in "1234"],
        [1, "2", 3, 4],
    ):
        for dtype in (object, "category"):
            table = checked(RATED.assign(rating=pd.Series(values, dtype=dtype)))
            assert table["rating"].tolist() == [1, 2, 3, 4]


def test_a_file_of_yes_and_no_is_refused(tmp_path):
    for suffix in ("csv", "parquet"):
        path = tmp_path / f"r.{suffix}"
        frame = RATED.assign(rating=True)
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
        word = r"'?True'? is not a finite number.*what number yes and no are"
        with pytest.raises(InputError, match=f"{path}, row 1, column rating: {word}"):
            encoded(path)
