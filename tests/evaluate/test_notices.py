"""An evaluation that notices. Catches: scores of what was fitted taken for held-out ones, a list
that shows more stars than there are, invalid JSON, an interval that holds nothing."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap, norm

import pmf
from pmf.cli.console import as_json
from pmf.data.histories import by_user
from pmf.errors import InputError
from pmf.evaluate import scores as score
from pmf.evaluate.report import evaluate
from pmf.model.predictive import Prediction

PRIOR = pmf.IsotropicPrior(4.0, 2.0, 2.0, 1.0, 1.0)
USERS, ITEMS = 30, 20


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pair = rng.permutation(USERS * ITEMS)[:400]
    user, item = pair // ITEMS, pair % ITEMS
    value = 3 + 1.5 * np.sin(user) + np.cos(item) + 0.3 * rng.standard_normal(400)
    rating = (2 * value).round().clip(1, 10) / 2
    return pd.DataFrame({"user_id": user, "item_id": 100 + item, "rating": rating})


@pytest.fixture(scope="module")
def model(frame) -> pmf.PMF:
    return pmf.PMF(2, prior=PRIOR, num_steps=20).fit(frame[:300])


def warnings_of(call) -> list[str]:
    """The overlaps that a call warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in caught if one.category is pmf.OverlapWarning]


def test_test_pairs_that_were_fitted_are_counted(model, frame):
    assert warnings_of(lambda: pmf.report(model, frame[300:])) == []
    mixed = frame[250:].sample(frac=1, random_state=0).assign(rating=1.0)  # whatever the rating
    (message,) = warnings_of(lambda: pmf.report(model, mixed))
    assert "fitted to 50 of its 150 pairs" in message and "split" in message
    strange = pd.concat([mixed, pd.DataFrame({"user_id": [-1], "item_id": [-1], "rating": [3.0]})])
    (message,) = warnings_of(lambda: pmf.report(model, strange))
    assert "50 of its 151" in message


def test_whoever_predicts_notices_and_who_kept_no_ratings_cannot(model, frame, tmp_path):
    model.save(tmp_path / "m.pmf")
    folded = pmf.fold_in(model, frame[frame["user_id"] == 3])
    for one, test in (
        (pmf.load(tmp_path / "m.pmf"), frame[:10]),
        (folded, frame[frame["user_id"] == 3]),
    ):
        (message,) = warnings_of(lambda one=one, test=test: pmf.report(one, test))
        assert f"{len(test)} of its {len(test)}" in message
    forgetful = pmf.PMF(2, prior=PRIOR, num_steps=2, store_ratings=False).fit(frame[:300])
    assert warnings_of(lambda: pmf.report(forgetful, frame[:10])) == []


def test_pairs_are_known_by_blocks_of_users(monkeypatch):
    rng = np.random.default_rng(1)
    user, item = rng.integers(0, 50, 300), rng.integers(0, 30, 300)
    query = rng.integers(0, 50, 400), rng.integers(0, 31, 400)
    known = set(zip(user.tolist(), item.tolist(), strict=True))
    truth = [pair in known for pair in zip(*map(np.ndarray.tolist, query), strict=True)]
    for block in (1 << 14, 7, 1):
        monkeypatch.setattr("pmf.data.histories.USERS", block)
        assert list(by_user(user, item, 51).have(*query)) == truth
    assert len(by_user(user, item, 51).have(query[0][:0], query[1][:0])) == 0


@pytest.mark.parametrize("rule", ["mean", "upper"])
def test_a_clipped_list_shows_the_scale_and_keeps_its_order(frame, rule):
    bounded = frame.assign(rating=(1.5 + 0.1 * frame["user_id"] + (frame["item_id"] - 100) / 10))
    bounded = bounded[bounded["rating"] <= 4]  # the best of the rest is beyond the scale
    plain, clipping = (
        pmf.PMF(1, prior=PRIOR, num_steps=20, scale=(1, 4), clip=clip).fit(bounded)
        for clip in (False, True)
    )
    new = bounded[bounded["user_id"] == 20]
    folded = pmf.fold_in(plain, new), pmf.fold_in(clipping, new)
    for one, other in ((plain, clipping), folded)[rule == "upper" :]:  # which needs a posterior
        true, shown = (pmf.recommend(m, [20], 8, rule=rule) for m in (one, other))
        assert list(true["item_id"]) == list(shown["item_id"])
        assert (true["score"] > 4).sum() > 1 and true["score"].is_monotonic_decreasing
        np.testing.assert_allclose(shown["score"], true["score"].clip(1, 4), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "threshold"),
    [
        (lambda r: r, 4.0),  # half stars from 0.5 to 5
        (lambda r: r.round().clip(1, 5), 4.0),  # whole stars from 1 to 5
        (lambda r: 10 * r, 40.0),
        (lambda r: 1000 * r - 5000, -1000.0),
    ],
)
def test_what_is_relevant_follows_the_scale(frame, change, threshold):
    rated = frame.assign(rating=change(frame["rating"]))
    train, test = rated[:300], rated[300:]
    model = pmf.PMF(0, prior=PRIOR, num_steps=5).fit(train)
    told_it = pmf.ranked(model, test, train, relevant=threshold)
    ranking = pmf.ranked(model, test, train)
    assert ranking.scores == told_it.scores
    assert ranking.users["relevant"].sum() == (test["rating"] >= threshold).sum()


