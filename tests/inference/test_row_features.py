"""Features in rows' prior means: the draw of their coefficients, fits, new rows, and files."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.estimators.new_users import conditioning_of
from pmf.inference import row_features as module
from pmf.inference.row_features import (
    GIVEN,
    RATED,
    rated_features,
    row_features,
    sample_regression,
)
from pmf.types import Gaussian

D = 3
QUICK = {"rank": 2, "method": "gibbs", "num_chains": 1, "num_steps": 40, "burn_in": 40, "thin": 1}
IMPLICIT = QUICK | {"tau": 2.0, "implicit": "both"}


def precision(rng, d: int = D) -> np.ndarray:
    root = rng.normal(size=(d, d))
    return root @ root.T + np.eye(d)


@pytest.mark.parametrize(("n", "q"), [(4, 7), (7, 4), (5, 5), (6, 0)])
def test_coefficients_have_their_dense_conditional(monkeypatch, n, q):
    """The draw is linear in its noise: its value at none is the mean, its slope the covariance."""
    rng = np.random.default_rng(0)
    known = np.arange(n) != 1
    features = row_features(rng.normal(size=(n, q)), known, "features")
    w, m = rng.normal(size=(n, D)), rng.normal(size=D)
    Lambda, own = precision(rng), precision(rng)
    gaussian = Gaussian(jnp.asarray(m), jnp.asarray(Lambda), jnp.ones(()))

    def drawn(noise: jax.Array) -> jax.Array:
        parts = iter([noise[:q], noise[q:]])
        monkeypatch.setattr(module, "row_epsilon", lambda *_: next(parts))
        key = jax.random.key(0)
        given = features, jnp.asarray(w), gaussian, jnp.asarray(own), None, None
        return sample_regression(key, *given)[0].coefficients.ravel()

    none = jnp.zeros((q + n, D))
    slope = np.asarray(jax.jacobian(drawn)(none)).reshape(q * D, (q + n) * D)
    Z = np.asarray(features.Z)
    P = np.kron(np.eye(q), own) + np.kron(Z.T @ Z, Lambda)
    mean = np.linalg.solve(P, (Z.T @ (w - m) @ Lambda).ravel())
    np.testing.assert_allclose(drawn(none), mean, atol=1e-10)
    np.testing.assert_allclose(slope @ slope.T, np.linalg.inv(P), atol=1e-10)


def test_what_they_add_is_their_sum():
    rng = np.random.default_rng(1)
    raw = rng.normal(size=(6, 4))
    features = row_features(raw.copy(), np.arange(6) < 5, "features")
    gaussian = Gaussian(jnp.zeros(D), jnp.asarray(precision(rng)), jnp.ones(()))
    given = features, jnp.asarray(rng.normal(size=(6, D))), gaussian, jnp.eye(D), None, None
    (B, offset, _, spread), shift = sample_regression(jax.random.key(1), *given)
    np.testing.assert_allclose(shift[:5], raw[:5] @ B - offset, atol=1e-12)
    np.testing.assert_allclose(shift[5], 0)  # a row without features is an average one
    np.testing.assert_allclose(shift[:5].sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(spread, np.cov(shift[:5].T, bias=True), atol=1e-12)


def test_features_are_what_was_rated():
    user, item = np.array([0, 0, 0, 0, 2]), np.array([0, 1, 2, 4, 1])
    features = rated_features(user, item, 4, 5)
    Z, Z_T, known, centre, vectors, vectors_T, values = map(np.asarray, features)
    assert known.tolist() == [True, False, True, False]
    whole = np.array([[0.5, 0.5, 0.5, 0, 0.5], [0] * 5, [0, 1, 0, 0, 0], [0] * 5])
    rated = [0, 2]
    np.testing.assert_allclose(centre, whole[rated].mean(0))
    np.testing.assert_allclose(Z[rated], whole[rated] - centre, atol=1e-7)
    np.testing.assert_allclose(Z[[1, 3]], 0)
    np.testing.assert_allclose(vectors * values @ vectors_T, Z @ Z_T, atol=1e-6)


def test_too_many_are_refused_before_they_are_decomposed(monkeypatch):
    monkeypatch.setattr(module, "MOST_AXES", 3)
    with pytest.raises(pmf.InputError, match="implicit: 5 rows with 4 features"):
        rated_features(np.arange(4), np.arange(4), 5, 4)


def fans(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Users rate items of the kind that they like mostly, so that what they rated tells a taste.

    Training has few ratings of each; tests are of both kinds.
    """
    rng = np.random.default_rng(seed)
    num_users, num_items = 150, 40
    likes = rng.integers(0, 2, num_users)
    kind = np.arange(num_items) % 2
    chance = np.where(likes[:, None] == kind, 0.25, 0.03)
    user, item = np.nonzero(rng.random((num_users, num_items)) < chance)
    test_user, test_item = np.nonzero(rng.random((num_users, num_items)) < 0.1)
    frames = []
    for u, i in ((user, item), (test_user, test_item)):
        rating = 3 + np.where(likes[u] == kind[i], 1.0, -1.0) + 0.7 * rng.normal(size=len(u))
        ids = {"user_id": [f"u{x}" for x in u], "item_id": [f"m{x}" for x in i]}
        frames.append(pd.DataFrame(ids | {"rating": rating}))
    return frames[0], frames[1]


