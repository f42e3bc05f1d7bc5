"""What is learnt from what. Catches: a stop, a prior, a trial or a feature that a test rating has a
part in, validation ratings that are learnt from, a trial of another model than the run's.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import pmf
from experiments.config.files import load_experiment
from experiments.config.identity import identify
from experiments.runs import execute, tune
from experiments.systems import factorization, featured
from experiments.systems.base import Outcome
from experiments.systems.registry import SYSTEMS
from experiments.systems.rivals import system as peer
from pmf.data.row_numbers import row_numbers
from pmf.data.sources.movielens import Dataset
from pmf.data.splits import Split
from pmf.fitting import fit as fitting
from pmf.fitting import prior_search, tau_search
from pmf.fitting.ridge_search import choose_ridges
from pmf.fitting.schedule import Schedule
from pmf.fitting.search import Problem
from pmf.types import Ratings, Terms
from tests.fitting.test_driver import scripted
from tests.helpers.capture import Captured, capture
from tests.helpers.grids import ARMS, quiet, write

PRIOR = pmf.IsotropicPrior(4.0, 1e-2, 1e-2, 1e-2, 1e-2)  # weak: a fit overfits, and stops early


def ratings(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    pair = rng.permutation(20 * 30)[:n]
    columns = {"user_id": pair // 30, "item_id": pair % 30}
    return pd.DataFrame(columns).assign(rating=rng.integers(1, 6, n).astype(float))


def pairs(part: Ratings) -> set:
    return set(zip(*(np.asarray(x).tolist() for x in part[:2]), strict=True))


@pytest.mark.parametrize("heldout", [None, ratings(50, seed=1)], ids=["alone", "watched"])
def test_validation_ratings_judge_and_are_not_learnt_from(heldout, monkeypatch):
    """The two parts are the training ratings, whether or not others are watched."""
    capture(monkeypatch, fitting, "run")
    table = ratings(400)
    with pytest.raises(Captured) as caught:
        pmf.PMF(rank=2, method="map", prior=PRIOR, validation=0.25).fit(table, heldout)
    arguments = caught.value.arguments
    learnt, validation = pairs(arguments["data"].ratings), pairs(arguments["validation"])
    user, item = (pd.factorize(table[side])[0] for side in ("user_id", "item_id"))
    assert 50 < len(validation) < 150
    assert not learnt & validation
    assert learnt | validation == pairs(Ratings(user, item, user))
    watched = arguments["heldout"]
    assert pairs(watched) == validation if heldout is None else len(watched.value) == 50


def test_a_fit_that_validation_ratings_stop_does_not_go_on_from_the_search(monkeypatch):
    """The search's parameters have learnt from some of these ratings: they judge from nothing."""
    begin = {}
    for share in (0.0, 0.25):
        with monkeypatch.context() as patch, pytest.raises(Captured) as caught:
            capture(patch, fitting, "run")
            pmf.PMF(rank=1, validation=share).fit(ratings(400))
        begin[share] = caught.value.arguments["start"]
    assert begin[0.0] is not None and begin[0.25] is None


# Searches.


