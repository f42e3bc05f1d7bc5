"""Comparisons of systems. Catches: a turned sign, ratings resampled for users, an interval that is
too narrow, a test that rejects too often, p-values corrected in the wrong order.

Simulated truth: coverage and type I error lie within four Monte Carlo standard errors of nominal.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from pmf.errors import InputError
from pmf.evaluate import compare, resampling
from pmf.evaluate.compare import compare_arms, paired, pooled, verdict
from pmf.evaluate.metrics import METRICS
from pmf.evaluate.resampling import bca_interval, holm, mean_interval, permutation_p, resampled_sums


def lines(seed: int, users: int = 80, scale: tuple[float, float] = (1.0, 1.0)) -> list:
    """Two systems' lines on the same users. A user's errors share a size of that user and system,
    so that ratings are not independent; the mean squared error of a system is `scale` squared."""
    rng = np.random.default_rng(seed)
    n = 1 + rng.geometric(0.1, users)
    shared = rng.gamma(4, 1 / 4, users)
    tables = []
    for s in scale:
        scale_of_user = shared * rng.gamma(4, 1 / 4, users) * s**2
        squared = scale_of_user * rng.chisquare(n)
        tables.append(
            pd.DataFrame(
                {
                    "user_id": np.arange(users),
                    "n": n,
                    "squared_error": squared,
                    "absolute_error": np.sqrt(squared * n),
                    "log_density": -squared,
                    "ndcg@10": 1 / (1 + scale_of_user),
                }
            )
        )
    return tables


def both(system: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([system.assign(arm="new"), reference.assign(arm="old")])


def root_mean(table: pd.DataFrame) -> float:
    return float(np.sqrt(table["squared_error"].sum() / table["n"].sum()))


def rmse_of_sums(a, b, n, axis=-1):
    a, b, n = (np.sum(x, axis=axis) for x in (a, b, n))
    return np.sqrt(a / n) - np.sqrt(b / n)


def test_difference_by_hand():
    """Sums over all ratings, not a mean of users' scores."""
    old = pd.DataFrame({"user_id": [7, 8], "n": [1, 3], "squared_error": [4.0, 12.0]})
    new = pd.DataFrame({"user_id": [8, 7], "n": [3, 1], "squared_error": [3.0, 1.0]})
    comparison = paired(new, old, "rmse", seed=0)
    assert comparison.difference == pytest.approx(1.0 - 2.0)
    assert (comparison.n, comparison.share_better) == (2, 1.0)
    adds = np.array([-3.0, -9.0])
    assert comparison.effect == pytest.approx(adds.mean() / adds.std(ddof=1))
    # of the four assignments of two users' signs, two are as extreme
    assert comparison.p == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 10_000))


@pytest.mark.parametrize(
    ("metric", "good"),
    [("rmse", -1), ("mae", -1), ("log_density", 1), ("ndcg@10", 1)],
)
def test_direction(metric, good):
    """What is better by construction is `better`, what is worse `worse`, in both directions."""
    low, high = lines(1, scale=(1.0, 1.7))
    better = paired(low, high, metric, seed=0)
    worse = paired(high, low, metric, seed=0)
    assert np.sign(better.difference) == good == -np.sign(worse.difference)
    assert better.low <= better.difference <= better.high
    assert better.share_better > 0.5 > worse.share_better
    table = compare_arms(both(low, high), "old", [metric], seed=0)
    assert table["verdict"].tolist() == ["better"]
    table = compare_arms(both(high, low), "old", [metric], seed=0)
    assert table["verdict"].tolist() == ["worse"]


def test_every_metric_has_a_direction_that_its_name_suggests():
    less = {name for name, metric in METRICS.items() if metric.best == -np.inf}
    assert less == {"rmse", "mae", "crps", "rps", "user_rmse", "user_mae"}
    assert {name for name, metric in METRICS.items() if metric.best == np.inf} == {
        "log_density",
        "star_log_score",
        "star_accuracy",
        "ndcg",
        "graded_ndcg",
        "recall",
        "precision",
        "hit_rate",
        "map",
        "mrr",
    }


def test_verdict_wants_both_the_test_and_the_interval():
    comparison = paired(*lines(1, scale=(1.0, 1.7)), "rmse", seed=0)
    assert verdict("rmse", comparison, 0.01) == "better"
    assert verdict("rmse", comparison, 0.06) == "no difference shown"
    assert verdict("rmse", comparison._replace(high=0.01), 0.01) == "no difference shown"
    assert verdict("rmse", comparison, 0.03, level=0.99) == "no difference shown"


def test_same_predictions_are_no_difference():
    table, _ = lines(2)
    comparison = paired(table, table, "rmse", seed=0)
    assert comparison == (0.0, 0.0, 0.0, 1.0, 0.0, 0.5, 1.0, 80)
    assert verdict("rmse", comparison, comparison.p) == "no difference shown"


