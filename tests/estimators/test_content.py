"""Item features and the content model, against scikit-learn, SciPy and numbers by hand.

Catches: a feature under another's name, an item with another's features, a bias that is not
penalised as asked, a variance without the weights' own, a tag of a test pair.
"""

import datetime as dt
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.linear_model import Ridge

import pmf
from pmf.data.features import item_features
from pmf.data.ids import Ids
from pmf.errors import InputError
from pmf.inference.content import State, content, marginal_noise, posterior_variance
from pmf.inference.layout import Data, by_rows
from pmf.types import Ratings, Terms
from tests.helpers.planted import FEATURES, ITEMS, MOVIES, agreement, planted_frame

TAGS = pd.DataFrame(
    {
        "user_id": [1, 2, 1, 1, 2, 2],
        "item_id": [10, 10, 10, 20, 20, 99],
        "tag": ["Dark", "dark ", "slow burn", "slow burn", "only once", "dark"],
        "timestamp": [1, 2, 3, 4, 5, 6],
    }
)
TABLE = pd.DataFrame(
    {
        "item_id": [10, 20, 30],
        "genres": ["Drama|War", "Drama", "(no genres listed)"],
        "year": pd.array([1994, 2001, None], "Int32"),
    }
)


# --- features -------------------------------------------------------------------------------------


def test_features_by_hand():
    f = item_features(TABLE, TAGS)
    names = ["genre: Drama", "genre: War", "decade: 1990s", "decade: 2000s", "tag: slow burn"]
    assert list(f.names) == names  # "dark" is on one known item only, "only once" too
    half = np.sqrt(0.5)
    drama, war = (half + 1) / 2, half / 2  # the means, which the item without genres takes
    expected = [[half, half, 1, 0, 1], [1, 0, 0, 1, 1], [drama, war, 0.5, 0.5, 0]]
    np.testing.assert_allclose(f.values.toarray(), expected)
    z = f.table(Ids(np.array([30, 77, 20])))
    assert z.shape == (4, 5) and z.dtype == np.float32
    np.testing.assert_allclose(z[2], np.array(expected[1]) - np.mean(expected, 0), rtol=1e-6)
    assert not z[[1, 3]].any()  # without metadata, and unknown: the mean
    np.testing.assert_allclose(z[0], [0, 0, 0, 0, -2 / 3], atol=1e-7)


def test_tags_are_tf_idf():
    tags = pd.DataFrame({"item_id": [1, 1, 1, 2, 2, 3], "tag": ["a", "a", "b", "a", "b", "b"]})
    items = pd.DataFrame({"item_id": [1, 2, 3, 4], "genres": "X"})
    f = item_features(items, tags)
    idf = np.log(5 / np.array([3, 4])) + 1  # a on 2, b on 3 of 4 items; one is added to each
    first = np.array([1 + np.log(2), 1]) * idf
    table = f.values.toarray()[:, 1:]
    np.testing.assert_allclose(table[0], first / np.linalg.norm(first))
    np.testing.assert_allclose(table[2:], [[0, 1], [0, 0]])


def test_tags_left_out():
    def tags_of(**rules) -> list[str]:
        names = item_features(TABLE, TAGS, **rules).names
        return [name for name in names if name.startswith("tag")]

    assert tags_of(tags_before=5) == ["tag: slow burn"] and tags_of(tags_before=4) == []
    dated = TAGS.assign(timestamp=[f"2004-12-0{day}" for day in TAGS["timestamp"]])
    features = item_features(TABLE, dated, tags_before=dt.date(2004, 12, 5))
    assert [name for name in features.names if "tag" in name] == ["tag: slow burn"]
    assert tags_of(without=pd.DataFrame({"user_id": [1], "item_id": [20]})) == []
    assert tags_of(without=pd.DataFrame({"user_id": [2], "item_id": [20]})) == ["tag: slow burn"]
    assert tags_of(tag_components=0) == []


