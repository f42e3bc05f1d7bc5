"""The hybrid against the joint density by SciPy, against ALS, and on a planted truth.

Catches: a sweep that lowers the joint, a regression that counts unrated items or forgets weights,
an unrated item away from its features, a start or an order that differs from ALS without features.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.linear_model import Ridge

import pmf
from pmf.data.splits import sample_items
from pmf.errors import InputError
from pmf.inference.als import als
from pmf.inference.hybrid import State, hybrid, log_regression_prior, regress
from pmf.inference.layout import by_rows
from pmf.inference.row_update import half_sweep
from pmf.model.density import joined, log_gaussian, log_likelihood, log_posterior
from pmf.parallel.placement import device_mesh, place, rows_on_mesh
from pmf.types import Params, Terms
from tests.helpers.meshes import tailed_ratings
from tests.helpers.planted import FEATURES, ITEMS, NOISE, agreement, planted_frame
from tests.helpers.problems import ALL_TERMS, climb, random_prior, small_data, small_ratings
from tests.helpers.problems import ITEMS as N

STRENGTH = 0.7
Z = np.random.default_rng(2).normal(size=(N, 3))


def sweeps(terms, prior, num: int, table=Z, data=None, strength=STRENGTH):
    algorithm = hybrid(prior, terms, 3.5, table, strength)
    return climb(algorithm, small_data() if data is None else data, num)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("terms", ALL_TERMS)
def test_never_lowers_the_joint_density(terms, weighted):
    _, values = sweeps(terms, random_prior(terms, weighted=weighted), 40)
    assert np.all(np.diff(values) >= -1e-12 * np.abs(values).max())


@pytest.mark.parametrize("terms", [Terms(3), Terms(3, True, False), Terms(0)])
def test_reports_the_joint_density_of_its_state(terms):
    """By SciPy: ratings, rows around B^T z, and vec(B) with the Kronecker precision."""
    prior = random_prior(terms, weighted=True)
    (params, _, B), values = sweeps(terms, prior, 3)
    truth = float(log_likelihood(params, small_ratings(), prior.tau))
    truth += float(log_gaussian(joined(params.user), prior.user))
    Lambda, B = np.asarray(prior.item.precision), np.asarray(B)
    if Lambda.size:
        for w, z, weight in zip(joined(params.item), Z, prior.item.weight, strict=True):
            cov = np.linalg.inv(Lambda * weight)
            truth += scipy.stats.multivariate_normal.logpdf(w, B.T @ z, cov)
        cov = np.linalg.inv(np.kron(STRENGTH * np.eye(3), Lambda))
        truth += scipy.stats.multivariate_normal.logpdf(B.ravel(), cov=cov)
    assert values[-1] == pytest.approx(truth, rel=1e-11)


def test_gradient_of_the_joint_is_zero_at_the_fixed_point():
    terms = Terms(2)
    prior = random_prior(terms, weighted=True)
    state, _ = sweeps(terms, prior, 1500)

    def density(user, item, B):
        centred = prior._replace(item=prior.item._replace(mean=Z @ B))
        params = Params(user, item, state.params.mu)
        joint = log_posterior(params, centred, small_ratings())
        return joint + log_regression_prior(B, prior.item, jnp.asarray(STRENGTH))

    gradient = jax.grad(density, (0, 1, 2))(state.params.user, state.params.item, state.B)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(gradient)) < 1e-6


def test_regression_is_a_weighted_ridge_of_the_rated_items():
    rng = np.random.default_rng(0)
    prior = random_prior(Terms(3), weighted=True)
    w, rated = rng.normal(size=(N, 4)), np.arange(N) % 3 > 0
    B = regress(jnp.asarray(Z), jnp.asarray(w), jnp.asarray(rated), prior.item, jnp.asarray(0.7))
    ridge = Ridge(alpha=0.7, fit_intercept=False)
    ridge.fit(Z[rated], w[rated], sample_weight=np.asarray(prior.item.weight)[rated])
    np.testing.assert_allclose(B, ridge.coef_.T, rtol=1e-9)


@pytest.mark.parametrize("fused", [False, True], ids=["blocks", "fused"])
def test_unrated_items_are_where_their_features_say(fused):
    """Both paths, step by step alike."""
    terms = Terms(3)
    prior, data = random_prior(terms), small_data(fused=fused)
    state, values = sweeps(terms, prior, 5, data=data)
    np.testing.assert_allclose(joined(state.params.item)[-1], Z[-1] @ state.B, rtol=1e-12)
    assert np.abs(state.B).max() > 0.1
    np.testing.assert_allclose(values, sweeps(terms, prior, 5)[1], rtol=1e-10)


@pytest.mark.parametrize("table", [Z[:, :0], 0 * Z], ids=["none", "zeros"])
def test_without_features_it_is_als_bit_for_bit(table):
    terms, data, key = Terms(3), small_data(), jax.random.key(0)
    prior = random_prior(terms)
    prior = prior._replace(item=prior.item._replace(mean=jnp.zeros(4)))
    state, _ = sweeps(terms, prior, 5, table)
    plain = als(prior, terms, 3.5)
    truth = plain.init(key, data)
    step = jax.jit(lambda state: plain.step(key, state, data)[0])
    for _ in range(5):
        truth = step(truth)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(truth.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert isinstance(state, State)


def test_means_of_their_own_on_a_mesh():
    """A device's rows must get their own means: the one-device update to rounding."""
    ratings, terms = tailed_ratings(), Terms(2)
    users, items = int(ratings.user.max()) + 1, int(ratings.item.max()) + 1
    counts = np.bincount(ratings.user, minlength=users), np.bincount(ratings.item, minlength=items)
    where = place(*counts, device_mesh(4))
    rng = np.random.default_rng(0)
    mean, user = rng.normal(size=(items, 3)), rng.normal(size=(users, 3))
    gaussian = random_prior(terms).item._replace(mean=jnp.asarray(mean))

    def update(data, gaussian, user):
        mine, other = (
            pmf.types.Side(jnp.asarray(x[:, :2]), jnp.asarray(x[:, 2:])) for x in (mean, user)
        )
        noise = jnp.zeros_like(joined(mine))
        args = noise, gaussian, jnp.asarray(1.3), jnp.asarray(3.0), mine, other, data.by_item
        return np.asarray(jax.jit(half_sweep)(*args)[0])

    truth = update(by_rows(ratings, users, items, 2, fused=False), gaussian, user)
    placed = gaussian._replace(mean=jnp.asarray(mean[where.item.row]))
    rows = update(rows_on_mesh(where, ratings, ratings, 2), placed, user[where.user.row])
    np.testing.assert_allclose(rows[where.item.place], truth, rtol=1e-9, atol=1e-9)


