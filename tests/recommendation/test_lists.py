"""Lists of recommendations. Catches: an item that was rated, or is no candidate, in a list; a wrong
order or score; a rule that is another; a list that depends on who else was asked for."""

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.errors import InputError
from pmf.recommendation import scores as candidates

PRIOR = pmf.IsotropicPrior(4.0, 2.0, 2.0, 4.0, 4.0)
USERS, ITEMS = 30, 20


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pair = rng.permutation(USERS * ITEMS)[:300]
    user, item = pair // ITEMS, pair % ITEMS
    value = 3.5 + np.sin(user) * np.cos(item) + 0.3 * rng.standard_normal(300)
    return pd.DataFrame({"user_id": user, "item_id": 100 + item, "rating": value})


@pytest.fixture(scope="module")
def als(frame) -> pmf.PMF:
    return pmf.PMF(2, prior=PRIOR, num_steps=20).fit(frame)


@pytest.fixture(scope="module")
def gibbs(frame) -> pmf.PMF:
    return pmf.PMF(2, "gibbs", tau=8.0, burn_in=20, num_steps=30, num_chains=2, thin=1).fit(frame)


def means(model) -> pd.DataFrame:
    """Users by items: the predictive mean by `predict`."""
    users, items = model.require_fitted().users.values, model.require_fitted().items.values
    pairs = pd.MultiIndex.from_product([users, items], names=["user_id", "item_id"])
    table = model.predict(pairs.to_frame(index=False))
    return table.pivot(index="user_id", columns="item_id", values="mean")


def by_draw(model) -> np.ndarray:
    """(s, users, items) in the fitted order."""
    draws = model.fitted.fit.run.draws
    mean = np.einsum("suk,sik->sui", draws.user.factor, draws.item.factor)
    mean += draws.user.bias + draws.item.bias[:, :, 0][:, None] + draws.mu[:, None, None]
    return mean[:, :-1, :-1]


