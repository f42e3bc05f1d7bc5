"""Rows without a refit, and what they explain. Catches: a row that is not its refit's, a variance
that forgets the row's or the draws' part, an explanation that does not add up, the other side's or
another user's rows moved, a question that teaches less than another."""

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.data.histories import Pairs, rated_by_user
from pmf.errors import InputError
from pmf.inference.fold_in import Conditioning, RowPosterior, posterior_of, sampled, variance_drop
from pmf.model.priors import Growth
from pmf.types import Ratings, Terms
from tests.helpers.problems import ITEMS, random_params, random_prior

PRIOR = pmf.IsotropicPrior(4.0, 2.0, 2.0, 4.0, 4.0, user_exponent=0.5)
DRAWS = 3


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pair = rng.permutation(30 * 20)[:400]
    user, item = pair // 20, pair % 20
    mean = 3.5 + np.sin(user) * np.cos(item) + 0.5 * np.cos(user)
    value = mean + 0.3 * rng.standard_normal(400)
    ids = {"user_id": [f"u{x}" for x in user], "item_id": [f"m{x}" for x in item]}
    return pd.DataFrame(ids | {"rating": value.astype(np.float32)})


@pytest.fixture(scope="module")
def als(frame) -> pmf.PMF:
    return pmf.PMF(2, prior=PRIOR, num_steps=3000, tolerance=0.0).fit(frame)


@pytest.fixture(scope="module")
def gibbs(frame) -> pmf.PMF:
    return pmf.PMF(2, "gibbs", tau=8.0, burn_in=30, num_steps=60, num_chains=2, thin=1).fit(frame)


def stack(terms: Terms) -> Conditioning:
    """A stack of draws, each under a prior of its own."""
    priors = [random_prior(terms, seed) for seed in range(DRAWS)]
    draws = [random_params(terms, prior, seed) for seed, prior in enumerate(priors)]
    one = np.stack
    other = [one([getattr(d.item, name) for d in draws]) for name in ("factor", "bias")]
    prior = type(priors[0].user)(
        *(
            one([np.asarray(x) for x in field])
            for field in zip(*(p.user[:3] for p in priors), strict=True)
        )
    )
    tau = np.array([1.7, 0.9, 2.5])
    mu = one([np.asarray(d.mu) for d in draws])
    return Conditioning(
        type(draws[0].item)(*other), mu, tau, prior, Growth(0.5, 0.1), int(terms.user_bias)
    )


@pytest.mark.parametrize(
    "terms", [Terms(3), Terms(3, False, True), Terms(0), Terms(2, True, False)]
)
def test_a_row_is_its_conditional_under_each_draw(terms):
    conditioning, rng = stack(terms), np.random.default_rng(1)
    item = np.concatenate([rng.permutation(ITEMS)[:n] for n in (5, 0, 1)])
    rated = rated_by_user(Ratings(np.repeat([0, 1, 2], [5, 0, 1]), item, rng.normal(3.5, 1, 6)), 3)
    posterior = posterior_of(conditioning, rated)
    for s in range(DRAWS):
        for u, count in enumerate((5, 0, 1)):
            cells = slice(*rated.pairs.start[u : u + 2])
            items, value = rated.pairs.item[cells], np.asarray(rated.value)[cells]
            x = np.concatenate(
                [conditioning.other.factor[s, items], np.ones((count, int(terms.user_bias)))], 1
            )
            y = value - conditioning.mu[s] - conditioning.other.bias[s, items].sum(-1)
            n = max(count, 1)
            prior = n**0.5 * (1 + 0.1 * (n - 1)) * conditioning.prior.precision[s]
            P = prior + conditioning.tau[s] * x.T @ x
            h = prior @ conditioning.prior.mean[s] + conditioning.tau[s] * x.T @ y
            np.testing.assert_allclose(posterior.covariance[s, u], np.linalg.inv(P), rtol=1e-9)
            np.testing.assert_allclose(posterior.mean[s, u], np.linalg.solve(P, h), rtol=1e-6)


def test_a_batch_is_each_row_alone():
    conditioning, rng = stack(Terms(3)), np.random.default_rng(2)
    user = np.sort(rng.integers(0, 40, 150))
    ratings = Ratings(user, rng.integers(0, ITEMS, 150), rng.normal(3, 1, 150))
    together = posterior_of(conditioning, rated_by_user(ratings, 40))
    for u in (0, 7, 39):
        user_ratings = Ratings(*(x[user == u] for x in ratings))._replace(
            user=np.zeros(sum(user == u), int)
        )
        alone = posterior_of(conditioning, rated_by_user(user_ratings, 1))
        np.testing.assert_allclose(alone.mean[:, 0], together.mean[:, u], rtol=1e-9)