def test_reduced_features_stay_readable():
    """Contributions and profiles are by name, and sum to what the model was given."""
    rng = np.random.default_rng(0)
    items = pd.DataFrame({"item_id": range(60), "genres": rng.choice(["A", "A|B", "C"], 60)})
    tags = pd.DataFrame({"item_id": rng.integers(0, 50, 400), "tag": rng.integers(0, 20, 400)})
    f = item_features(items, tags, tag_components=5)
    assert f.width == 3 + 5 and len(f.names) == 3 + 20
    weights = rng.normal(size=f.width)
    z = f.table(f.ids)
    for item in (0, 55):  # with tags and without
        parts = f.contributions(item, weights)
        assert parts.sum() == pytest.approx(z[item] @ weights, rel=1e-5)
        assert np.all(np.diff(np.abs(parts.to_numpy())) <= 0)
    profile = f.profile(weights)[f.names].to_numpy()
    shown = f.values.toarray() @ profile
    np.testing.assert_allclose(shown - shown.mean(), z[:60] @ weights, atol=1e-5)
    assert f.contributions(1000, weights).empty
    again = item_features(items, tags, tag_components=5)
    assert np.array_equal(f.loadings, again.loadings)


@pytest.mark.parametrize(
    ("table", "rules", "message"),
    [
        (TABLE.drop(columns=["genres", "year"]), {}, "item_id and genres or year is needed"),
        (pd.concat([TABLE, TABLE]), {}, "item 10 twice"),
        (TABLE.assign(genres="", year=pd.array([None] * 3, "Int32")), {}, "no item has a genre"),
        (TABLE, {"tags": TAGS.drop(columns="timestamp"), "tags_before": 3}, "no column timestamp"),
        (
            TABLE,
            {"tags": TAGS.assign(timestamp="12/3/2004"), "tags_before": "2004-12-05"},
            "the tags, row 1, column timestamp: '12/3/2004' is no time",
        ),
        (TABLE, {"tags": TAGS, "tags_before": "12/5/2004"}, "tags_before='12/5/2004': no time"),
        (TABLE, {"tags": TAGS[["tag"]]}, "no column item_id"),
    ],
)
def test_bad_metadata(table, rules, message):
    with pytest.raises(InputError, match=message):
        item_features(table, **rules)


def test_tags_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(InputError, match="pip install 'pmf.content.', or say tag_components=0"):
        item_features(TABLE, TAGS)
    assert item_features(TABLE, TAGS, tag_components=0).width == 4


# --- the regression -------------------------------------------------------------------------------

USERS, D = 12, 4
PRIOR = pmf.IsotropicPrior(1.7, 3.0, 1.0, 0.6, 1.0, user_exponent=0.5)