def test_a_scale_that_was_given_says_what_is_relevant(frame):
    train, test = frame[:300], frame[300:]
    model = pmf.PMF(0, prior=PRIOR, num_steps=5, scale=(-10, 6)).fit(train)  # a quarter from 2
    assert pmf.ranked(model, test, train).users["relevant"].sum() == (test["rating"] >= 2).sum()
    open_ended = pmf.PMF(0, prior=PRIOR, num_steps=5, scale=(0, np.inf)).fit(train)
    assert (
        pmf.ranked(open_ended, test, train).scores
        == pmf.ranked(open_ended, test, train, relevant=4.0).scores
    )


@pytest.mark.parametrize("levels", [[0.5, 0.9], (0.9, 0.5), np.array([0.5, 0.9])])
def test_several_intervals_at_once(model, frame, levels):
    pairs = frame[300:310]
    table = model.predict(pairs, interval=levels)
    for level in (0.5, 0.9):
        alone = model.predict(pairs, interval=level)
        for end in ("low", "high"):
            assert list(table[f"{end}_{100 * level:.0f}"]) == list(alone[end])
    assert not {"low", "high"} & set(table.columns)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([0.5, 90], "between 0 and 1"),
        ([0.5, 0.5], "there twice"),
        ("0.9", "between 0 and 1"),
        ([None], "between 0 and 1"),
        (0, "between 0 and 1"),
    ],
)
def test_what_is_no_level_is_refused(model, frame, levels, message):
    with pytest.raises(InputError, match=message):
        model.predict(frame[:3], interval=levels)


def test_json_has_no_nan():
    values = {"rmse": float("nan"), "n": 3, "top": [np.inf, 1.5, np.float64("nan")], "noise": "x"}
    assert json.loads(as_json(values), parse_constant=pytest.fail) == {
        "rmse": None,
        "n": 3,
        "top": [None, 1.5, None],
        "noise": "x",
    }


def test_the_same_warning_is_shown_once_and_says_nothing_of_zero(model, monkeypatch):
    monkeypatch.setattr("pmf.estimators.notices._shown", set())
    pairs = pd.DataFrame({"user_id": [1, 1], "item_id": [101, 9]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        for _ in range(3):
            model.predict(pairs)
            model.predict(pairs)
        model.predict(pairs[1:])
    assert [str(one.message).split(";")[0] for one in caught] == [
        "the frame: 1 of 2 pairs have an unknown item",
        "the frame: 1 of 1 pairs have an unknown item",
    ]
    assert {one.filename for one in caught} == {__file__}
    for action, times in (("always", 2), ("ignore", 0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            model.predict(pairs)
            model.predict(pairs)
        assert len(caught) == times
    with warnings.catch_warnings(), pytest.raises(pmf.UnknownIdWarning):
        warnings.simplefilter("error")
        model.predict(pairs)


def test_the_bootstrap_agrees_with_scipy(frame):
    """Scipy's BCa of the same statistics over users, at twice the resamples' rounding."""
    rng = np.random.default_rng(2)
    rating = frame["rating"].to_numpy(float)
    user = pd.factorize(frame["user_id"])[0]
    mean = rating + 0.3 * rng.standard_normal(USERS)[user] + rng.standard_normal(len(rating))
    variance = np.full(len(rating), 1.2)
    count = np.ones(len(rating), int)
    report = evaluate(frame, mean, variance, count, count, bootstrap=4000)
    rows = report.intervals.set_index("metric")
    assert set(rows.index) <= set(report.scores)
    for name, row in rows.iterrows():
        assert row["value"] == pytest.approx(report.scores[name], rel=1e-12)
        assert row["low"] < row["value"] < row["high"]

    members = [np.flatnonzero(user == j) for j in range(USERS)]
    half_width = norm.ppf(0.95) * np.sqrt(1.2)
    statistics = {
        "rmse": lambda rows: np.sqrt(np.mean((rating - mean)[rows] ** 2)),
        "mae": lambda rows: np.mean(np.abs(rating - mean)[rows]),
        "crps": lambda rows: score.crps(
            rating[rows], Prediction(mean[rows], variance[rows])
        ).mean(),
        "coverage_90": lambda rows: np.mean(np.abs((rating - mean)[rows]) <= half_width),
    }
    for name, of in statistics.items():
        truth = bootstrap(
            (np.arange(USERS),),
            lambda who, of=of: of(np.concatenate([members[j] for j in who])),
            vectorized=False,
            n_resamples=2000,
            method="BCa",
            rng=np.random.default_rng(3),
        ).confidence_interval
        width = truth.high - truth.low
        ends = rows.loc[name, ["low", "high"]].to_numpy(float)
        np.testing.assert_allclose(ends, [truth.low, truth.high], atol=0.12 * width)
    by_user = [statistics["rmse"](rows) for rows in members]
    truth = bootstrap(
        (by_user,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(4)
    ).confidence_interval
    interval = rows.loc["user_rmse", ["low", "high"]].to_numpy(float)
    np.testing.assert_allclose(interval, truth, atol=0.12 * (truth.high - truth.low))


def test_intervals_only_where_asked_for_and_of_what_there_is(model, frame):
    test = frame[300:]
    assert len(pmf.report(model, test).intervals) == 0
    one, same, other = (
        pmf.report(model, test, bootstrap=50, seed=seed).intervals for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)
    count = np.ones(len(test), int)
    point = evaluate(test, np.full(len(test), 3.0), None, count, count, bootstrap=50)
    assert list(point.intervals["metric"]) == ["rmse", "mae", "user_rmse", "user_mae"]
    lonely = test[test["user_id"] == test["user_id"].iloc[0]]
    with pytest.raises(InputError, match="at least two"):
        pmf.report(model, lonely, bootstrap=50)
    with pytest.raises(InputError, match="bootstrap=-1"):
        pmf.report(model, test, bootstrap=-1)