def test_draws_of_a_row_have_its_mean_and_covariance():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(2, 1, 3, 3))
    covariance = root @ np.swapaxes(root, -1, -2) + np.eye(3)
    mean = rng.normal(size=(2, 1, 3))
    many = RowPosterior(*(np.repeat(x, 40_000, 0) for x in (mean, covariance)))
    draws = sampled(many, 0).reshape(2, 40_000, 3)
    for s in range(2):
        np.testing.assert_allclose(np.cov(draws[s].T), covariance[s, 0], rtol=0.05, atol=0.08)
        np.testing.assert_allclose(draws[s].mean(0), mean[s, 0], atol=0.05)


def test_a_known_user_folded_in_is_the_fitted_one(als, frame):
    some = frame[frame["user_id"].isin(["u3", "u7"])]
    folded = pmf.fold_in(als, some)
    pairs = pd.MultiIndex.from_product([["u7", "u3"], [f"m{j}" for j in range(20)]])
    pairs = pairs.to_frame(index=False, name=["user_id", "item_id"])
    ours, fitted = folded.predict(pairs), als.predict(pairs)
    np.testing.assert_allclose(ours["mean"], fitted["mean"], atol=1e-5)
    assert (ours["std"] > fitted["std"]).all()  # the row's own uncertainty


def test_an_interval_narrows_with_each_rating(als, gibbs, frame):
    user_ratings = frame[frame["user_id"] == "u1"].assign(user_id="new")
    pair = pd.DataFrame({"user_id": ["new"], "item_id": ["m3"]})
    for model in (als, gibbs):
        fewer = [pmf.fold_in(model, user_ratings[:n], users=["new"]) for n in (0, 2, 5, 10)]
        widths = [float(folded.predict(pair)["std"].iloc[0]) for folded in fewer]
        assert widths == sorted(widths, reverse=True) and widths[-1] < 0.9 * widths[0]


def test_a_folded_user_of_a_sampler_is_predicted_like_the_same_fitted(gibbs, frame):
    folded = pmf.fold_in(gibbs, frame)
    ours, fitted = folded.predict(frame[:200]), gibbs.predict(frame[:200])
    assert np.abs(ours["mean"] - fitted["mean"]).mean() < 0.05
    np.testing.assert_allclose(ours["std"], fitted["std"], rtol=0.1)


@pytest.mark.parametrize("name", ["als", "gibbs"])
def test_an_explanation_adds_up_and_blames_the_right_rating(name, request, frame):
    model = request.getfixturevalue(name)
    user_ratings = frame[frame["user_id"] == "u4"]
    folded, pair = (
        pmf.fold_in(model, user_ratings),
        pd.DataFrame({"user_id": ["u4"], "item_id": ["m11"]}),
    )
    parts = folded.explain("u4", "m11")
    predicted = folded.predict(pair)["mean"].iloc[0]
    assert parts["contribution"].sum() == pytest.approx(predicted, abs=1e-5)
    assert set(parts["item_id"].dropna()) == set(user_ratings["item_id"])
    # A rating's part is what the factors' part changes by, a star up.
    j = int(parts[parts["part"] == "rating"].index[0])
    raised = user_ratings.copy()
    raised.loc[raised["item_id"] == parts["item_id"][j], "rating"] += 1
    again = pmf.fold_in(model, raised).explain("u4", "m11").set_index("item_id")["contribution"]
    if name == "als":  # then the part is a slope times the rating less what is expected of all
        slope = again[parts["item_id"][j]] - parts["contribution"][j]
        draws, row = model.fitted.fit.run.draws, list(model.fitted.items.values)
        bias = draws.item.bias[0, row.index(parts["item_id"][j]), 0]
        expected = slope * (parts["rating"][j] - draws.mu[0] - bias)
        assert parts["contribution"][j] == pytest.approx(expected, rel=1e-3)
    others = parts[(parts["part"] == "rating") & (parts.index != j)]
    np.testing.assert_allclose(again[others["item_id"]], others["contribution"], atol=1e-6)


def test_the_next_question_lowers_the_variance_most(als, frame):
    user_ratings = frame[frame["user_id"] == "u2"].assign(user_id="x")
    folded = pmf.fold_in(als, user_ratings[:4])
    questions = folded.ask_next("x", n=30)
    assert not set(questions["item_id"]) & set(user_ratings["item_id"][:4]) and len(questions) == 16
    everything = pd.DataFrame({"user_id": "x", "item_id": als.fitted.items.values})
    share = als.fitted.item_count[:20] / als.fitted.item_count[:20].sum()

    def variance(ratings) -> float:
        # The prior's weight grows with a count; the question is asked under the weight as it is.
        return float(share @ pmf.fold_in(fixed, ratings).predict(everything)["std"] ** 2)

    prior = pmf.IsotropicPrior(**(vars(PRIOR) | {"user_exponent": 0.0}))
    fixed = pmf.PMF(2, prior=prior, num_steps=50).fit(frame)
    questions = (
        pmf.fold_in(fixed, user_ratings[:4])
        .ask_next("x", n=30)
        .set_index("item_id")["variance_drop"]
    )
    before = variance(user_ratings[:4])
    for item in (questions.index[0], questions.index[7], questions.index[-1]):
        more = pd.concat(
            [user_ratings[:4], pd.DataFrame({"user_id": ["x"], "item_id": item, "rating": 3.0})]
        )
        assert before - variance(more) == pytest.approx(questions[item], rel=1e-3, abs=1e-6)