def unseen(table: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    table = table.copy()
    for user, item in zip(frame["user_id"], frame["item_id"], strict=True):
        table.loc[user, item] = -np.inf
    return table


@pytest.mark.parametrize("name", ["als", "gibbs"])
def test_lists_are_the_best_unrated_items(name, request, frame):
    model = request.getfixturevalue(name)
    truth = unseen(means(model), frame)
    lists = pmf.recommend(model, n=4)
    assert lists.groupby("user_id").size().eq(4).all() and lists["user_id"].nunique() == USERS
    for user, part in lists.groupby("user_id"):
        best = truth.loc[user].sort_values(ascending=False)[:4]
        assert list(part["item_id"]) == list(best.index) and list(part["rank"]) == [1, 2, 3, 4]
        np.testing.assert_allclose(part["score"], best, atol=1e-5)
    std = model.predict(lists[["user_id", "item_id"]])["std"]
    np.testing.assert_allclose(lists["std"], std, rtol=1e-6)


def test_a_list_does_not_depend_on_who_else_is_asked_for(als, monkeypatch):
    everyone = pmf.recommend(als, n=5)
    monkeypatch.setattr(candidates, "CELLS", 3 * ITEMS)  # blocks of three users
    for users in ([17], [3, 29, 0, 8]):
        alone = pmf.recommend(als, users, n=5)
        expected = pd.concat([everyone[everyone["user_id"] == user] for user in users])
        pd.testing.assert_frame_equal(alone, expected.reset_index(drop=True), rtol=1e-5)
    assert len(pmf.recommend(als, [])) == 0


def test_only_candidates_and_rated_ones_where_asked(als, frame):
    some = [105, 101, 118]
    lists = pmf.recommend(als, candidates=some, n=9)
    assert set(lists["item_id"]) <= set(some)
    rated = frame[frame["item_id"].isin(some)]
    assert len(lists) == 3 * USERS - len(rated)
    assert not set(zip(lists.user_id, lists.item_id, strict=True)) & set(
        zip(rated.user_id, rated.item_id, strict=True)
    )
    lists = pmf.recommend(als, candidates=some, n=9, filter_seen=False)
    assert len(lists) == 3 * USERS


@pytest.mark.parametrize(("rule", "sign"), [("lower", -1), ("upper", 1)])
def test_bounds_are_mean_and_deviation_over_draws(gibbs, rule, sign):
    draws = by_draw(gibbs)
    bound = draws.mean(0) + sign * draws.std(0, ddof=1)
    lists = pmf.recommend(gibbs, n=3, rule=rule, filter_seen=False)
    users, items = gibbs.fitted.users.values, gibbs.fitted.items.values
    for user, part in lists.groupby("user_id"):
        truth = bound[list(users).index(user)]
        order = np.argsort(-truth)[:3]
        assert list(part["item_id"]) == list(items[order])
        np.testing.assert_allclose(part["score"], truth[order], rtol=1e-4)


def test_thompson_ranks_by_one_draw_a_user(gibbs):
    draws, users = by_draw(gibbs), list(gibbs.fitted.users.values)
    lists = pmf.recommend(gibbs, n=ITEMS, rule="thompson", filter_seen=False, seed=3)
    used = set()
    for user, part in lists.groupby("user_id"):
        scores = part.set_index("item_id")["score"][gibbs.fitted.items.values].to_numpy()
        gap = np.abs(draws[:, users.index(user)] - scores).max(1)
        assert gap.min() < 1e-4
        used.add(int(gap.argmin()))
    assert len(used) > 10
    again = pmf.recommend(gibbs, n=ITEMS, rule="thompson", filter_seen=False, seed=3)
    pd.testing.assert_frame_equal(lists, again)


def test_p_top_n_is_the_share_of_draws_with_the_item_among_the_best(gibbs):
    draws, users = by_draw(gibbs), list(gibbs.fitted.users.values)
    items = list(gibbs.fitted.items.values)
    lists = pmf.recommend(gibbs, [4, 9], n=3, filter_seen=False, p_top_n=True)
    for row in lists.itertuples():
        ranks = np.argsort(np.argsort(-draws[:, users.index(row.user_id)], 1), 1)
        assert row.p_top_n == pytest.approx((ranks[:, items.index(row.item_id)] < 3).mean())


def test_diversity_costs_likeness_its_price(als):
    plain = pmf.recommend(als, [2], n=ITEMS, filter_seen=False).set_index("item_id")["score"]
    lists = pmf.recommend(als, [2], n=5, filter_seen=False, diversity=1.0)
    V = als.fitted.fit.run.draws.item.factor[0, :-1]
    V = V / np.linalg.norm(V, axis=1, keepdims=True)
    row = {item: j for j, item in enumerate(als.fitted.items.values)}
    chosen: list[int] = []
    for item in lists["item_id"]:

        def worth(other, chosen=chosen):
            like = max([0.0, *(V[row[other]] @ V[row[x]] for x in chosen)])
            return plain[other] - like

        left = [other for other in plain.index if other not in chosen]
        assert item == max(left, key=worth)
        chosen.append(item)
    assert set(chosen) != set(plain.index[:5])


def test_folded_in_users_get_lists_without_what_they_rated(als, frame):
    ratings = frame[frame["user_id"] == 6]
    lists = pmf.recommend(pmf.fold_in(als, ratings), [6], n=5)
    refit = pmf.recommend(als, [6], n=5)
    assert not set(lists["item_id"]) & set(ratings["item_id"])
    assert len(set(lists["item_id"]) & set(refit["item_id"])) >= 4
    risky = pmf.recommend(pmf.fold_in(als, ratings), [6], n=5, rule="upper")
    assert (risky["score"] > lists["score"]).all()


def test_a_stranger_gets_the_list_of_the_biases(als):
    with pytest.warns(pmf.UnknownIdWarning, match="1 of 2 users are unknown"):
        lists = pmf.recommend(als, [10**6, 3], n=4)
    bias = als.fitted.fit.run.draws.item.bias[0, :-1, 0]
    best = als.fitted.items.values[np.argsort(-bias)[:4]]
    assert list(lists["item_id"][:4]) == list(best) and (lists["user_id"][:4] == 10**6).all()


def test_similar_items_by_the_cosine_of_their_factors(gibbs):
    V = gibbs.fitted.fit.run.draws.item.factor[:, :-1].astype(float)
    V /= np.linalg.norm(V, axis=-1, keepdims=True)
    items = gibbs.fitted.items.values
    cosine = np.mean([v @ v[4] for v in V], 0)
    cosine[4] = -np.inf
    neighbours = pmf.similar_items(gibbs, items[4], n=6)
    assert list(neighbours["item_id"]) == list(items[np.argsort(-cosine)[:6]])
    np.testing.assert_allclose(neighbours["similarity"], np.sort(cosine)[::-1][:6], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: pmf.recommend(m, n=0), "at least one item"),
        (lambda m: pmf.recommend(m, rule="best"), "say one of mean, lower"),
        (lambda m: pmf.recommend(m, rule="upper"), "it needs draws of the posterior"),
        (lambda m: pmf.recommend(m, p_top_n=True), "it needs draws of the posterior"),
        (lambda m: pmf.recommend(m, diversity=-1), "0 or more"),
        (lambda m: pmf.recommend(m, candidates=[101, 7]), "1 items are unknown, 7 the first"),
        (lambda m: pmf.recommend(m, candidates=[]), "no item at all"),
        (lambda m: pmf.recommend(m, [(1, 2)]), r"users: \(1, 2\) is of type tuple"),
        (lambda m: pmf.recommend(m, {1: 2}), "users: a dict; give one column of ids"),
        (lambda m: pmf.recommend(m, candidates=[101, None]), "candidates: None is missing"),
        (lambda m: pmf.similar_items(m, 7), "unknown to the model"),
    ],
)
def test_what_cannot_be_is_refused(als, call, message):
    with pytest.raises(InputError, match=message):
        call(als)


