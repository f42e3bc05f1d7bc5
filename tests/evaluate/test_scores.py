"""Scores by hand and against scoringrules. Catches: a sign, a scale, a variance for a deviation."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import scoringrules

from pmf.errors import InputError
from pmf.evaluate import scores as s
from pmf.evaluate.metrics import all_scores, user_sums
from pmf.evaluate.report import evaluate
from pmf.evaluate.strata import labels, stratified
from pmf.model.predictive import Prediction

RATING = np.array([3.0, 4.0, 1.0, 5.0])
PREDICTION = Prediction(np.array([2.0, 4.5, 1.0, 3.0]), np.array([1.0, 0.25, 4.0, 1.0]))


def test_by_hand():
    # errors 1, -0.5, 0, 2
    scores = all_scores(np.array([7, 7, 7, 9]), RATING, *PREDICTION)
    assert scores["rmse"] == pytest.approx(np.sqrt(5.25 / 4))
    assert scores["mae"] == pytest.approx(3.5 / 4)
    # standardised errors 1, -1, 0, 2; the central 68.27 % holds those within one deviation
    assert s.inside(0.69, RATING, PREDICTION).tolist() == [True, True, True, False]
    assert scores["coverage_50"] == 0.25
    widths = 2 * 1.6448536 * np.array([1, 0.5, 2, 1])
    np.testing.assert_allclose(s.width(0.9, RATING, PREDICTION), widths)
    assert scores["sharpness_90"] == pytest.approx(widths.mean())
    np.testing.assert_allclose(
        s.pit(RATING, PREDICTION), [0.8413447, 0.1586553, 0.5, 0.9772499], 1e-6
    )
    log_density = -0.5 * np.log(2 * np.pi * PREDICTION.variance) - [0.5, 0.5, 0.0, 2.0]
    np.testing.assert_allclose(s.log_density(RATING, PREDICTION), log_density)


def test_users_count_once():
    user = np.array([7, 7, 7, 9])
    means = all_scores(user, RATING, PREDICTION.mean, None)
    assert means["user_rmse"] == pytest.approx((np.sqrt(1.25 / 3) + 2) / 2)
    assert means["user_mae"] == pytest.approx((0.5 + 2) / 2)


def test_against_scoringrules():
    rng = np.random.default_rng(0)
    rating, mean, variance = rng.normal(3, 1, 500), rng.normal(3, 1, 500), rng.gamma(2, 1, 500)
    prediction = Prediction(mean, variance)
    truth = scoringrules.crps_normal(rating, mean, np.sqrt(variance))
    np.testing.assert_allclose(s.crps(rating, prediction), truth, rtol=1e-9, atol=1e-12)
    truth = -scoringrules.logs_normal(rating, mean, np.sqrt(variance))
    np.testing.assert_allclose(s.log_density(rating, prediction), truth, rtol=1e-9)
    scores = all_scores(np.zeros(500, int), rating, *prediction)
    assert scores["crps"] == pytest.approx(s.crps(rating, prediction).mean())
    assert scores["n"] == 500


def test_the_truth_is_calibrated_and_scores_best():
    rng = np.random.default_rng(1)
    n, deviation = 40_000, 0.8
    rating = rng.normal(0, deviation, n)
    at = {v: Prediction(np.zeros(n), np.full(n, v**2)) for v in (0.5, deviation, 1.3)}
    table = s.calibration(rating, at[deviation])
    error = np.sqrt(table["nominal"] * (1 - table["nominal"]) / n)
    assert np.all(np.abs(table["actual"] - table["nominal"]) < 5 * error)
    assert scipy.stats.kstest(s.pit(rating, at[deviation]), "uniform").pvalue > 1e-4
    for score, sign in (("log_density", -1), ("crps", 1)):
        values = {v: sign * all_scores(np.zeros(n, int), rating, *p)[score] for v, p in at.items()}
        assert min(values, key=values.__getitem__) == deviation


def test_strata_part_the_ratings():
    count = np.array([0, 3, 4, 700])
    table = stratified(np.array([7, 7, 8, 9]), RATING, *PREDICTION, None, count)
    table = table.set_index("stratum")
    assert labels() == ["0", "1-4", "5-19", "20-99", "100-499", "500+"]
    assert table["n"].to_dict() == {"0": 1, "1-4": 2, "500+": 1}
    assert table.loc["500+", "rmse"] == 2.0
    assert table.loc["1-4", "rmse"] == pytest.approx(np.sqrt(0.25 / 2))
    assert table.loc["1-4", "user_mae"] == pytest.approx((0.5 + 0.0) / 2)


def test_a_stratum_begins_at_its_first_count():
    """Each stratum's first and last count, with an error that tells it."""
    count = np.array([0, 1, 4, 5, 19, 20, 99, 100, 499, 500])
    error = np.arange(1.0, 11.0)
    table = stratified(np.arange(10), error, np.zeros(10), None, None, count).set_index("stratum")
    truth = {
        "0": [1],
        "1-4": [2, 3],
        "5-19": [4, 5],
        "20-99": [6, 7],
        "100-499": [8, 9],
        "500+": [10],
    }
    assert table["mae"].to_dict() == {name: np.mean(one) for name, one in truth.items()}


