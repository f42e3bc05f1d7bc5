"""Models of ratings in contexts. Catches: a context that is lost on the way to a prediction, to a
file, or behind new users; one that follows the order of rows; a later day passed off as known.
"""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.data.ids import Ids
from pmf.errors import InputError
from pmf.estimators import model_file
from pmf.fitting.checkpoint import Checkpoints
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
    in_days = pmf.report(model, TEST).scores["rmse"]
    with pytest.warns(
        pmf.UnknownContextWarning, match="the test frame: no column for context='day'"
    ):
        in_any = pmf.report(model, TEST.drop(columns="timestamp")).scores["rmse"]
    assert in_days < 0.6 * in_any


def test_a_day_is_unknown_where_nobody_rated(model):
    later = TEST.assign(timestamp=TEST["timestamp"] + 100 * DAY)
    says = "100 of 100 rows have a day that is unknown .* 100 of them after the last training day"
    with pytest.warns(pmf.UnknownContextWarning, match=says):
        predicted = model.predict(later)
    with pytest.warns(pmf.UnknownContextWarning, match="the frame: no column"):
        without = model.predict(TEST.drop(columns="timestamp"))
    pd.testing.assert_frame_equal(predicted, without)
    wide, narrow = (x["std"].mean() for x in (predicted, model.predict(TEST)))
    assert wide > 1.2 * narrow  # any day is more than one day


def test_the_order_of_rows_says_nothing(model):
    shuffled = TRAIN.sample(frac=1, random_state=0)
    other = pmf.PMF(context="day", **SETTINGS).fit(shuffled)
    np.testing.assert_allclose(other.predict(TEST)["mean"], model.predict(TEST)["mean"], atol=2e-3)


def test_the_ratings_unit_says_nothing(model):
    """Predictions follow it, and the log density by the Jacobian: half a unit in each factor."""
    by = 10.0
    scaled = TRAIN.assign(rating=by * TRAIN["rating"] - 7)
    other = pmf.PMF(context="day", **SETTINGS | {"tau": SETTINGS["tau"] / by**2}).fit(scaled)
    mean = by * model.predict(TEST)["mean"] - 7
    np.testing.assert_allclose(other.predict(TEST)["mean"], mean, rtol=1e-4)
    fitted = model.fitted
    rows = fitted.users.num_rows + fitted.items.num_rows + fitted.contexts.num_rows
    units = len(TRAIN) + rows * (0.5 * SETTINGS["rank"] + 1)
    expected = model.log_posterior() - units * np.log(by)
    assert other.log_posterior() == pytest.approx(expected, abs=1.0)


def test_its_file_holds_them(model, tmp_path):
    model.save(tmp_path / "m.pmf")
    again = pmf.load(tmp_path / "m.pmf")
    pd.testing.assert_frame_equal(again.predict(TEST), model.predict(TEST))


def test_new_users_are_in_any_context(model, tmp_path):
    mine = pd.DataFrame({"item_id": [1, 2, 3], "rating": [5.0, 4.0, 1.0]}).assign(user_id="me")
    folded = pmf.fold_in(model, mine)
    pairs = pd.DataFrame({"user_id": "me", "item_id": [4, 5]})
    predicted = folded.predict(pairs)
    assert folded.explain("me", 4)["contribution"].sum() == pytest.approx(
        predicted["mean"][0], abs=1e-4
    )
    pd.testing.assert_frame_equal(folded.predict(pairs.assign(timestamp=0)), predicted)
    narrow = fold_in_at_home(model, mine).predict(pairs)
    assert (predicted["std"] > 1.1 * narrow["std"]).all()  # any day is more than one day
    folded.save(tmp_path / "me.pmf")
    pd.testing.assert_frame_equal(pmf.load(tmp_path / "me.pmf").predict(pairs), predicted)


def fold_in_at_home(model, ratings):
    """New users of the same model without its contexts: of an average day."""
    fitted = model.fitted
    run = fitted.fit.run
    draws = run.draws._replace(context=None)
    home = pmf.PMF.of(model.settings)
    home.fitted = replace(fitted, fit=fitted.fit.with_run(draws=draws))
    return pmf.fold_in(home, ratings)


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
    with pytest.raises(InputError, match="a mean is in no context"):
        pmf.PMF(method="gibbs", context="day", duplicates="mean")
    with pytest.raises(InputError, match="one device"):
        pmf.PMF(method="gibbs", context="day", devices=2)
    with pytest.raises(InputError, match="the training frame: context='day' needs a column"):
        pmf.PMF(context="day", **SETTINGS).fit(TRAIN.drop(columns="timestamp"))


def test_a_stopped_run_goes_on_in_its_contexts(model, tmp_path):
    class Stop(Exception):
        pass

    def stop(record):
        if record.step == 6:
            raise Stop

    more = {"noise": "user", "implicit": "both", "store_draws": False, "context": "day"}
    whole = pmf.PMF(**SETTINGS, **more).fit(TRAIN, heldout=TEST)
    folder = Checkpoints(tmp_path / "checkpoints", every_steps=2)
    with pytest.raises(Stop):
        pmf.PMF(**SETTINGS, **more).fit(TRAIN, heldout=TEST, checkpoints=folder, on_record=stop)
    resumed = pmf.PMF(**SETTINGS, **more).fit(
        TRAIN, heldout=TEST, checkpoints=replace(folder, resume=True)
    )
    np.testing.assert_array_equal(resumed.heldout_prediction.mean, whole.heldout_prediction.mean)


def test_a_held_out_frame_without_times_is_of_any_day():
    with pytest.warns(pmf.UnknownContextWarning, match="the held-out frame: no column"):
        blind = pmf.PMF(context="day", **SETTINGS).fit(TRAIN, TEST.drop(columns="timestamp"))
    assert np.isfinite(blind.heldout_prediction.mean).all()


def test_a_table_that_can_be_read_once_is_read_once(model):
    pa = pytest.importorskip("pyarrow")
    batches = pa.Table.from_pandas(TRAIN).to_reader()
    streamed = pmf.PMF(context="day", **SETTINGS).fit(batches)
    pd.testing.assert_frame_equal(streamed.predict(TEST), model.predict(TEST))
    report = pmf.report(model, pa.Table.from_pandas(TEST).to_reader())
    assert report.scores == pmf.report(model, TEST).scores


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda fitted: {"contexts": Ids(fitted.contexts.values[::-1])}, "not ascending"),
        (lambda fitted: {"contexts": Ids(fitted.contexts.values.astype(str))}, "of times"),
        (lambda fitted: {"contexts": Ids(fitted.contexts.values[1:])}, "context.factor: its shape"),
    ],
)
def test_a_file_whose_contexts_do_not_fit_is_refused(model, tmp_path, change, says):
    fitted = replace(model.fitted, **change(model.fitted))
    path = tmp_path / "m.pmf"
    model_file.save(model_file.Saved("PMF", model.settings, fitted, {}), path)
    with pytest.raises(InputError, match=says):
        pmf.load(path)


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