def test_a_candidate_is_judged_by_its_last_step():
    """As the model is that a run returns: not by a step that happened to be better."""
    rng = np.random.default_rng(0)
    pair = rng.permutation(9 * 8)[:60]
    user, item = (pair // 8).astype(np.int32), (pair % 8).astype(np.int32)
    terms, algorithm = Terms(1, False, False), scripted([3.0, 0.5, 2.0])
    train = Ratings(user, item, np.zeros(60, np.float32))
    task = Problem(train, 9, 8, row_numbers(train, 9, 8), terms, 0.0, 0)
    search = choose_ridges(task, lambda *prior: algorithm, Schedule(num_steps=3))[1]
    assert [trial.rmse for trial in search.trials] == pytest.approx([2.0] * len(search.trials))


@pytest.mark.parametrize(
    ("settings", "module", "search"),
    [
        ({"method": "als"}, prior_search, "choose_prior"),
        ({"method": "gibbs", "num_chains": 3}, tau_search, "choose_tau"),
    ],
    ids=["als", "gibbs"],
)
def test_a_prior_is_chosen_for_the_model_that_is_asked(settings, module, search, monkeypatch):
    """Its terms, seed and kernel, on all of the training ratings."""
    capture(monkeypatch, module, search)
    model = pmf.PMF(rank=3, item_bias=False, seed=7, fused=False, **settings)
    with pytest.raises(Captured) as caught:
        model.fit(ratings(300), ratings(50, seed=1))
    task = caught.value.arguments["problem"]
    assert (task.terms, task.seed, task.fused) == (Terms(3, True, False), 7, False)
    assert len(task.ratings.value) == 300 and (task.users, task.items) == (21, 31)
    if search == "choose_tau":
        assert caught.value.arguments["num_chains"] == 3


CHANGED_FOR_TRIALS = {"prior", "seed", "store_draws"}  # what is searched, the search's own, room


@pytest.mark.parametrize(
    "model",
    ["tolerance = 0.5\n", 'method = "gibbs"\nnum_chains = 3\nburn_in = 7\nthin = 2\n'],
    ids=["als", "gibbs"],
)
def test_a_trial_has_the_settings_of_its_run(model, tmp_path, monkeypatch):
    toml = ARMS.replace("[model]\n", f"[model]\nuser_bias = false\n{model}")
    points = identify(
        load_experiment(write(tmp_path, toml, "arms"), ["split.fold=2", "model.seed=3"])
    )
    point = next(one for one in points if one.config.arm == "all")
    calls = []

    def fit(settings, split, *rest):
        calls.append((settings, split))
        return Outcome(np.full(len(split.test), 3.0))

    system = factorization.SYSTEM._replace(fit_and_predict=fit)
    monkeypatch.setitem(SYSTEMS, "pmf", system)
    tune.search(point, tmp_path, quiet)
    run_settings, shorter = point.config.model, {"tau", "num_steps", "burn_in", "thin"}
    assert len(calls) == 3
    for settings, split in calls:
        names = set(type(run_settings).model_fields) - CHANGED_FOR_TRIALS
        names -= shorter if "gibbs" in model else set()
        for name in names:
            assert getattr(settings, name) == getattr(run_settings, name), name
        assert settings.seed == point.config.tuning.seed
        assert (len(split.train), len(split.test)) == (360, 40)


# What a system is given.

TABLE = ratings(400)
SPLIT = Split(TABLE[:300].reset_index(drop=True), TABLE[300:].reset_index(drop=True))
DATASET = Dataset("", "", SPLIT.train)


@pytest.mark.slow
def test_watched_ratings_change_no_number():
    """Not when a run stops, and not what it has learnt: the same bits whatever they are."""
    train = SPLIT.train.assign(rating=SPLIT.train["user_id"] % 5 + 1.0)  # easily learnt
    settings = {"rank": 2, "prior": PRIOR, "validation": 0.2, "patience": 2, "num_steps": 12}
    flat = factorization.FlatSettings(method="map", learning_rate=0.05, **settings)
    one, other = (
        # To the mean, which a start predicts, each step is worse; to the truth it is better.
        factorization.fit_and_predict(flat, Split(train, test), DATASET, quiet, None)
        for test in (
            SPLIT.test.assign(rating=train["rating"].mean()),
            SPLIT.test.assign(rating=SPLIT.test["user_id"] % 5 + 1.0),
        )
    )
    watched = one.trace.query("metric == 'rmse'")["value"].to_numpy()
    assert watched.argmin() == 0 and len(watched) == 12
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.variance, other.variance)