def regression_problem() -> tuple[Ratings, np.ndarray, Data]:
    """60 ratings of 11 of 12 users on 9 items with 4 features."""
    rng = np.random.default_rng(1)
    pair = rng.permutation((USERS - 1) * 9)[:60].astype(np.int32)
    ratings = Ratings(pair // 9, pair % 9, rng.normal(3.5, 1, 60))
    table = np.vstack([rng.normal(size=(9, D)), np.zeros(D)])
    return ratings, table, by_rows(ratings, USERS, 10, D)


def regressed(prior=PRIOR):
    ratings, table, data = regression_problem()
    arrays = prior.build(Terms(D, True, False), data, jnp.float64)
    algorithm, key = content(arrays, 3.4, table), jax.random.key(0)
    state, info = algorithm.step(key, algorithm.init(key, data), data)
    return ratings, table, data, algorithm, state, info


def test_each_user_is_a_ridge_regression():
    ratings, table, _, _, state, _ = regressed()
    factor, bias = (np.asarray(x) for x in (state.params.user.factor, state.params.user.bias))
    for u in range(USERS):
        mine = ratings.user == u
        if not mine.any():
            assert not factor[u].any() and not bias[u].any()
            continue
        # Columns scaled by the roots of their ridges: scikit-learn has one for all.
        root = np.sqrt(np.array([3.0] * D + [0.6]) / 1.7 * np.sqrt(mine.sum()))
        X = np.c_[table[ratings.item[mine]], np.ones(mine.sum())] / root
        ridge = Ridge(alpha=1.0, fit_intercept=False).fit(X, ratings.value[mine] - 3.4)
        np.testing.assert_allclose(np.r_[factor[u], bias[u]], ridge.coef_ / root, rtol=1e-9)


def covariance(rows: np.ndarray, table, ratings, u: int, prior=PRIOR) -> np.ndarray:
    """Of E[r] at items `rows` under user u's prior: nothing is inverted but a diagonal."""
    x = np.c_[table[rows], np.ones(len(rows))]
    count = max(1, (ratings.user == u).sum())
    variances = 1 / (np.array([prior.user_factor] * D + [prior.user_bias]) * np.sqrt(count))
    return x * variances @ x.T


def test_variance_is_the_gaussian_process_one():
    """k(x, x) - k(x, X) inv(K + I/tau) k(X, x): the same posterior in the space of ratings."""
    ratings, table, _, _, state, _ = regressed()
    rated = scipy.sparse.csr_array((np.ones(60), ratings[:2]), (USERS, 10))
    user, item = (x.ravel() for x in np.meshgrid(np.arange(USERS), np.arange(10)))
    variances = posterior_variance(user, item, table, rated, state.prior)
    for u, i, variance in zip(user, item, variances, strict=True):
        X = ratings.item[ratings.user == u]
        K = covariance(np.r_[X, i], table, ratings, u)
        noisy = K[:-1, :-1] + np.eye(len(X)) / 1.7
        truth = K[-1, -1] - K[-1, :-1] @ np.linalg.solve(noisy, K[:-1, -1])
        assert variance == pytest.approx(truth, rel=1e-9)
    assert len(posterior_variance(user[:0], item[:0], table, rated, state.prior)) == 0


def test_noise_maximises_the_marginal_likelihood():
    ratings, table, _, _, state, _ = regressed()
    x = np.asarray(state.params.user.factor), np.asarray(state.params.user.bias)[:, 0]
    mean = 3.4 + (x[0][ratings.user] * table[ratings.item]).sum(1) + x[1][ratings.user]
    rest = np.mean((ratings.value - mean) ** 2)
    noise = marginal_noise(state.params.user, state.prior, rest, 60)

    def evidence(variance: float) -> float:
        total = 0.0
        for u in range(USERS - 1):
            mine = ratings.user == u
            # The ridges stay: the covariance of weights scales with the noise.
            K = covariance(ratings.item[mine], table, ratings, u) * 1.7 + np.eye(mine.sum())
            total += scipy.stats.multivariate_normal.logpdf(
                ratings.value[mine] - 3.4, cov=variance * K
            )
        return total

    assert evidence(noise) > max(evidence(0.99 * noise), evidence(1.01 * noise))


def test_one_step_is_enough_and_reports_its_density():
    ratings, table, data, algorithm, state, info = regressed()
    again, _ = algorithm.step(jax.random.key(1), state, data)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        assert np.array_equal(a, b)
    w = np.c_[state.params.user.factor, state.params.user.bias]
    mean = 3.4 + np.einsum("nd,nd->n", w[ratings.user, :D], table[ratings.item])
    mean += w[ratings.user, D]
    truth = scipy.stats.norm.logpdf(ratings.value, mean, 1 / np.sqrt(1.7)).sum()
    count = np.maximum(np.bincount(ratings.user, minlength=USERS), 1) ** 0.5
    precision = np.outer(count, [3.0] * D + [0.6])
    truth += scipy.stats.norm.logpdf(w, 0, 1 / np.sqrt(precision)).sum()
    assert float(info.log_posterior) == pytest.approx(truth, rel=1e-12)
    assert isinstance(state, State)


# --- the model on frames --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> pmf.Content:
    return pmf.Content().fit(planted_frame().warm, FEATURES, planted_frame().cold)


def test_predicts_items_that_nobody_has_rated(fitted):
    """Ratings come from genres: new items are no harder than known ones; ALS is blind to them."""
    frames = planted_frame()
    scored = pmf.report(fitted, frames.cold)
    assert np.all(fitted.predict(frames.cold)["unknown"] == "")
    assert list(scored.by_item_popularity["stratum"]) == ["0"]
    assert scored.scores["rmse"] < 0.6  # the noise is 0.5
    assert 0.86 < scored.scores["coverage_90"] < 0.94
    with pytest.warns(pmf.UnknownIdWarning):
        blind = pmf.report(pmf.PMF(rank=2, prior=PRIOR).fit(frames.warm), frames.cold)
    assert blind.scores["rmse"] > 1.5 * scored.scores["rmse"]
    heldout = pmf.report(fitted, frames.cold, heldout=True)
    assert heldout.scores == scored.scores


def test_finds_the_planted_profiles(fitted):
    assert agreement(fitted) > 0.9
    profile = fitted.profile("u3")
    assert profile.abs().max() == fitted.profile("u3").abs().iloc[0]
    assert not fitted.profile("nobody").any()


def test_an_explanation_sums_to_the_prediction(fitted):
    for item in ("m0", f"m{ITEMS - 1}"):  # rated, and not
        parts = fitted.explain("u5", item)
        mean = fitted.predict(pd.DataFrame({"user": ["u5"], "item": [item]}))["mean"][0]
        assert parts.sum() == pytest.approx(mean, rel=1e-5)
        assert list(parts.index[:2]) == ["mean", "user bias"]


def test_unknown_ids_are_predicted_and_marked(fitted):
    pairs = pd.DataFrame({"user": ["u0", "nobody", "u0"], "item": ["m0", f"m{ITEMS - 1}", "x"]})
    with pytest.warns(pmf.UnknownIdWarning, match="1 of 3 pairs have an unknown user, 1 an"):
        predicted = fitted.predict(pairs, interval=0.9)
    assert list(predicted["unknown"]) == ["", "user", "item"]
    assert predicted["mean"][1] == pytest.approx(fitted.fitted.fit.run.draws.mu[0])
    assert predicted["std"][1] > predicted["std"][0]


def test_bad_input():
    frame = planted_frame().warm
    with pytest.raises(InputError, match="not fitted"):
        pmf.Content().profile("u0")
    with pytest.raises(InputError, match="did you mean prior"):
        pmf.Content(priors=PRIOR)
    with pytest.raises(InputError, match="clip needs a scale"):
        pmf.Content(clip=True)
    with pytest.raises(InputError, match="such as 'm.*' in the ratings, and such as 0 in the feat"):
        pmf.Content().fit(frame, item_features(MOVIES.assign(item_id=range(ITEMS))))
    other = item_features(MOVIES.assign(item_id=[f"x{j}" for j in range(ITEMS)]))
    with pytest.raises(InputError, match="no rated item has features"):
        pmf.Content().fit(frame, other)


def test_clipping_and_a_given_prior():
    frames = planted_frame()
    low, high = frames.warm["rating"].min(), frames.warm["rating"].max()
    fitted = pmf.Content(prior=PRIOR, scale=(low, high), clip=True).fit(frames.warm, FEATURES)
    predicted = fitted.predict(frames.cold)["mean"]
    assert predicted.between(low, high).all()
    assert fitted.fitted.fit.noise_variance == pytest.approx(1 / 1.7)
    assert fitted.noise_source == "given"


@pytest.mark.parametrize("form", [str, float])
def test_ids_of_another_type_are_the_same(form):
    """Features and tags of items 1, 2, ... for ratings of "1", "2", ... and 1.0, 2.0, ..."""
    frame = planted_frame().warm
    names = ["user_id", "item_id"]
    frame = frame.assign(**{name: frame[name].str[1:].astype(int) for name in names})
    movies = MOVIES.assign(item_id=range(ITEMS))
    tags = pd.DataFrame({"user_id": 3, "item_id": range(9), "tag": ["dark", "gold", "long"] * 3})
    without = frame[(frame["user_id"] == 3) & (frame["item_id"] < 3)]
    assert 0 < len(without) < 9
    plain = item_features(movies, tags, without=without)
    other = item_features(
        movies.astype({"item_id": form}),
        tags,
        without=without.astype({"user_id": form, "item_id": form}),
    )
    np.testing.assert_array_equal(other.values.toarray(), plain.values.toarray())
    assert (item_features(movies, tags).values != plain.values).nnz
    for features in (plain, other):
        table = features.table(Ids(np.array([4, 2, 10**6])))
        np.testing.assert_allclose(table, plain.table(Ids(np.array(["4", "2", "x"], object))))
    fits = [pmf.Content(prior=PRIOR).fit(f, x) for f, x in ((frame, plain), (frame, other))]
    fits.append(pmf.Content(prior=PRIOR).fit(frame.astype({"item_id": form}), plain))
    truth = fits[0].predict(frame)
    for fit in fits[1:]:
        pd.testing.assert_frame_equal(fit.predict(frame), truth)
    with pytest.raises(InputError, match="the table of items has item '?2'? twice"):
        once, again = movies.astype({"item_id": object}), movies[2:3].astype({"item_id": form})
        item_features(pd.concat([once, again]))
