"""The one table of metrics. Catches: a metric that is an entry and yet unknown to scores, strata,
intervals, comparisons, tables or figures; one that is accepted and has no verdict."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from experiments.tables.summary import summary
from paper_figures.figures.lines import metric_label
from paper_figures.report.tables import scores_grid
from pmf.errors import InputError
from pmf.evaluate import metrics
from pmf.evaluate.compare import compare_arms, paired, pooled
from pmf.evaluate.metrics import LESS, METRICS, RATINGS, Metric, compared_metric
from pmf.evaluate.report import evaluate


def pinball(rating, prediction) -> np.ndarray:
    """The quantile score of the 90 % quantile (Koenker & Bassett 1978)."""
    over = rating - norm.ppf(0.9, prediction.mean, np.sqrt(prediction.variance))
    return np.maximum(0.9 * over, -0.1 * over)


PINBALL = Metric("pinball loss", LESS, RATINGS, of_rating=pinball, of_variance=True)


@pytest.fixture
def one_more(monkeypatch) -> str:
    """The table with one entry more, and nothing else."""
    monkeypatch.setitem(METRICS, "pinball_90", PINBALL)
    return "pinball_90"


@pytest.fixture(scope="module")
def test_part() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    users, items = rng.integers(0, 30, 400), rng.integers(0, 20, 400)
    rating = rng.normal(3, 1, 400)
    test = pd.DataFrame({"user_id": users, "item_id": items, "rating": rating})
    return test, rating + rng.normal(0, 0.8, 400), np.full(400, 0.7)


def test_a_new_entry_is_a_score_of_every_kind(one_more, test_part):
    test, mean, variance = test_part
    counts = np.repeat([0, 700], 200)
    report = evaluate(test, mean, variance, counts, counts, bootstrap=200)
    each = pinball(test["rating"].to_numpy(), metrics.Prediction(mean, variance))
    assert report.scores[one_more] == pytest.approx(each.mean())
    assert report.by_user_history[one_more].tolist() == pytest.approx(
        [each[:200].mean(), each[200:].mean()]
    )
    line = report.intervals.set_index("metric").loc[one_more]
    assert line["value"] == pytest.approx(each.mean()) and line["low"] < each.mean() < line["high"]
    sums = pd.Series(each).groupby(test["user_id"]).sum()
    np.testing.assert_allclose(report.users[one_more], sums)
    assert one_more not in evaluate(test, mean, None, counts, counts).scores


def test_a_new_entry_is_compared(one_more, test_part):
    test, mean, variance = test_part
    ones = np.ones(400)
    parts = {"old": variance, "wide": 9 * variance}
    users = pd.concat(
        [
            evaluate(test, mean, spread, ones, ones).users.assign(arm=arm, fold=1, seed=0)
            for arm, spread in parts.items()
        ]
    )
    (line,) = compare_arms(pooled(users), "old", [one_more], seed=0, resamples=500).to_dict(
        "records"
    )
    scores = [evaluate(test, mean, x, ones, ones).scores[one_more] for x in parts.values()]
    assert line["difference"] == pytest.approx(scores[1] - scores[0]) and line["verdict"] == "worse"


def test_a_new_entry_is_in_tables_and_on_axes(one_more):
    runs = pd.DataFrame(
        {"id": ["x", "y"], "model.method": ["als", "gibbs"], "model.rank": [2, 2], "error": ""}
    )
    scores = pd.DataFrame(
        {
            "id": list("xyxy"),
            "metric": ["rmse", "rmse", one_more, one_more],
            "value": [0.9, 0.8, 0.35, 0.25],
        }
    )
    assert summary(runs, scores).split()[2:5] == ["RMSE", "pinball", "loss"]
    grid = scores_grid({"runs": runs, "scores": scores.merge(runs, on="id")})
    cells = [row[grid.header.index("pinball loss")] for row in grid.rows]
    assert [(cell.text, cell.best) for cell in cells] == [("0.3500", False), ("0.2500", True)]
    stars = pd.DataFrame({"unit": ["stars"]})
    assert metric_label(one_more, stars) == "Held-out pinball loss (stars)"


def test_a_user_counts_once_in_users_rmse():
    """Of each user's own RMSE the mean, though the columns are sums."""
    old = pd.DataFrame({"user_id": [7, 8], "n": [1, 3], "squared_error": [4.0, 12.0]})
    new = pd.DataFrame({"user_id": [7, 8], "n": [1, 3], "squared_error": [1.0, 27.0]})
    comparison = paired(new, old, "user_rmse", seed=0)
    assert comparison.difference == pytest.approx((1 + 3) / 2 - (2 + 2) / 2)
    assert paired(new, old, "rmse", seed=0).difference == pytest.approx(np.sqrt(28 / 4) - 2)
    old, new = (x.rename(columns={"squared_error": "absolute_error"}) for x in (old, new))
    assert paired(new, old, "user_mae", seed=0).difference == pytest.approx((1 + 9) / 2 - 4)


@pytest.mark.parametrize("name", ["coverage_90", "sharpness_90", "novelty@10", "fit_seconds"])
def test_a_metric_without_a_better_has_no_verdict(name):
    with pytest.raises(InputError, match="more of it is neither better nor worse; .* rmse, mae"):
        compared_metric(name)


def test_every_entry_has_a_title_of_its_own():
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)