def test_a_rival_is_not_given_the_test_ratings(monkeypatch):
    capture(monkeypatch, peer, "predict_by_rival")
    with pytest.raises(Captured) as caught:
        peer.fit_and_predict(peer.PeerSettings(rival="cmfrec", seed=5), SPLIT, None, quiet, None)
    arguments = caught.value.arguments
    assert arguments["train"].value.tolist() == SPLIT.train["rating"].tolist()
    assert (
        len(arguments["train"].user) == 300
        and len(arguments["user"]) == len(arguments["item"]) == 100
    )
    assert arguments["seed"] == 5
    ratings = pd.concat([SPLIT.train, SPLIT.test])
    rows = (
        np.r_[arguments["train"].user, arguments["user"]],
        np.r_[arguments["train"].item, arguments["item"]],
    )
    for row, side in zip(rows, ("user_id", "item_id"), strict=True):
        assert pd.Series(row).groupby(ratings[side].to_numpy()).nunique().eq(1).all()


@pytest.mark.parametrize("system", [featured.CONTENT, featured.HYBRID], ids=["content", "hybrid"])
def test_tags_of_test_pairs_are_no_features(system):
    """Who tagged a film has mostly rated it; the tags of training pairs stay."""
    items = pd.DataFrame({"item_id": range(30), "genres": ["A", "B"] * 15})
    (one, two), (three, four) = (part.index[:2] for part in (SPLIT.test, SPLIT.train))
    tags = [
        SPLIT.test.loc[[one, two]].assign(tag="spoiler"),
        SPLIT.train.loc[[three, four]].assign(tag="classic"),
    ]
    dataset = Dataset("", "", SPLIT.train, items, pd.concat(tags).assign(timestamp=0))

    class Model:
        def __init__(self, **settings):
            pass

        def fit(self, train, features, heldout, on_step):
            raise Captured(train=train, features=features, heldout=heldout)

    with pytest.raises(Captured) as caught:
        featured.fit_and_predict(Model, system.settings(), SPLIT, dataset, quiet, None)
    arguments = caught.value.arguments
    assert "tag: classic" in arguments["features"].names
    assert "tag: spoiler" not in arguments["features"].names
    pd.testing.assert_frame_equal(arguments["train"], SPLIT.train)


def test_nor_are_they_of_items_prior_means(monkeypatch):
    items = pd.DataFrame({"item_id": range(30), "genres": ["A", "B"] * 15})
    tags = SPLIT.test[:2].assign(tag="spoiler", timestamp=0)
    dataset = Dataset("", "", SPLIT.train, items, tags)

    def fit(self, *arguments, item_features):
        raise Captured(train=arguments[0], features=item_features)

    monkeypatch.setattr(factorization.PMF, "fit", fit)
    settings = featured.FEATURED.settings(method="gibbs")
    with pytest.raises(Captured) as caught:
        featured.FEATURED.fit_and_predict(settings, SPLIT, dataset, quiet, None)
    assert [*caught.value.arguments["features"].names] == ["genre: A", "genre: B"]
    pd.testing.assert_frame_equal(caught.value.arguments["train"], SPLIT.train)


@pytest.mark.parametrize("system", [factorization.SYSTEM, featured.HYBRID], ids=["pmf", "hybrid"])
def test_a_searched_point_is_in_units_of_the_training_ratings(system, monkeypatch):
    """A user's typical count and the ratings' spread are the training part's."""
    point = {"factor": 7.0, "user_bias": 2.0, "item_bias": 4.0, "user_exponent": 0.5}
    config = SimpleNamespace(model=system.settings(), system="given")
    monkeypatch.setitem(SYSTEMS, "given", system)
    search = tune.SearchResult(point, 0.8, 3, 0.0, 0.0)
    chosen = execute.settings_of(SimpleNamespace(config=config), SPLIT, search)
    assert chosen == system.tuned(config.model, point, SPLIT.train, 0.8)
    assert chosen != system.tuned(config.model, point, SPLIT.test, 0.8)
