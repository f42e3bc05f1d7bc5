"""Approximate lists. Catches: a wrong score, an item that was rated, a list too short, an index of
another model; and that recall is what one pays for."""

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.errors import InputError
from pmf.recommendation import lists

faiss = pytest.importorskip("faiss", reason="needs the extra ann")
PRIOR = pmf.IsotropicPrior(1.0, 1.0, 1.0, 1.0, 1.0)
USERS, ITEMS = 300, 4000


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    faiss.omp_set_num_threads(1)  # threads link items in another order each time


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pair = np.unique(rng.integers(USERS * ITEMS, size=20_000))
    pair = np.union1d(pair, np.arange(700))  # user 0 has rated much
    value = rng.integers(1, 11, len(pair)) / 2
    return pd.DataFrame({"user_id": pair // ITEMS, "item_id": pair % ITEMS, "rating": value})


@pytest.fixture(scope="module", params=["als", "gibbs"])
def model(request, frame) -> pmf.PMF:
    if request.param == "als":
        return pmf.PMF(8, prior=PRIOR, num_steps=5).fit(frame)
    return pmf.PMF(4, "gibbs", tau=1.0, burn_in=2, num_steps=3, num_chains=2, thin=1).fit(frame)


def recall(lists: pd.DataFrame, truth: pd.DataFrame) -> float:
    pair = ["user_id", "item_id"]
    return len(lists[pair].merge(truth[pair])) / len(truth)


def test_lists_are_nearly_the_exact_ones(model, monkeypatch):
    monkeypatch.setattr(lists, "SEARCHED", 64)  # several blocks of users
    exact = pmf.recommend(model, n=10)
    nearly = pmf.recommend(model, n=10, index=pmf.index_items(model, effort=256))
    assert nearly.groupby("user_id").size().eq(10).all()
    assert recall(nearly, exact) > 0.97
    both = nearly.merge(exact, on=["user_id", "item_id"], suffixes=("", "_exact"))
    np.testing.assert_allclose(both["score"], both["score_exact"], rtol=1e-5)
    assert (nearly.groupby("user_id")["score"].diff().dropna() <= 0).all()


def test_nothing_that_was_rated_is_found_and_heavy_users_are_served_exactly(model, frame):
    lists = pmf.recommend(model, n=10, index=pmf.index_items(model))
    pair = ["user_id", "item_id"]
    assert lists[pair].merge(frame[pair]).empty
    heavy = pmf.recommend(model, [0], n=10)
    assert list(lists.loc[lists["user_id"] == 0, "item_id"]) == list(heavy["item_id"])


def test_less_effort_finds_less(model):
    exact = pmf.recommend(model, n=10, filter_seen=False)
    little, much = (
        recall(pmf.recommend(model, n=10, filter_seen=False, index=index), exact)
        for index in (pmf.index_items(model, effort=1), pmf.index_items(model, effort=512))
    )
    assert little < much <= 1


def test_folded_in_users_are_served_by_their_models_index(model):
    index = pmf.index_items(model, effort=512)
    ratings = pd.DataFrame({"user_id": "new", "item_id": [5, 6, 7], "rating": [5.0, 1.0, 4.0]})
    folded = pmf.fold_in(model, ratings)
    lists, exact = pmf.recommend(folded, index=index), pmf.recommend(folded)
    assert recall(lists, exact) > 0.8 and not set(lists["item_id"]) & {5, 6, 7}


def test_what_an_index_cannot_do_is_refused(model, frame):
    index = pmf.index_items(model)
    with pytest.raises(InputError, match="leave it out here"):
        pmf.recommend(model, candidates=[5, 6], index=index)
    with pytest.raises(InputError, match="another model's"):
        other = pmf.PMF(3, prior=PRIOR, num_steps=1).fit(frame)
        pmf.recommend(other, index=index)
    without = {"prior": PRIOR, "num_steps": 1, "user_bias": False, "item_bias": False}
    first, second = (pmf.PMF(3, seed=seed, **without).fit(frame) for seed in (0, 1))
    with pytest.raises(InputError, match="another model's"):
        pmf.recommend(second, index=pmf.index_items(first))
    with pytest.raises(InputError, match="at least 1"):
        pmf.index_items(model, effort=0)


def test_the_missing_library_is_named(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(InputError, match=r"pmf\[ann\]"):
        pmf.index_items(model)
