"""Scores of stars. Catches: mass that is lost or counted twice at the ends; an edge on the wrong
side; a probability that underflows to log 0; a score that rewards what is not believed; the stars
of a part of the ratings.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import pmf
from pmf.errors import InputError
from pmf.evaluate import scores
from pmf.evaluate.compare import pooled
from pmf.evaluate.metrics import all_scores, user_sums
from pmf.evaluate.report import evaluate
from pmf.model.predictive import Prediction
from pmf.model.stars import MOST, log_probabilities, nearest, probabilities, stars_of
from tests.helpers.handmade import made

STARS = np.array([0.5, 1.0, 2.0, 4.0, 5.0])  # unevenly spaced
RNG = np.random.default_rng(3)
PREDICTION = Prediction(RNG.uniform(0, 6, 40), RNG.uniform(0.2, 2.0, 40))
RATING = RNG.choice(STARS, 40)


def test_probabilities_are_the_mass_between_midpoints():
    sd = np.sqrt(PREDICTION.variance)
    edges = [-np.inf, 0.75, 1.5, 3.0, 4.5, np.inf]
    cdf = np.stack([norm.cdf(edge, PREDICTION.mean, sd) for edge in edges], 1)
    each = probabilities(PREDICTION, STARS)
    np.testing.assert_allclose(each, np.diff(cdf, axis=1), atol=1e-12)
    np.testing.assert_allclose(each.sum(1), 1.0, rtol=1e-12)


def test_far_away_a_probability_is_small_and_not_zero():
    """Both tails, where the difference of two distribution functions is 0 in double precision."""
    far = Prediction(np.array([-60.0, 70.0]), np.array([1.0, 1.0]))
    log = log_probabilities(far, STARS)
    assert np.isfinite(log).all()
    # Mills' ratio: P(Z > z) is about phi(z) / z.
    np.testing.assert_allclose(log[0, -1], norm.logpdf(64.5) - np.log(64.5), rtol=1e-5)
    np.testing.assert_allclose(log[1, 0], norm.logpdf(69.25) - np.log(69.25), rtol=1e-5)


def test_scores_are_those_of_each_ratings_star():
    each, place = probabilities(PREDICTION, STARS), np.searchsorted(STARS, RATING)
    log = scores.star_log_score(RATING, PREDICTION, STARS)
    np.testing.assert_allclose(log, np.log(each[np.arange(40), place]), rtol=1e-9)
    hit = scores.star_hit(RATING, PREDICTION, STARS)
    np.testing.assert_array_equal(hit, each.argmax(1) == place)
    # The CRPS of any distribution is E|X - r| - E|X - X'| / 2 (Gneiting & Raftery 2007, eq. 21).
    distance = np.abs(STARS[:, None] - STARS)
    expected = np.sum(each * distance[:, place].T, 1)
    expected -= np.einsum("nk,kl,nl->n", each, distance, each) / 2
    rps = scores.ranked_probability_score(RATING, PREDICTION, STARS)
    np.testing.assert_allclose(rps, expected, rtol=1e-9)


@pytest.mark.parametrize("score", ["star_log_score", "rps"])
def test_nothing_scores_better_than_the_truth(score):
    """Ratings drawn from the probabilities of one Gaussian; others are wider, narrower, shifted."""
    n = 40_000
    truth = Prediction(np.full(n, 3.1), np.full(n, 0.9))
    drawn = RNG.choice(STARS, n, p=probabilities(truth, STARS)[0])
    user = np.zeros(n, int)

    def scored(mean: float, variance: float) -> float:
        predicted = np.full(n, mean), np.full(n, variance)
        value = all_scores(user, drawn, *predicted, STARS)[score]
        return value if score == "rps" else -value

    others = [(3.1, 1.5), (3.1, 0.5), (2.8, 0.9), (3.4, 0.9)]
    assert scored(3.1, 0.9) < min(scored(*other) for other in others)


def test_a_rating_between_stars_belongs_to_the_nearest():
    assert nearest(np.array([-3.0, 0.8, 2.9, 3.1, 9.0]), STARS).tolist() == [0, 1, 2, 3, 4]


def test_stars_are_few_values():
    assert stars_of(RATING).tolist() == STARS.tolist()
    assert stars_of(np.arange(MOST + 1.0)) is None and stars_of(np.ones(4)) is None


def test_a_report_has_them_where_ratings_are_stars():
    frame = pd.DataFrame({"user_id": np.arange(40) // 4, "item_id": np.arange(40) % 4})
    counts = np.ones(40, int), np.ones(40, int)
    report = evaluate(frame.assign(rating=RATING), *PREDICTION, *counts, bootstrap=50)
    assert {"star_log_score", "rps", "star_accuracy"} <= set(report.scores)
    assert set(report.intervals["metric"]) >= {"star_log_score", "rps", "star_accuracy"}
    assert report.stars["star"].tolist() == STARS.tolist()
    np.testing.assert_allclose(report.stars[["expected", "given"]].sum(), 1.0)
    given = pd.Series(RATING).value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(report.stars["given"], given)
    continuous = evaluate(frame.assign(rating=PREDICTION.mean), *PREDICTION, *counts)
    assert "rps" not in continuous.scores and continuous.stars.empty
    no_variance = evaluate(frame.assign(rating=RATING), PREDICTION.mean, None, *counts)
    assert "rps" not in no_variance.scores and no_variance.stars.empty


def test_a_stratum_has_the_stars_of_all_ratings():
    frame = pd.DataFrame({"user_id": np.arange(40) // 4, "item_id": np.arange(40) % 4})
    is_low = RATING < 2  # few users have rated these, and nobody else
    counts = np.where(is_low, 1, 9), np.ones(40, int)
    report = evaluate(frame.assign(rating=RATING), *PREDICTION, *counts)
    each = scores.star_log_score(RATING, PREDICTION, STARS)
    strata = report.by_user_history.set_index("stratum")["star_log_score"]
    assert strata["1-4"] == pytest.approx(each[is_low].mean())
    assert strata["5-19"] == pytest.approx(each[~is_low].mean())


def test_users_sums_of_folds_add_up():
    user = np.arange(40) // 4
    lines = user_sums(user, RATING, *PREDICTION, STARS)
    folds = pd.concat([lines.assign(arm="a", fold=j, seed=0) for j in (1, 2)])
    both = pooled(folds).set_index("user_id")
    for column in ("n", "crps", "rps", "star_log_score", "star_accuracy"):
        np.testing.assert_allclose(both[column], 2 * lines.set_index("user_id")[column])


def test_a_model_predicts_the_probability_of_each_star():
    model = made(1)
    pairs = pd.DataFrame({"user_id": model.fitted.users.values[:1].repeat(2)})
    pairs["item_id"] = model.fitted.items.values[:2]
    table = model.predict(pairs, stars=[5, 1, 2.5])
    names = ["p_1", "p_2.5", "p_5"]
    prediction = Prediction(table["mean"].to_numpy(), table["std"].to_numpy() ** 2)
    expected = probabilities(prediction, np.array([1.0, 2.5, 5.0]))
    np.testing.assert_allclose(table[names], expected, rtol=1e-6)
    for wrong in ([1], [1, 1, 2], [1, 1 + 1e-9, 2], [1, np.nan], "ab", [[1, 2]], 5, [10**400, 2]):
        with pytest.raises(InputError, match="stars="):
            model.predict(pairs, stars=wrong)


def test_clipping_moves_no_probability():
    model, pairs = made(1), pd.DataFrame({"user_id": ["x", "y"], "item_id": ["x", "y"]})
    pairs["user_id"], pairs["item_id"] = (
        ids.values[:2] for ids in (model.fitted.users, model.fitted.items)
    )
    whole = model.predict(pairs, stars=STARS)
    low = float(whole["mean"].min())
    model.settings = model.settings.model_copy(update={"scale": (low - 2, low - 1), "clip": True})
    clipped = model.predict(pairs, stars=STARS)
    assert (clipped["mean"] < whole["mean"]).all()
    pd.testing.assert_frame_equal(clipped.filter(like="p_"), whole.filter(like="p_"))


def test_where_nothing_is_to_be_learnt_the_log_score_is_near_the_entropy():
    rng = np.random.default_rng(0)
    pair = rng.permutation(40 * 30)[:700]
    rating = np.clip(np.round(3 + rng.normal(0, 1, 700)), 1, 5)
    frame = pd.DataFrame({"user": pair // 30, "item": pair % 30, "rating": rating})
    model = pmf.PMF(2, method="als").fit(frame[:600])
    score = pmf.report(model, frame[600:]).scores
    shares = frame["rating"][:600].value_counts(normalize=True)
    entropy = float((shares * np.log(shares)).sum())  # the log score of shares, for any pair
    assert entropy - 0.5 < score["star_log_score"] < entropy + 0.1