def test_interval_agrees_with_scipy():
    new, old = lines(3, users=60, scale=(1.0, 1.1))
    data = (new["squared_error"].to_numpy(), old["squared_error"].to_numpy(), new["n"].to_numpy())
    truth = scipy.stats.bootstrap(
        data,
        rmse_of_sums,
        paired=True,
        method="BCa",
        n_resamples=40_000,
        vectorized=True,
        rng=np.random.default_rng(0),
        batch=2_000,
    )
    comparison = paired(new, old, "rmse", seed=0, resamples=40_000)
    # a quantile of 40,000 resamples: sqrt(p (1 - p) / B) / density, about sd / 100; two of them
    tolerance = 4 * np.sqrt(2) * truth.standard_error / 75
    assert comparison.low == pytest.approx(truth.confidence_interval.low, abs=tolerance)
    assert comparison.high == pytest.approx(truth.confidence_interval.high, abs=tolerance)


def test_bca_formula_agrees_with_scipy_on_the_same_resamples():
    """The correction itself, exactly: a skewed mean, its own resamples handed to ours."""
    x = np.random.default_rng(4).gamma(0.5, 1, 30)
    truth = scipy.stats.bootstrap((x,), np.mean, n_resamples=999, rng=np.random.default_rng(0))
    left_out = (x.sum() - x) / (len(x) - 1)
    low, high = bca_interval(x.mean(), truth.bootstrap_distribution, left_out, 0.95)
    assert (low, high) == pytest.approx(tuple(truth.confidence_interval), rel=1e-12)


def test_permutation_agrees_with_scipys_exact_test():
    new, old = lines(5, users=12, scale=(1.0, 1.3))
    n = new["n"].to_numpy()
    exact = scipy.stats.permutation_test(
        (new["squared_error"].to_numpy(), old["squared_error"].to_numpy()),
        lambda a, b, axis: rmse_of_sums(a, b, np.broadcast_to(n, a.shape), axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    p = paired(new, old, "rmse", seed=0, resamples=50_000).p
    assert 0.01 < exact < 0.99
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 50_000))


def test_ties_are_as_extreme_in_the_permutation_test():
    """Signs of equal differences tie with what was observed: p is 1 for a lone user's worth."""
    p = permutation_p(np.array([[0.1], [0.2], [0.0]]), seed=0, resamples=20_000)
    assert p == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 20_000))
    assert permutation_p(np.zeros((5, 2)), seed=0, resamples=10).tolist() == [1.0, 1.0]


def test_wilcoxon_is_of_users_own_means():
    new, old = lines(6, scale=(1.0, 1.1))
    means = (new["absolute_error"] - old["absolute_error"]) / new["n"]
    comparison = paired(new, old, "mae", seed=0)
    assert comparison.p_wilcoxon == pytest.approx(scipy.stats.wilcoxon(means).pvalue)


def test_blocks_change_nothing_but_the_order_of_draws(monkeypatch):
    """Every user is drawn as often as every other, and each resample has as many as there are."""
    columns = np.column_stack([np.eye(7), np.ones(7)])
    for cells in (7, 50, 1 << 22):
        monkeypatch.setattr(resampling, "CELLS", cells)
        sums = resampled_sums(columns, 0, 3_000)
        assert sums.shape == (3_000, 8) and (sums[:, -1] == 7).all()
        assert np.abs(sums[:, :7].mean(0) - 1).max() < 5 / np.sqrt(3_000)
        assert sums[:, :7].var(0) == pytest.approx(6 / 7, abs=0.15)


def test_deterministic_in_the_seed():
    new, old = lines(7)
    first, again, other = (paired(new, old, "rmse", seed) for seed in (0, 0, 1))
    assert first == again and first.low != other.low and first.difference == other.difference


def test_holm_and_benjamini_hochberg_by_hand():
    """Holm 4 x 0.005, 3 x 0.01, 2 x 0.03, 1 x 0.04 -> no lower than the one before."""
    p = np.array([0.03, 0.005, 0.04, 0.01])
    np.testing.assert_allclose(holm(p), [0.06, 0.02, 0.06, 0.03])
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]
    # Benjamini and Hochberg, 4/i x p_(i): 0.02, 0.02, 0.04, 0.04
    discovered = scipy.stats.false_discovery_control(p)
    np.testing.assert_allclose(discovered, [0.04, 0.02, 0.04, 0.02])


