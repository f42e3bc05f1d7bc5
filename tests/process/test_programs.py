"""Compiled programs. Catches: a request or a fit that compiles anew for each size, programs that
are never given back, padding that changes an answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import pmf
from benchmarks.memory import live_programs
from pmf.inference import fold_in
from pmf.process import programs
from pmf.recommendation import scores as candidates
from tests.robustness.many_fits import fits

USERS, ITEMS = 90, 700


@pytest.fixture(scope="module")
def model() -> pmf.PMF:
    rng = np.random.default_rng(0)
    every = np.arange(ITEMS) + ITEMS * (np.arange(ITEMS) % USERS)  # each user and item
    pair = np.union1d(rng.permutation(USERS * ITEMS)[:2000], every)
    frame = pd.DataFrame({"user_id": pair // ITEMS, "item_id": pair % ITEMS})
    frame["rating"] = rng.integers(1, 6, len(pair)).astype(float)
    return pmf.PMF(2, "gibbs", tau=1.0, burn_in=1, num_steps=3).fit(frame)


def people(rng, number: int) -> pd.DataFrame:
    """So many users with ten ratings each."""
    item = np.concatenate([rng.choice(ITEMS, 10, replace=False) for _ in range(number)])
    return pd.DataFrame({"user_id": np.repeat(np.arange(number), 10), "item_id": item, "rating": 3})


def requests(model, users: int, n: int, items: int, rng) -> None:
    """One of each kind, of these sizes."""
    users_of_request, some = rng.permutation(USERS)[:users], rng.permutation(ITEMS)[:items]
    pmf.recommend(model, users_of_request, n=n)
    pmf.recommend(model, users_of_request, n=n, candidates=some, filter_seen=False)
    pmf.recommend(model, users_of_request, n=n, rule="upper", filter_seen=False)
    pmf.recommend(model, users_of_request[:20], n=n, p_top_n=True, filter_seen=False)
    folded = pmf.fold_in(model, people(rng, users))
    pmf.recommend(folded, n=n, filter_seen=False)
    folded.predict(people(rng, users))
    folded.explain(0, 3)
    folded.ask_next(0)
    pmf.similar_items(model, 3, n=n)


def test_sizes_that_were_not_met_before_compile_nothing(model):
    rng = np.random.default_rng(1)
    for users, n, items in ((17, 3, 65), (30, 16, 250), (60, 16, 200)):
        requests(model, users, n, items, rng)
    before = live_programs()
    for users, n, items in ((18, 5, 70), (19, 11, 131), (31, 7, 256), (63, 16, 200)):
        requests(model, users, n, items, rng)
    assert live_programs() <= before


@pytest.mark.parametrize("n", [1, 7, 40])
def test_padding_changes_no_list(model, n, monkeypatch):
    """Scores to rounding, as XLA's product of matrices is another for each shape, padded or not."""
    rng = np.random.default_rng(n)
    users, some = rng.permutation(USERS)[: 5 * n], rng.permutation(ITEMS)[:99]
    calls = [{}, {"candidates": some}, {"rule": "lower"}, {"p_top_n": True, "candidates": some}]
    padded = [pmf.recommend(model, users, n=n, **call) for call in calls]
    for name in ("pmf.recommendation.lists.rung", "pmf.recommendation.lists.piece"):
        monkeypatch.setattr(name, lambda size, *rest: max(size, 1))
    exact = [pmf.recommend(model, users, n=n, **call) for call in calls]
    for a, b in zip(padded, exact, strict=True):
        pd.testing.assert_frame_equal(a, b, rtol=1e-6)


def test_padded_candidates_are_never_listed(model):
    lists = pmf.recommend(model, [0, 1, 2], n=70, candidates=[5, 9], filter_seen=False)
    assert lists.groupby("user_id")["item_id"].apply(set).map({5, 9}.__eq__).all()
    scores = jnp.asarray([[1.0, 2.0, 9.0, 9.0]])

    def nothing(users):
        return users[:0], users[:0]

    (block,) = candidates.blocks(lambda users: scores, np.array([0]), 2, nothing, 1)
    assert np.asarray(block.scores).tolist() == [[1.0, 2.0, -np.inf, -np.inf]]


def test_new_users_are_folded_in_to_the_bit_whoever_is_with_them(model, monkeypatch):
    frame = people(np.random.default_rng(2), 23)
    padded = pmf.fold_in(model, frame)
    predicted = padded.predict(frame)
    monkeypatch.setattr(fold_in, "piece", lambda size: size)
    monkeypatch.setattr("pmf.estimators.new_users.rung", lambda size, *rest: size)
    exact = pmf.fold_in(model, frame)
    for a, b in zip(padded.posterior, exact.posterior, strict=True):
        np.testing.assert_array_equal(a, b)
    pd.testing.assert_frame_equal(predicted, exact.predict(frame), rtol=0, atol=0)


@pytest.mark.parametrize("method", ["als", "map"])
def test_programs_do_not_grow_with_the_number_of_fits(method, monkeypatch):
    monkeypatch.setattr(programs, "_ours", [(made, 2) for made, _ in programs._ours])
    counts = [state.programs for state in fits(method, 6)]
    assert max(counts[3:]) <= 1.5 * max(counts[:3])  # each fit makes some thirty


def test_only_what_is_over_its_due_is_forgotten():
    rare, common = (programs.program(lambda x: x + 1, most=most) for most in (1, 3))
    theirs = jax.jit(lambda x: x + 2)
    try:
        for n in (1, 2, 3):
            for function in (rare, common, theirs):
                function(np.zeros(n))
        programs.forget()
        assert [f._cache_size() for f in (rare, common, theirs)] == [0, 3, 3]
        np.testing.assert_array_equal(rare(np.zeros(2)), [1, 1])
    finally:
        del programs._ours[-2:]


def test_sizes_on_the_ladder():
    for size in range(1, 3000):
        assert size <= programs.rung(size, 16, 4) < max(17, 4 * size)
        step = programs.piece(size, 16)
        assert -(-size // step) <= 4 and step * -(-size // step) <= max(size + step - 1, 16)
    assert len({programs.piece(size) for size in range(1, 3000)}) == 6
    assert len({programs.rung(size, 16, 4) for size in range(1, 3000)}) == 5
    assert programs.piece(0) == 1 and programs.rung(0) == 1