def rmse(model: pmf.PMF, test: pd.DataFrame) -> float:
    return float(np.sqrt(np.mean((model.predict(test)["mean"] - test["rating"]) ** 2)))


@pytest.fixture(scope="module")
def fitted() -> pmf.PMF:
    return pmf.PMF(**IMPLICIT).fit(fans()[0])


def test_what_was_rated_tells_a_taste(fitted):
    train, test = fans()
    plain = pmf.PMF(**IMPLICIT | {"implicit": "none"}).fit(train)
    assert rmse(fitted, test) < rmse(plain, test) - 0.05


def test_neither_order_nor_names_change_a_draw(fitted):
    train, test = fans()
    renamed = train.sample(frac=1, random_state=1)
    renamed = renamed.assign(user_id="x" + renamed["user_id"].str[::-1])
    other = pmf.PMF(**IMPLICIT).fit(renamed)
    pairs = test.assign(user_id="x" + test["user_id"].str[::-1])
    # The ratings are distinct, so no two rows are alike; sums are in another order.
    np.testing.assert_allclose(
        other.predict(pairs)["mean"], fitted.predict(test)["mean"], atol=0.02
    )


def test_the_unit_of_ratings_is_of_no_account(fitted):
    train, test = fans()
    tenfold = train.assign(rating=10 * train["rating"] + 7)
    other = pmf.PMF(**IMPLICIT | {"tau": 0.02}).fit(tenfold)
    table, scaled = fitted.predict(test), other.predict(test)
    np.testing.assert_allclose(scaled["mean"], 10 * table["mean"] + 7, atol=0.2)
    regression, wide = (x.fitted.fit.run.prior.item.regressions[RATED] for x in (fitted, other))
    np.testing.assert_allclose(
        wide.coefficients[..., -1].std(), 10 * regression.coefficients[..., -1].std(), rtol=0.05
    )


def test_what_is_saved_comes_back(fitted, tmp_path):
    _, test = fans()
    fitted.save(tmp_path / "m.pmf")
    again = pmf.load(tmp_path / "m.pmf")
    pd.testing.assert_frame_equal(again.predict(test), fitted.predict(test))
    theirs = fans(3)[0].query("user_id == 'u1'")
    pairs = theirs[["user_id", "item_id"]]
    one, other = (pmf.fold_in(model, theirs).predict(pairs) for model in (fitted, again))
    pd.testing.assert_frame_equal(one, other)


def test_a_damaged_regression_is_refused(fitted, tmp_path):
    import copy

    broken = copy.copy(fitted)
    run = fitted.fitted.fit.run
    regression = run.prior.user.regressions[RATED]
    short = regression._replace(coefficients=regression.coefficients[:, :-1])
    prior = run.prior._replace(user=run.prior.user._replace(regressions={RATED: short}))
    broken.fitted = copy.copy(fitted.fitted)
    broken.fitted.fit = fitted.fitted.fit.with_run(prior=prior)
    broken.save(tmp_path / "m.pmf")
    with pytest.raises(pmf.InputError, match=r"prior.user.rated.coefficients: its shape"):
        pmf.load(tmp_path / "m.pmf")