def test_strata_of_users_and_of_items_are_told_apart():
    test = pd.DataFrame({"user_id": list("abcd"), "item_id": [1, 2, 3, 4], "rating": RATING})
    report = evaluate(test, *PREDICTION, np.array([0, 1, 1, 1]), np.array([9, 9, 9, 600]))
    assert report.by_user_history.set_index("stratum")["n"].to_dict() == {"0": 1, "1-4": 3}
    assert report.by_item_popularity.set_index("stratum")["n"].to_dict() == {"5-19": 3, "500+": 1}


def test_user_sums_by_hand():
    user = np.array([9, 7, 7, 9])
    table = user_sums(user, RATING, *PREDICTION).set_index("user_id")
    assert table["n"].to_dict() == {7: 2, 9: 2}
    assert table["squared_error"].to_dict() == {7: 0.25, 9: 5.0}
    assert table["absolute_error"].to_dict() == {7: 0.5, 9: 3.0}
    density = s.log_density(RATING, PREDICTION)
    np.testing.assert_allclose(table["log_density"], [density[1:3].sum(), density[[0, 3]].sum()])
    score = s.crps(RATING, PREDICTION)
    np.testing.assert_allclose(table["crps"], [score[1:3].sum(), score[[0, 3]].sum()])
    points = user_sums(user, RATING, PREDICTION.mean, None)
    assert "log_density" not in points and "crps" not in points


def test_a_histogram_of_pits_has_every_rating_once():
    table = s.pit_histogram(np.array([0.0, 0.01, 0.05, 0.5, 1.0]))
    assert len(table) == 20 and table["share"].sum() == pytest.approx(1.0)
    filled = table[table["share"] > 0]
    assert filled["share"].tolist() == pytest.approx([0.4, 0.2, 0.2, 0.2])
    np.testing.assert_allclose(filled["low"], [0.0, 0.05, 0.5, 0.95])


def test_points_alone_have_point_scores_alone():
    test = pd.DataFrame({"user_id": list("abab"), "item_id": [1, 1, 2, 2], "rating": RATING})
    counts = np.array([0, 3, 4, 700]), np.array([0, 0, 5, 5])
    whole = evaluate(test, *PREDICTION, *counts)
    points = evaluate(test, PREDICTION.mean, None, *counts)
    density = {"log_density", "crps", "coverage_50", "coverage_90", "sharpness_90"}
    assert points.scores == {k: v for k, v in whole.scores.items() if k not in density}
    assert (whole.scores["unknown_users"], whole.scores["unknown_items"]) == (1, 2)
    assert set(whole.by_user_history) - set(points.by_user_history) == density
    assert list(points.predictions) == ["user_id", "item_id", "rating", "mean"]
    assert points.calibration.empty and points.pit.empty and len(whole.pit) == 20
    with pytest.raises(InputError, match="variance of 1 of 4 test ratings is not finite .*row 2"):
        evaluate(test, PREDICTION.mean, np.array([1.0, np.inf, 1.0, 1.0]), *counts)