def test_variance_drop_is_the_mean_over_draws():
    conditioning = stack(Terms(2))
    nobody = rated_by_user(Ratings(*(np.zeros(0, int),) * 3), 1)
    posterior = posterior_of(conditioning, nobody)
    covariance = posterior.covariance[:, 0]
    share, rows = np.full(ITEMS, 1 / ITEMS), np.arange(ITEMS)
    drop = variance_drop(conditioning, posterior, 0, rows, share)
    one = np.zeros(ITEMS)
    for s in range(DRAWS):
        x = conditioning.features(rows)[s]
        for j in rows:
            after = np.linalg.inv(
                np.linalg.inv(covariance[s]) + conditioning.tau[s] * np.outer(x[j], x[j])
            )
            one[j] += share @ np.einsum("nd,de,ne->n", x, covariance[s] - after, x) / DRAWS
    np.testing.assert_allclose(drop, one, rtol=1e-9)


@pytest.mark.parametrize("name", ["als", "gibbs"])
@pytest.mark.parametrize("which", ["user", "item"])
def test_added_rows_leave_the_rest_alone(name, which, request, frame):
    model = request.getfixturevalue(name)
    row_ratings = frame[frame[f"{which}_id"] == ("u5" if which == "user" else "m5")]
    new = pd.concat([row_ratings, row_ratings.assign(**{f"{which}_id": "fresh"})])
    grown = getattr(model, f"partial_fit_{which}s")(new)
    rest = frame[frame[f"{which}_id"] != row_ratings[f"{which}_id"].iloc[0]]
    pd.testing.assert_frame_equal(grown.predict(rest), model.predict(rest))
    tolerance = 1e-5 if name == "als" else 0.5
    known, twin = grown.predict(row_ratings)["mean"], grown.predict(new[len(row_ratings) :])["mean"]
    np.testing.assert_allclose(known, model.predict(row_ratings)["mean"], atol=tolerance)
    np.testing.assert_allclose(twin, known, atol=tolerance)
    assert grown.fitted.rated.pairs.start[-1] == len(frame) + len(row_ratings)
    counts = getattr(grown.fitted, f"{which}_count")
    assert counts[-2] == len(row_ratings) and counts[-1] == 0
    stranger = pd.DataFrame({"user_id": ["?"], "item_id": ["!"]})
    with pytest.warns(pmf.UnknownIdWarning):
        before, after = (x.predict(stranger)["mean"] for x in (model, grown))
    np.testing.assert_allclose(before, after)


def test_bad_input_is_refused_by_name(als, frame):
    twice = pd.concat([frame[:1], frame[:1]])
    with pytest.raises(InputError, match="row 2: user 'u.*' rates item 'm.*' a second time"):
        pmf.fold_in(als, twice)
    with pytest.raises(InputError, match="a second time"):
        als.partial_fit_users(twice)
    with pytest.raises(InputError, match="not among `users`"):
        pmf.fold_in(als, frame[:1], users=["somebody"])
    with pytest.raises(InputError, match="a name occurs twice"):
        pmf.fold_in(als, frame[:0], users=["a", "a"])
    with pytest.raises(InputError, match="not among the folded-in"):
        pmf.fold_in(als, frame[:3]).explain("nobody", "m1")
    with pytest.warns(pmf.UnknownIdWarning, match="1 of 2 have an item"):
        odd = pd.DataFrame({"user_id": "a", "item_id": ["m1", "zzz"], "rating": 4.0})
        assert pmf.fold_in(als, odd).fitted.user_count[0] == 1
    bare = pmf.PMF(2, prior=PRIOR, num_steps=2, store_ratings=False).fit(frame)
    with pytest.raises(InputError, match="did not keep its ratings"):
        bare.partial_fit_items(frame[:2])


def test_pairs_of_some_users_in_any_order():
    pairs = Pairs(np.array([0, 2, 2, 5]), np.array([4, 1, 0, 3, 2]))
    place, item = pairs.of(np.array([2, 1, 0]))
    assert place.tolist() == [0, 0, 0, 2, 2] and item.tolist() == [0, 3, 2, 4, 1]