def test_arms_are_corrected_within_a_metric():
    good, bad = lines(8, scale=(1.0, 1.7))
    arms = {"old": bad, "same": bad, "b": good, "c": good.drop(columns="log_density")}
    arms["d"] = good.assign(log_density=np.nan)
    users = pd.concat([table.assign(arm=name) for name, table in arms.items()])
    table = compare_arms(users, "old", ["rmse", "log_density"], seed=0).set_index(["metric", "arm"])
    assert list(table.columns) == compare.COLUMNS[2:] and len(table) == 4 + 2
    rmse = table.loc["rmse"]
    np.testing.assert_allclose(rmse["p_adjusted"], holm(rmse["p"].to_numpy()))
    assert rmse["verdict"].to_dict() == {
        "b": "better",
        "c": "better",
        "d": "better",
        "same": "no difference shown",
    }
    alone = paired(good, bad, "rmse", seed=0)
    assert rmse.loc["c", ["low", "high", "p"]].tolist() == [alone.low, alone.high, alone.p]


def test_each_arm_has_the_line_that_it_has_alone():
    """Its own difference, interval, p and effect, and not those of an arm beside it."""
    scales = {"a": 1.0, "old": 1.2, "b": 1.25, "z": 1.6}
    arms = dict(zip(scales, lines(12, scale=tuple(scales.values())), strict=True))
    users = pd.concat([table.assign(arm=name) for name, table in arms.items()])
    table = compare_arms(users, "old", ["rmse"], seed=0).set_index("arm")
    assert list(table.index) == ["a", "b", "z"]
    for arm in table.index:
        alone = paired(arms[arm], arms["old"], "rmse", seed=0)
        for name in ("difference", "low", "high", "p", "effect", "n"):
            assert table.loc[arm, name] == pytest.approx(getattr(alone, name), rel=1e-12), name
    assert table["low"].nunique() == table["high"].nunique() == 3


def test_the_verdict_goes_by_the_adjusted_p(monkeypatch):
    """0.02, 0.03 and 0.04 are each below 0.05, and among three none of them is."""
    p_values = np.array([0.02, 0.03, 0.04])
    monkeypatch.setattr(compare, "permutation_p", lambda *arguments: p_values)
    arms = dict(zip("abcd", lines(13, scale=(1.0, 1.7, 1.8, 1.9)), strict=True))
    users = pd.concat([table.assign(arm=name) for name, table in arms.items()])
    table = compare_arms(users, "a", ["rmse"], seed=0)
    assert table["p"].tolist() == p_values.tolist()
    np.testing.assert_allclose(table["p_adjusted"], [0.06, 0.06, 0.06])
    assert (table["low"] > 0).all() and set(table["verdict"]) == {"no difference shown"}
    for level, verdict_of_one in ((0.95, "worse"), (0.99, "no difference shown")):
        alone = compare_arms(users[users["arm"] < "c"], "a", ["rmse"], seed=0, level=level)
        assert (alone["low"] > 0).all() and alone["verdict"].tolist() == [verdict_of_one]


def test_a_p_is_never_zero():
    """Of 80 users' signs no random ones are alike: the observed ones count themselves."""
    p = permutation_p(np.ones((80, 2)) * [1, -3], seed=0, resamples=99)
    assert p.tolist() == [0.01, 0.01]


def test_an_interval_has_the_level_that_is_asked():
    new, old = lines(14, scale=(1.0, 1.2))
    width = {}
    for level in (0.5, 0.95):
        comparison = paired(new, old, "rmse", seed=0, level=level)
        width[level] = comparison.high - comparison.low
        assert comparison.low < comparison.difference < comparison.high
    assert width[0.95] / width[0.5] == pytest.approx(1.96 / 0.674, rel=0.15)


def test_users_count_once_in_a_ranking():
    """However much they rate: 0.2 of one user and 0.4 of another are 0.3."""
    old = pd.DataFrame({"user_id": [1, 2], "n": [1, 99], "ndcg@10": [0.0, 0.0]})
    new = old.assign(**{"ndcg@10": [0.2, 0.4]})
    assert paired(new, old, "ndcg@10", seed=0).difference == pytest.approx(0.3)


def test_a_tie_of_a_user_counts_half():
    old = pd.DataFrame({"user_id": range(4), "n": 1, "squared_error": [4.0, 4, 4, 4]})
    new = old.assign(squared_error=[1.0, 1.0, 4.0, 9.0])
    comparison = paired(new, old, "rmse", seed=0)
    assert (comparison.share_better, comparison.n) == (0.625, 4)


def test_users_without_a_ranking_have_no_part_in_it():
    new, old = lines(9, scale=(1.0, 1.7))
    for table in (new, old):
        table.loc[:19, "ndcg@10"] = np.nan
    comparison = paired(new, old, "ndcg@10", seed=0)
    assert comparison == paired(new[20:], old[20:], "ndcg@10", seed=0) and comparison.n == 60