@pytest.fixture(scope="module")
def many() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """A test frame with its predictions, whose variances differ much."""
    rng = np.random.default_rng(2)
    users, items = rng.integers(0, 40, 600), rng.integers(0, 25, 600)
    test = pd.DataFrame({"user_id": users, "item_id": items, "rating": rng.normal(3, 1, 600)})
    return test, rng.normal(3, 0.5, 600), rng.gamma(2, 0.7, 600)


def test_every_score_is_what_its_name_says(many):
    test, mean, variance = many
    scores = evaluate(test, mean, variance, np.ones(600), np.ones(600)).scores
    error, sd = test["rating"].to_numpy() - mean, np.sqrt(variance)
    z, by_user = np.abs(error) / sd, pd.Series(error).groupby(test["user_id"])
    truth = {
        "n": 600,
        "rmse": np.sqrt(np.mean(error**2)),
        "mae": np.mean(np.abs(error)),
        "log_density": -np.mean(scoringrules.logs_normal(test["rating"], mean, sd)),
        "crps": np.mean(scoringrules.crps_normal(test["rating"], mean, sd)),
        "coverage_50": np.mean(z < 0.6744897501960817),  # the quantiles of 75 % and 95 %
        "coverage_90": np.mean(z < 1.6448536269514722),
        "sharpness_90": np.mean(2 * 1.6448536269514722 * sd),
        "user_rmse": np.mean(by_user.apply(lambda x: np.sqrt(np.mean(x**2)))),
        "user_mae": np.mean(by_user.apply(lambda x: np.mean(np.abs(x)))),
        "unknown_users": 0,
        "unknown_items": 0,
    }
    assert scores.keys() == truth.keys()
    for name, value in truth.items():
        assert scores[name] == pytest.approx(value, rel=1e-9), name


def test_a_curve_of_calibration_is_of_every_level(many):
    test, mean, variance = many
    table = evaluate(test, mean, variance, np.ones(600), np.ones(600)).calibration
    assert table["nominal"].tolist() == pytest.approx(np.arange(1, 20) / 20)
    for level, actual, width in table.itertuples(index=False):
        low, high = scipy.stats.norm.interval(level, mean, np.sqrt(variance))
        assert actual == np.mean(test["rating"].between(low, high))
        assert width == pytest.approx(np.mean(high - low))


def test_a_report_tells_users_from_items(many):
    """Counts of a side stratify that side; sums are users'; each row keeps its own prediction."""
    test, mean, variance = many
    users = test["user_id"].map(lambda user: (0, 3, 30)[user % 3]).to_numpy()
    items = test["item_id"].map(lambda item: (0, 0, 7, 600)[item % 4]).to_numpy()
    report = evaluate(test, mean, variance, users, items)
    assert report.scores["unknown_users"] == np.sum(users == 0)
    assert report.scores["unknown_items"] == np.sum(items == 0)
    for table, count in ((report.by_user_history, users), (report.by_item_popularity, items)):
        assert table["n"].tolist() == [np.sum(count == x) for x in np.unique(count)]
    sums = pd.Series((test["rating"] - mean) ** 2).groupby(test["user_id"]).sum()
    assert report.users.set_index("user_id")["squared_error"].to_dict() == pytest.approx(
        sums.to_dict()
    )
    rows = report.predictions
    pd.testing.assert_frame_equal(rows[list(test)], test)
    np.testing.assert_array_equal(rows["mean"], mean)
    np.testing.assert_array_equal(rows["variance"], variance)
    below = scipy.stats.norm.cdf(test["rating"], mean, np.sqrt(variance))
    np.testing.assert_allclose(rows["pit"], below)
    share = np.histogram(below, np.arange(21) / 20)[0] / 600
    np.testing.assert_allclose(report.pit["share"], share)