def test_a_new_user_is_drawn_to_what_they_rated(fitted):
    """The conditional under each draw, by the formula."""
    rated = pd.DataFrame({"user_id": "new", "item_id": ["m0", "m2", "m4"], "rating": [4.0, 3.5, 4]})
    new = pmf.fold_in(fitted, rated)
    items = fitted.fitted.items.codes(rated["item_id"], "here")
    draws, prior = fitted.draws, fitted.fitted.fit.run.prior
    for s in (0, 17):
        B, offset, _, spread = (x[s] for x in prior.user.regressions[RATED])
        mean = prior.user.mean[s] + B[items].sum(0) / np.sqrt(3) - offset
        x = np.concatenate([draws.item.factor[s, items], np.ones((3, 1))], 1)
        y = rated["rating"] - draws.mu[s] - draws.item.bias[s, items, 0]
        P = prior.user.precision[s] + prior.tau[s] * x.T @ x
        h = prior.user.precision[s] @ mean + prior.tau[s] * x.T @ y
        np.testing.assert_allclose(new.posterior.mean[s, 0], np.linalg.solve(P, h), atol=1e-3)
        np.testing.assert_allclose(new.posterior.mean[s, 1], prior.user.mean[s], atol=1e-4)
        nobody = np.linalg.inv(prior.user.precision[s]) + spread  # who has rated nothing
        np.testing.assert_allclose(new.posterior.covariance[s, 1], nobody, rtol=1e-3, atol=1e-4)
    for item in ("m1", "m2"):
        table = new.predict(pd.DataFrame({"user_id": ["new"], "item_id": [item]}))
        parts = new.explain("new", item)["contribution"]
        assert parts.sum() == pytest.approx(table["mean"].iloc[0], abs=1e-4)


def test_more_rows_come_later(fitted):
    """A model with further rows still folds in: later items and users are no features."""
    extra = pd.DataFrame({"user_id": "late", "item_id": ["m0", "m2"], "rating": [5.0, 4.0]})
    items = pd.DataFrame({"user_id": ["u0", "u1"], "item_id": "late", "rating": [5.0, 1.0]})
    both = fitted.partial_fit_users(extra).partial_fit_items(items)
    regression = both.fitted.fit.run.prior.user.regressions[RATED]
    old = fitted.fitted.fit.run.prior.user.regressions[RATED]
    np.testing.assert_array_equal(regression.coefficients[:, :-2], old.coefficients[:, :-1])
    np.testing.assert_array_equal(regression.coefficients[:, -2], 0)
    np.testing.assert_array_equal(regression.coefficients[:, -1], old.coefficients[:, -1])
    pairs = pd.DataFrame({"user_id": "late", "item_id": ["late", "m1"]})
    assert np.isfinite(both.predict(pairs)["mean"]).all()
    more = pd.DataFrame({"user_id": "new", "item_id": ["late", "m0"], "rating": [4.0, 4.0]})
    assert np.isfinite(pmf.fold_in(both, more).predict(more)["mean"]).all()


def test_later_users_are_taught_by_what_they_rated(fitted):
    theirs = pd.DataFrame({"user_id": "late", "item_id": ["m0", "m2", "m4"], "rating": [3.0] * 3})
    told = conditioning_of(fitted.fitted.fit, "user").prior_means
    held = fitted.fitted.items.codes(theirs["item_id"], "here")[None]
    means = told(held, np.ones((1, 3), bool))[:, 0]
    plain = np.asarray(fitted.fitted.fit.run.prior.user.mean)
    assert np.abs(means - plain).mean() > 0.1