# --- the model on frames --------------------------------------------------------------------------

PRIOR = pmf.IsotropicPrior(4.0, 1.0, 1.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def scores() -> dict[tuple[str, str], float]:
    """RMSE of each model on known items and on new ones, where tastes go beyond genres."""
    frames = planted_frame(beyond=0.7)
    models = {
        "als": pmf.PMF(rank=6, prior=PRIOR).fit(frames.warm),
        "content": pmf.Content(prior=PRIOR).fit(frames.warm, FEATURES),
        "hybrid": pmf.Hybrid(rank=6, prior=PRIOR, regression=0.5).fit(frames.warm, FEATURES),
    }
    by_model = {}
    for name, model in models.items():
        for what, part in (("known", frames.later), ("new", frames.cold)):
            if (name, what) == ("als", "new"):
                with pytest.warns(pmf.UnknownIdWarning):
                    by_model[name, what] = pmf.report(model, part).scores["rmse"]
            else:
                by_model[name, what] = pmf.report(model, part).scores["rmse"]
    return by_model


def test_is_near_the_better_of_both(scores):
    """ALS cannot know new items, content not what is beyond genres; the hybrid knows both."""
    assert scores["content", "new"] < 0.85 * scores["als", "new"]
    assert scores["hybrid", "new"] < 1.05 * scores["content", "new"]
    assert scores["hybrid", "known"] < 0.92 * scores["content", "known"]
    assert scores["hybrid", "known"] < scores["als", "known"]
    assert scores["hybrid", "known"] > NOISE


def test_same_seed_same_bits():
    frames = planted_frame(beyond=0.7)
    models = [
        pmf.Hybrid(rank=3, seed=seed, num_steps=5, prior=PRIOR, regression=0.5)
        for seed in (0, 0, 1)
    ]
    factors = [model.fit(frames.warm, FEATURES).draws.item.factor for model in models]
    one, same, other = factors
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_chooses_prior_and_strength_and_tells_of_its_steps():
    frames, steps = planted_frame(beyond=0.7), []
    model = pmf.Hybrid(rank=1, num_steps=15)
    model.fit(frames.warm, FEATURES, frames.later, lambda *step: steps.append(step))
    search = model.fitted.fit.search
    assert {trial.value["regression"] for trial in search.trials} > {1.0}
    assert search.chosen["regression"] in {trial.value["regression"] for trial in search.trials}
    rmse = pmf.report(model, frames.later, heldout=True).scores["rmse"]
    assert rmse == pytest.approx(model.records[-1].heldout_rmse, rel=1e-5)
    assert ("choosing the prior", 0, 1) in steps and steps[-1][0] == "hybrid"


@pytest.fixture(scope="module")
def fitted() -> pmf.Hybrid:
    model = pmf.Hybrid(rank=6, prior=PRIOR, regression=0.5)
    return model.fit(planted_frame().warm, FEATURES)


def test_an_explanation_sums_to_the_prediction(fitted):
    for item in ("m0", f"m{ITEMS - 1}"):  # rated, and not
        parts = fitted.explain("u5", item)
        mean = fitted.predict(pd.DataFrame({"user": ["u5"], "item": [item]}))["mean"][0]
        assert parts.sum() == pytest.approx(mean, rel=1e-5)
    assert parts["beyond its features"] == pytest.approx(0, abs=1e-5)  # a new item's
    assert abs(fitted.explain("u5", "m0")["beyond its features"]) > 1e-3


def test_finds_the_planted_profiles(fitted):
    assert agreement(fitted) > 0.88


def test_an_item_without_metadata_is_unknown(fitted):
    pairs = pd.DataFrame({"user": ["u0", "u0"], "item": ["x", f"m{ITEMS - 1}"]})
    with pytest.warns(pmf.UnknownIdWarning, match="1 of 2 pairs have an unknown item;"):
        predicted = fitted.predict(pairs)
    assert list(predicted["unknown"]) == ["item", ""]
    draws = fitted.fitted.fit.run.draws
    user = fitted.fitted.users.codes(pd.Series(["u0"]))[0]
    assert predicted["mean"][0] == pytest.approx(draws.mu[0] + draws.user.bias[0, user, 0])


def test_a_prior_and_its_strength_come_together():
    with pytest.raises(InputError, match="give both, or neither"):
        pmf.Hybrid(prior=PRIOR)


def test_sampled_items_have_no_training_rating():
    frame = planted_frame().warm
    split = sample_items(frame, 0.2, seed=3)
    train, test = (set(part["item_id"]) for part in split)
    assert not train & test and len(test) == round(0.2 * frame["item_id"].nunique())
    assert len(split.train) + len(split.test) == len(frame)
    assert split.hash == sample_items(frame, 0.2, seed=3).hash != sample_items(frame, 0.2, 4).hash
    with pytest.raises(InputError, match="between 0 and 1"):
        sample_items(frame, 1.0, seed=0)