def test_pooling_averages_seeds_and_adds_folds():
    rows = [
        # user, fold, seed, n, squared error, ndcg
        (7, 1, 0, 2, 4.0, 0.2),
        (7, 1, 1, 2, 6.0, 0.4),
        (7, 2, 0, 1, 1.0, 0.9),
        (8, 2, 0, 3, 2.0, np.nan),
    ]
    columns = ["user_id", "fold", "seed", "n", "squared_error", "ndcg@10"]
    table = pooled(pd.DataFrame(rows, columns=columns).assign(arm="a", log_density=np.nan))
    assert table["n"].tolist() == [3, 3]
    assert table["squared_error"].tolist() == [6.0, 2.0]
    assert table["ndcg@10"][0] == pytest.approx(0.6) and np.isnan(table["ndcg@10"][1])
    assert table["log_density"].isna().all()  # not a sum of nothing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[1:], "the system: its users"),
        (lambda t: t.assign(n=t["n"] + 1), "numbers of ratings"),
        (lambda t: pd.concat([t, t]), "user 0 has several lines"),
        (lambda t: t.assign(squared_error=np.nan), "of a user is not finite"),
        (lambda t: t.drop(columns="n"), "no column n"),
    ],
)
def test_unlike_users_are_refused(change, message):
    new, old = lines(10)
    with pytest.raises(InputError, match=message):
        paired(change(new), old, "rmse", seed=0)


def test_unknown_names_are_refused():
    new, old = lines(11)
    with pytest.raises(InputError, match="metric 'rsme': not one of rmse, mae"):
        paired(new, old, "rsme", seed=0)
    with pytest.raises(InputError, match="reference 'none': not one of the arms new, old"):
        compare_arms(both(new, old), "none", ["rmse"], seed=0)
    with pytest.raises(InputError, match="at least two"):
        paired(new[:1], old[:1], "rmse", seed=0)
    with pytest.raises(InputError, match="column 'lunch'"):
        pooled(both(new, old).assign(fold=1, seed=0, lunch=1.0))


def test_interval_over_seeds_is_students():
    values = np.array([0.1, 0.3, 0.2, 0.5])
    truth = scipy.stats.ttest_1samp(values, 0)
    interval = mean_interval(values)
    assert interval.p == pytest.approx(truth.pvalue)
    assert (interval.low, interval.high) == pytest.approx(tuple(truth.confidence_interval(0.95)))
    with pytest.raises(InputError, match="1 values"):
        mean_interval(values[:1])


def test_interval_over_folds_by_hand():
    """Nadeau and Bengio: five folds multiply the variance of the mean by 1 + 5/4 = 2.25."""
    values = np.array([0.1, 0.3, 0.2, 0.5, 0.4])
    plain, corrected = mean_interval(values), mean_interval(values, test_over_train=1 / 4)
    assert corrected.mean == plain.mean
    assert corrected.high - corrected.mean == pytest.approx(1.5 * (plain.high - plain.mean))


@pytest.mark.slow
def test_permutation_rejects_at_its_level_where_nothing_differs():
    tries, level = 1_000, 0.05
    p = np.array([paired(*lines(s, 40), "rmse", s, resamples=399).p for s in range(tries)])
    assert abs(np.mean(p <= level) - level) < 4 * np.sqrt(level * (1 - level) / tries)
    assert abs(np.mean(p <= 0.5) - 0.5) < 4 * np.sqrt(0.25 / tries)


@pytest.mark.slow
def test_interval_covers_the_true_difference():
    """The expected squared error is scale^2, whatever a user's number of ratings."""
    tries, level, scale = 500, 0.9, (1.0, 1.2)
    truth = scale[0] - scale[1]
    covered = []
    for seed in range(tries):
        comparison = paired(*lines(seed, 300, scale), "rmse", seed, resamples=1_000, level=level)
        covered.append(comparison.low <= truth <= comparison.high)
    assert abs(np.mean(covered) - level) < 4 * np.sqrt(level * (1 - level) / tries)


@pytest.mark.slow
def test_corrected_interval_over_folds_covers_where_students_does_not():
    """Folds that share a part, as cross-validation's do: each value has a correlation of
    n_test / (n_test + n_train) = 1/5 with each other, which is what the correction supposes."""
    rng = np.random.default_rng(0)
    tries, folds, correlation = 4_000, 5, 1 / 5
    common = rng.normal(0, np.sqrt(correlation), (tries, 1))
    values = common + rng.normal(0, np.sqrt(1 - correlation), (tries, folds))
    for ratio, covers in ((1 / 4, True), (0, False)):
        intervals = [mean_interval(row, ratio) for row in values]
        share = np.mean([low <= 0 <= high for _, low, high, _ in intervals])
        assert (abs(share - 0.95) < 4 * np.sqrt(0.95 * 0.05 / tries)) == covers