def described(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ratings by genre of 60 items, of which the last ten have none in training; and the items."""
    rng = np.random.default_rng(seed)
    genre = np.arange(60) % 2
    user, item = np.nonzero(rng.random((80, 60)) < 0.4)
    likes = np.where(rng.random(80) < 0.5, 1.0, -1.0)
    rating = 3 + likes[user] * np.where(genre[item] == 0, 1, -1) + 0.5 * rng.normal(size=len(user))
    frame = pd.DataFrame({"user_id": user, "item_id": item, "rating": rating})
    items = pd.DataFrame({"item_id": np.arange(60), "genres": np.where(genre == 0, "A", "B")})
    is_new = frame["item_id"] >= 50
    return frame[~is_new], frame[is_new], items


@pytest.fixture(scope="module")
def with_genres() -> pmf.PMF:
    train, _, items = described()
    features = pmf.item_features(items)
    return pmf.PMF(**IMPLICIT | {"tau": 4.0}).fit(train, item_features=features)


def test_an_item_that_nobody_rated_is_predicted_from_its_features(with_genres, tmp_path):
    train, new, _ = described()
    plain = pmf.PMF(**IMPLICIT | {"tau": 4.0}).fit(train)
    with pytest.warns(pmf.UnknownIdWarning):
        assert rmse(plain, new) > 1.0
    assert rmse(with_genres, new) < 0.65  # 0.5 is the noise
    table = with_genres.predict(new, interval=0.9)
    covers = (table["low"] <= new["rating"]) & (new["rating"] <= table["high"])
    assert 0.84 < covers.mean() < 0.96
    assert (table["unknown"] == "").all()
    with_genres.save(tmp_path / "m.pmf")
    again = pmf.load(tmp_path / "m.pmf")
    pd.testing.assert_frame_equal(again.predict(new), with_genres.predict(new))
    rated = new[new["item_id"] == 50]
    one, other = (x.partial_fit_items(rated).predict(rated) for x in (with_genres, again))
    pd.testing.assert_frame_equal(one, other)


def test_a_later_item_begins_from_its_features(with_genres):
    """One rating says little: what is known of the item is left, where it is told."""
    _, new, _ = described()
    rated = new[new["item_id"] == 50]
    later = with_genres.partial_fit_items(rated[:1])
    error = rmse(later, rated[1:])
    assert error < 0.75
    blind = pmf.PMF.of(with_genres.settings)
    blind.fitted, blind.features = with_genres.fitted, {}
    assert rmse(blind.partial_fit_items(rated[:1]), rated[1:]) > error + 0.1


def test_users_have_features_too(tmp_path):
    """Of users without ratings too: the young like what the old dislike."""
    rng = np.random.default_rng(0)
    age = rng.normal(40, 10, 120)
    user, item = np.nonzero(rng.random((120, 30)) < 0.4)
    taste = np.where(item % 2 == 0, 1, -1) * (age[user] - 40) / 10
    rating = 3 + 0.8 * taste + 0.4 * rng.normal(size=len(user))
    frame = pd.DataFrame({"user_id": user, "item_id": item, "rating": rating})
    is_new = frame["user_id"] >= 100
    people = pd.DataFrame(
        {"user_id": np.arange(120), "age": age, "sex": rng.choice(["f", "m"], 120)}
    )
    model = pmf.PMF(**QUICK | {"tau": 4.0})
    model.fit(frame[~is_new], user_features=pmf.frame_features(people))
    assert rmse(model, frame[is_new]) < 0.6
    one = frame[frame["user_id"] == 110]
    pairs = one[["user_id", "item_id"]]
    new = pmf.fold_in(model, one[:1])
    assert np.corrcoef(new.predict(pairs)["mean"], taste[one.index])[0, 1] > 0.8
    item_id = one["item_id"].iloc[3]
    parts, mean = new.explain(110, item_id), new.predict(pairs[pairs["item_id"] == item_id])["mean"]
    assert parts["contribution"].sum() == pytest.approx(mean.iloc[0], abs=1e-4)
    new.save(tmp_path / "new.pmf")
    again = pmf.load(tmp_path / "new.pmf")
    pd.testing.assert_frame_equal(again.explain(110, item_id), parts)
    empty = one[:0]
    nobody = pmf.fold_in(model, empty, users=[110, "stranger"])
    apart = nobody.predict(pd.DataFrame({"user_id": ["stranger"] * 2, "item_id": [0, 1]}))["mean"]
    assert abs(apart.diff().iloc[1]) < 0.4  # of a stranger nothing is known
    assert np.corrcoef(nobody.predict(pairs)["mean"], taste[one.index])[0, 1] > 0.8


def test_both_kinds_of_features_are_one_sum(with_genres):
    regressions = with_genres.fitted.fit.run.prior.item.regressions
    assert [*regressions] == [GIVEN, RATED]
    assert regressions[GIVEN].coefficients.shape == (40, 2, 3)
    assert regressions[RATED].coefficients.shape == (40, 81, 3)


def test_what_cannot_be_done_is_refused():
    train, _, items = described()
    with pytest.raises(pmf.InputError, match=r"als: given features are for gibbs.*pmf.Hybrid"):
        pmf.PMF(2, prior=pmf.IsotropicPrior(1, 1, 1, 1, 1)).fit(
            train, item_features=pmf.item_features(items)
        )
    with pytest.raises(pmf.InputError, match="no rated item has features"):
        pmf.PMF(**IMPLICIT).fit(
            train, item_features=pmf.item_features(items.assign(item_id=items["item_id"] + 1000))
        )
    with pytest.raises(pmf.InputError, match="implicit: a setting of Gibbs"):
        pmf.PMF(method="als", implicit="user")
    with pytest.raises(pmf.InputError, match="implicit"):
        pmf.PMF(**IMPLICIT, devices=2)
    with pytest.raises(pmf.InputError, match="implicit"):
        pmf.PMF(**IMPLICIT | {"implicit": "all"})
