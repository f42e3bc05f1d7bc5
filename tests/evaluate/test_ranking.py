"""Ranking against trec_eval, by hand, and by brute force over draws. Catches: recommended training
items, ties by luck, an ideal list that is not cut, users or items that vanish from a mean."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pmf
from pmf.data.ids import Ids
from pmf.data.synthetic import movielens_shaped
from pmf.errors import InputError
from pmf.evaluate import ranking
from pmf.evaluate.metrics import METRICS
from pmf.evaluate.ranking import ranked_by
from pmf.recommendation import scores as candidates
from tests.helpers.trec import RELEVANT, Case, listed, random_case, trec


def scorer_of(table: np.ndarray):
    return lambda items: lambda users: table[users][:, items]


def ours(case: Case) -> ranking.Ranking:
    table, users, items, train, test, k = case
    return ranked_by(scorer_of(table), users, items, train, test, k, RELEVANT)


def check(case: Case) -> None:
    truth, ranking = trec(case), ours(case)
    lists, coverage = listed(case, truth.pop("list"))
    truth = truth.join(lists)
    assert ranking.scores[f"coverage@{case.k}"] == coverage
    by_user = ranking.users.set_index("user_id")
    assert sorted(by_user.index) == sorted(truth.index)
    for name in truth:
        got = by_user.loc[truth.index, name]
        np.testing.assert_allclose(got, truth[name], rtol=0, atol=1e-12, err_msg=name)
        assert ranking.scores[name] == pytest.approx(truth[name].mean(), abs=1e-12, nan_ok=True)
    tested = case.test["user_id"].nunique()
    assert ranking.scores["ranked_users"] == len(truth)
    assert ranking.scores["users_without_relevant"] == tested - len(truth)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([0, 1, 4, 100_000]),
    density=st.sampled_from([0.1, 0.4]),
    k=st.sampled_from([1, 3, 10, 20]),
)
def test_equals_trec_eval(seed, levels, density, k):
    """With ties (all tied at level 0), unknown ids, and k above the number of candidates."""
    check(random_case(seed, levels=levels, density=density, k=k))


def test_equals_trec_eval_on_a_larger_case():
    check(random_case(0, num_users=60, num_items=500, levels=300, density=0.2, k=10))


@pytest.mark.parametrize("cells", [1, 12, 29, 60])
def test_block_size_changes_nothing(cells, monkeypatch):
    case = random_case(5)
    whole = ours(case)
    monkeypatch.setattr(candidates, "CELLS", cells)  # one user a block, ..., five; the last padded
    parts = ours(case)
    pd.testing.assert_frame_equal(parts.users, whole.users, check_exact=True)
    assert parts.scores == whole.scores


def test_order_of_rows_and_items_changes_nothing():
    case, shuffle = random_case(6), np.random.default_rng(0).permutation(12)
    other = case._replace(
        table=case.table[:, shuffle],
        items=Ids(case.items.values[shuffle]),
        train=case.train.sample(frac=1, random_state=1),
        test=case.test.sample(frac=1, random_state=2),
    )
    assert ours(other).scores == pytest.approx(ours(case).scores, abs=1e-15)


def by_hand(**changes) -> ranking.Ranking:
    """Six items scored 6 to 1 for both users; a has rated the best one, b the two best."""
    table = np.tile(np.arange(6.0, 0, -1), (3, 1))
    train = pd.DataFrame([("a", 1), ("b", 1), ("b", 2)], columns=["user", "item"])
    test = [("a", 2, 5), ("a", 3, 1), ("a", 5, 4), ("b", 3, 3), ("b", 6, 4.5), ("b", 7, 4)]
    frame = pd.DataFrame(test, columns=["user", "item", "rating"])
    users, items = Ids(np.array(["a", "b"], object)), Ids(np.arange(1, 7))
    named = {"train": train, "test": frame, "k": 2, "relevant": 4.0} | changes
    return ranked_by(scorer_of(table), users, items, **named)


def test_by_hand():
    """a is given 2 and 3, and has 2 and 5; b is given 3 and 4, and has 6 and the unknown 7."""
    scores, users = by_hand()
    a, b = (users.set_index("user_id").loc[name] for name in "ab")
    best, second = 1.0, 1 / np.log2(3)
    assert a["ndcg@2"] == pytest.approx(best / (best + second)) and b["ndcg@2"] == 0
    assert a["graded_ndcg@2"] == pytest.approx(2 / (2 + second))
    assert (a["recall@2"], a["precision@2"], a["hit_rate@2"], b["hit_rate@2"]) == (0.5, 0.5, 1, 0)
    assert a["map"] == pytest.approx((1 + 2 / 4) / 2) and a["mrr"] == 1
    assert b["map"] == pytest.approx(1 / 4 / 2) and b["mrr"] == 1 / 4
    # 2 has one training rating, of two users: one bit; 3 and 4 have none, and count as with one.
    assert (a["popularity@2"], b["popularity@2"], a["novelty@2"]) == (0.5, 0, 1)
    assert scores["coverage@2"] == 3 / 6 and scores["mrr"] == 5 / 8
    counted = {"ranked_users": 2, "users_without_relevant": 0, "relevant_unknown_items": 1}
    assert counted.items() <= scores.items()
    assert list(users["relevant"]) == [2, 2]


def test_novelty_is_in_bits_of_training_users():
    train = pd.DataFrame([("a", 1), ("b", 1), ("b", 2), ("b", 3)], columns=["user", "item"])
    users = by_hand(
        train=train, test=pd.DataFrame([("a", 4, 5)], columns=["user", "item", "rating"])
    )
    assert users.scores["novelty@2"] == 1  # 2 and 3, each of one of two users
    assert users.scores["popularity@2"] == 1
    assert by_hand(k=1).scores["novelty@1"] == 1


def test_nothing_left_to_recommend():
    """Everything was rated but what is unknown: no list, no hit, and no warning."""
    train = pd.DataFrame([("a", j) for j in range(1, 7)], columns=["user", "item"])
    test = pd.DataFrame([("a", 8, 5)], columns=["user", "item", "rating"])
    scores = by_hand(train=train, test=test).scores
    assert scores["ndcg@2"] == scores["mrr"] == scores["coverage@2"] == 0
    assert np.isnan(scores["novelty@2"])


TRAIN_TOO = pd.DataFrame([("a", 1, 5)], columns=["user", "item", "rating"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k=0: the length of a list"),
        ({"relevant": 5.5}, "no rating is 5.5 or more"),
        ({"test": TRAIN_TOO}, "row 1: user 'a' with item 1 is in the training frame too"),
        ({"test": pd.concat([TRAIN_TOO] * 2)}, "row 2: user 'a' with item 1 a second time"),
        ({"train": TRAIN_TOO.assign(user="z")}, "row 1: user 'z' with item 1 has an id that"),
        ({"train": TRAIN_TOO.assign(item=77)}, "item 77 has an id that the model was not"),
        ({"train": TRAIN_TOO[["user"]]}, "the training frame: no column item_id"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        by_hand(**changes)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    case = random_case(1)
    case.table[2, 3] = bad
    with pytest.raises(InputError, match="is NaN or infinite"):
        ours(case)


@pytest.fixture(scope="module", params=["als", pytest.param("gibbs", marks=pytest.mark.slow)])
def fitted(request):
    made = movielens_shaped(0, n=1500, users=80, items=120)
    frame = pd.DataFrame(dict(zip(["user", "item", "rating"], made, strict=True)))
    frame = frame.sample(frac=1, random_state=0)
    quick = {"als": {}, "gibbs": {"burn_in": 4, "num_steps": 4, "num_chains": 2, "tau": 2.0}}
    prior = (
        {} if request.param == "gibbs" else {"prior": pmf.IsotropicPrior(2.0, 5.0, 5.0, 5.0, 5.0)}
    )
    model = pmf.PMF(3, request.param, **quick[request.param], **prior)
    return model.fit(frame[:1200]), frame[:1200], frame[1200:]


@pytest.mark.filterwarnings("ignore::pmf.UnknownIdWarning")
def test_a_fitted_model_is_ranked_by_its_predictions(fitted):
    """The order of `predict`, over every pair that was not trained on."""
    model, train, test = fitted
    scores, users = pmf.ranked(model, test, train, k=4)
    items = model.fitted.items.values
    done = set(zip(train["user"], train["item"], strict=True))
    for row in users[::5].itertuples():
        left = [item for item in items if (row.user_id, item) not in done]
        pairs = pd.DataFrame({"user": [row.user_id] * len(left), "item": left})
        pairs["mean"] = model.predict(pairs)["mean"].to_numpy()
        best = set(pairs.nlargest(4, "mean")["item"])
        liked = set(test.loc[(test["user"] == row.user_id) & (test["rating"] >= 4), "item"])
        assert row.relevant == len(liked)
        assert users.loc[row.Index, "precision@4"] == len(best & liked) / 4
    assert 0 < scores["coverage@4"] <= 1


def test_part_of_the_training_ratings_is_refused(fitted):
    model, train, test = fitted
    with pytest.raises(InputError, match="1,199 ratings, but the model was fitted to 1,200"):
        pmf.ranked(model, test, train[1:])


def training_items_recommended(patch):
    """Nothing is excluded."""
    patch.setattr(candidates, "_without", lambda scores, place, item: scores)


def ties_by_row(patch):
    """Equal scores in whatever order the items came."""
    patch.setattr(ranking, "tie_order", lambda items: np.arange(len(items)))


def ties_in_favour(patch):
    """An item is ahead of all that score no more."""

    def optimistic(scores, place, item):
        return np.asarray(1 + (scores[place] > scores[place, item][:, None]).sum(1))

    patch.setattr(ranking, "ranks", optimistic)


def ideal_not_cut(patch):
    """The ideal list holds all relevant items, however small k."""
    true = METRICS["ndcg"].of_list

    def uncut(at):
        ideal = [np.cumsum(1 / np.log2(2 + np.arange(n))) for n in np.bincount(at.user)]
        share = np.array([x[min(at.k, len(x)) - 1] / x[-1] for x in ideal])
        return true(at) * share

    patch.setitem(METRICS, "ndcg", METRICS["ndcg"]._replace(of_list=uncut))


def gains_not_sorted(patch):
    """The ideal order is that of the ranks."""
    true = ranking.in_order
    patch.setattr(
        ranking, "in_order", lambda user, rank, gain, *more: true(user, rank, -gain, *more)
    )


def unknown_items_forgotten(patch):
    """A relevant item that the system does not know does not count against it."""
    true = ranking._relevant

    def forgetful(query, column, rating, threshold):
        known = column < column.max()
        return true(query[known], column[known], rating[known], threshold)

    patch.setattr(ranking, "_relevant", forgetful)


def threshold_excluded(patch):
    """Relevant from above the threshold on."""
    true = ranking._relevant
    patch.setattr(ranking, "_relevant", lambda *x: true(*x[:3], x[3] + 0.5))


BUGS = [
    training_items_recommended,
    ties_by_row,
    ties_in_favour,
    ideal_not_cut,
    gains_not_sorted,
    unknown_items_forgotten,
    threshold_excluded,
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_planted_bug_is_caught(bug, monkeypatch):
    case = random_case(3, levels=2, k=3)
    check(case)
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        check(case)
