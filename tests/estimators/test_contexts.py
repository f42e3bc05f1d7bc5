"""Models of ratings in contexts. Catches: a context that is lost on the way to a prediction, to a
file, or behind new users; one that follows the order of rows; a later day passed off as known.
"""

import json

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.errors import InputError
from tests.helpers.commands import pmf as command

DAY = 86400
RNG = np.random.default_rng(4)
SETTINGS = {"rank": 2, "method": "gibbs", "tau": 2.0, "num_steps": 8, "burn_in": 4, "num_chains": 1}


def frame(n: int = 400) -> pd.DataFrame:
    pair = RNG.permutation(30 * 25)[:n]
    day = RNG.integers(0, 20, n)
    rating = 3 + np.sin(day) + RNG.normal(0, 0.3, n)
    times = 1_000_000_000 // DAY * DAY + day * DAY + RNG.integers(0, DAY, n)
    table = pd.DataFrame({"user_id": pair // 25, "item_id": pair % 25, "rating": rating})
    return table.assign(timestamp=times)


TRAIN, TEST = (part.reset_index(drop=True) for _, part in frame(500).groupby(np.arange(500) >= 400))


@pytest.fixture(scope="module")
def model():
    return pmf.PMF(context="day", **SETTINGS).fit(TRAIN, heldout=TEST)


def test_what_is_streamed_is_predicted_later(model):
    """In the contexts as they were drawn, and from the unknown one as the origin."""
    np.testing.assert_allclose(
        model.predict(TEST)["mean"], model.heldout_prediction.mean, rtol=1e-5
    )
    report = pmf.report(model, TEST)
    assert report.scores == pytest.approx(pmf.report(model, TEST, heldout=True).scores, rel=1e-4)


def test_days_are_learnt(model):
    """Ratings are a wave of days: without it nothing but noise is left to predict."""
    without = TEST.drop(columns="timestamp")
    in_days, in_any = (pmf.report(model, x).scores["rmse"] for x in (TEST, without))
    assert in_days < 0.6 * in_any


def test_a_day_is_unknown_where_nobody_rated(model):
    later = TEST.assign(timestamp=TEST["timestamp"] + 100 * DAY)
    with pytest.warns(
        pmf.UnknownContextWarning, match="100 of 100 .* 100 .* the last training day"
    ):
        predicted = model.predict(later)
    without = model.predict(TEST.drop(columns="timestamp"))
    pd.testing.assert_frame_equal(predicted, without)
    wide, narrow = (x["std"].mean() for x in (predicted, model.predict(TEST)))
    assert wide > 1.2 * narrow  # any day is more than one day


def test_the_order_of_rows_says_nothing(model):
    shuffled = TRAIN.sample(frac=1, random_state=0)
    other = pmf.PMF(context="day", **SETTINGS).fit(shuffled)
    np.testing.assert_allclose(other.predict(TEST)["mean"], model.predict(TEST)["mean"], atol=2e-3)


def test_its_file_holds_them(model, tmp_path):
    model.save(tmp_path / "m.pmf")
    again = pmf.load(tmp_path / "m.pmf")
    pd.testing.assert_frame_equal(again.predict(TEST), model.predict(TEST))


def test_new_users_are_in_any_context(model):
    mine = pd.DataFrame({"item_id": [1, 2, 3], "rating": [5.0, 4.0, 1.0]}).assign(user_id="me")
    folded = pmf.fold_in(model, mine)
    pairs = pd.DataFrame({"user_id": "me", "item_id": [4, 5], "timestamp": TRAIN["timestamp"][0]})
    assert np.isfinite(folded.predict(pairs)["mean"]).all()
    total = folded.explain("me", 4)["contribution"].sum()
    assert total == pytest.approx(folded.predict(pairs)["mean"][0], abs=1e-4)


def test_users_that_are_added_leave_days_alone(model):
    mine = pd.DataFrame({"item_id": [1, 2, 3], "rating": [5.0, 4.0, 1.0]}).assign(user_id=99)
    grown = model.partial_fit_users(mine)
    pd.testing.assert_frame_equal(grown.predict(TEST), model.predict(TEST))


def test_any_column_is_a_context():
    devices = TRAIN.assign(device=np.where(TRAIN["timestamp"] % 2, "tv", "phone"))
    devices["rating"] += np.where(devices["device"] == "tv", 2.0, 0.0)
    fitted = pmf.PMF(context="device", **SETTINGS).fit(devices)
    pairs = pd.DataFrame({"user_id": 1, "item_id": 2, "device": ["tv", "phone"]})
    on_tv, on_phone = fitted.predict(pairs)["mean"]
    assert 1.5 < on_tv - on_phone < 2.5


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="a setting of Gibbs, not of ALS"):
        pmf.PMF(context="day")
    with pytest.raises(InputError, match="item_bias"):
        pmf.PMF(method="gibbs", context="day", item_bias=False)
    with pytest.raises(InputError, match="one device"):
        pmf.PMF(method="gibbs", context="day", devices=2)
    with pytest.raises(InputError, match="the training frame: context='day' needs a column"):
        pmf.PMF(context="day", **SETTINGS).fit(TRAIN.drop(columns="timestamp"))


def test_pairs_that_repeat_keep_the_context_of_the_one_that_stays():
    twice = pd.concat([TRAIN.assign(rating=1.0, timestamp=0), TRAIN], ignore_index=True)
    fitted = pmf.PMF(context="day", duplicates="last", **SETTINGS).fit(twice)
    once = pmf.PMF(context="day", **SETTINGS).fit(TRAIN)
    pd.testing.assert_series_equal(
        fitted.predict(TEST)["mean"], once.predict(TEST)["mean"], atol=2e-3, rtol=0
    )


def test_the_command_line_takes_them(tmp_path):
    TRAIN.to_csv(tmp_path / "train.csv", index=False)
    TEST.to_csv(tmp_path / "test.csv", index=False)
    more = ["--rank", "2", "--method", "gibbs", "--tau", "2", "--steps", "4"]
    further = ["--set", "context=day", "--set", "burn_in=2", "--set", "num_chains=1"]
    model = tmp_path / "m.pmf"
    assert command("fit", tmp_path / "train.csv", "--out", model, *more, *further).returncode == 0
    done = command("evaluate", model, tmp_path / "test.csv", "--json")
    expected = pmf.report(pmf.load(model), TEST).scores["rmse"]
    assert json.loads(done.stdout)["rmse"] == pytest.approx(expected, abs=1e-3)
    refused = command("fit", tmp_path / "train.csv", "--out", model, *more, "--set", "context=tv")
    assert "of a file no columns but the times are read" in refused.stderr