def test_what_a_model_lacks_is_named(frame):
    bare = pmf.PMF(0, prior=PRIOR, num_steps=2, store_ratings=False).fit(frame)
    with pytest.raises(InputError, match="filter_seen=False"):
        pmf.recommend(bare, [1])
    assert len(pmf.recommend(bare, [1], filter_seen=False, n=3)) == 3
    with pytest.raises(InputError, match="without factors"):
        pmf.similar_items(bare, 101)


def test_a_samplers_stranger_gets_the_list_of_somebody_who_has_rated_nothing(gibbs):
    with pytest.warns(pmf.UnknownIdWarning, match="1 of 2 users are unknown"):
        lists = pmf.recommend(gibbs, [999, 4], n=ITEMS)
    nothing = pd.DataFrame({"user_id": [], "item_id": [], "rating": []})
    newcomer = pmf.recommend(pmf.fold_in(gibbs, nothing, users=[999]), n=ITEMS)
    stranger_list = lists[lists["user_id"] == 999]
    assert (
        list(stranger_list["item_id"]) == list(newcomer["item_id"]) and len(stranger_list) == ITEMS
    )
    np.testing.assert_allclose(stranger_list["score"], newcomer["score"], atol=1e-5)
    draws, prior = gibbs.fitted.fit.run.draws, gibbs.fitted.fit.run.prior.user.mean
    score = np.einsum("sk,sik->si", prior[:, :2], draws.item.factor) + prior[:, 2:]
    score = (score + draws.item.bias.sum(-1) + draws.mu[:, None]).mean(0)[:-1]
    np.testing.assert_allclose(stranger_list["score"], np.sort(score)[::-1], atol=1e-5)
    alone = pmf.recommend(gibbs, [4], n=ITEMS)
    assert list(alone["item_id"]) == list(lists.loc[lists["user_id"] == 4, "item_id"])
