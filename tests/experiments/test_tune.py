"""Searches. Catches: a resumed search that tries other candidates, one that sees test ratings."""

import json
import multiprocessing

import numpy as np
import pandas as pd
import pytest

from experiments.config.files import load_experiment
from experiments.config.identity import identify
from experiments.config.inputs import dataset, split_data
from experiments.runs import tune
from experiments.runs.execute import settings_of
from experiments.runs.folders import only_one
from experiments.systems import factorization
from experiments.systems.base import Axis, Outcome
from experiments.systems.factorization import (
    PRIOR_AXES,
    TAU_AXIS,
    FlatSettings,
    for_trials,
    space,
    tuned,
)
from experiments.systems.registry import SYSTEMS
from pmf.data.splits import sample_records
from pmf.errors import NotFiniteError
from pmf.fitting import tau_search
from pmf.io.locks import Busy
from tests.helpers.grids import ARMS, quiet, write

SPACE = {"a": Axis(1.0, 100.0, 10.0), "b": Axis(0.0, 1.0, 0.5, log=False)}


def loss(point: dict[str, float]) -> float:
    return np.log(point["a"] / 30.0) ** 2 + (point["b"] - 0.2) ** 2


def searched(trials: int, seed: int = 0) -> list:
    done = []
    while len(done) < trials:
        point = tune.propose(done, SPACE, seed)
        done.append(tune._trial(point, SPACE, loss(point), {}))
    return done


def test_proposals_are_a_function_of_the_trials_so_far():
    one = [trial.params for trial in searched(12)]
    assert one == [trial.params for trial in searched(12)]
    half = searched(8)  # and of nothing that lives through the search
    assert tune.propose(half, SPACE, 0) == one[8]
    assert one[0] == {"a": 10.0, "b": 0.5}
    assert len({repr(point) for point in one}) == 12
    assert one[1:] != [trial.params for trial in searched(12, seed=1)][1:]
    assert all(1 <= point["a"] <= 100 and 0 <= point["b"] <= 1 for point in one)


def test_the_search_goes_where_it_is_better():
    """After its random start a proposal is mostly better than a random point."""
    proposed = [trial.value for seed in range(8) for trial in searched(30, seed)[10:]]
    rng = np.random.default_rng(0)
    random = [loss({"a": 100 ** rng.random(), "b": rng.random()}) for _ in range(2000)]
    assert np.median(proposed) < np.quantile(random, 0.3)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["factor", "user_bias", "item_bias", "user_exponent"]),
        ({"method": "map", "user_bias": False}, ["factor", "item_bias", "user_exponent"]),
        ({"rank": 0}, ["user_bias", "item_bias", "user_exponent"]),
        ({"rank": 0, "user_bias": False}, ["item_bias"]),
        ({"rank": 0, "user_bias": False, "item_bias": False}, []),
        ({"method": "gibbs"}, ["tau"]),
        ({"method": "gibbs", "tau": "learn"}, []),
        ({"method": "gibbs", "tau": 1.5}, []),
        ({"method": "gibbs", "rank": 0, "user_bias": False, "item_bias": False}, []),
    ],
)
def test_only_what_exists_and_is_open_is_searched(settings, names):
    assert list(space(FlatSettings(**settings))) == names


def test_a_tuned_point_is_the_prior_that_the_package_would_choose():
    """The same prior as `choose_ridges` makes of the same point, tau from the RMSE."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, 20, 500)
    train = pd.DataFrame(
        {"user_id": users, "item_id": 0, "rating": rng.integers(1, 6, 500).astype(float)}
    )
    settings = FlatSettings(rank=2)
    point = {"factor": 7.0, "user_bias": 2.0, "item_bias": 4.0, "user_exponent": 0.5}
    prior = tuned(settings, point, train, 0.8).prior
    spread, count = train["rating"].std(ddof=0), np.bincount(users)
    typical = np.exp(np.sum(count * np.log(count)) / np.sum(count))
    assert prior.tau == pytest.approx(0.8**-2)
    assert prior.ridge.item_bias == pytest.approx(4.0)
    assert prior.ridge.item_factor == pytest.approx(7.0 * spread)
    # a user with the typical count has the point's own ridge, whatever the exponent
    assert prior.ridge.user_bias * typical**0.5 == pytest.approx(2.0)
    assert tuned(settings, point, train, None).prior.tau == pytest.approx(spread**-2)
    gibbs = FlatSettings(method="gibbs")
    assert tuned(gibbs, {"tau": 2.0}, train, 0.8).tau == pytest.approx(2.0 / spread**2)
    assert for_trials(gibbs).num_steps == tau_search.SCHEDULE.num_steps
    assert TAU_AXIS.low < TAU_AXIS.start < TAU_AXIS.high and list(PRIOR_AXES) == list(point)


@pytest.fixture
def point(tmp_path):
    (chosen,) = identify(
        load_experiment(write(tmp_path, ARMS, "arms"), ["model.seed=0", "split.fold=2"])
    )[-1:]
    return chosen


def spy(monkeypatch, after: int | None = None) -> list:
    """Count what is fitted; fail as a killed process would after so many fits."""
    calls = []

    def fit(settings, split, *rest):
        if after is not None and len(calls) == after:
            raise KeyboardInterrupt
        calls.append((settings, split))
        level = settings.prior.ridge.item_bias
        return Outcome(np.full(len(split.test), level), costs={"fit_seconds": 1.0})

    system = factorization.SYSTEM._replace(fit_and_predict=fit)
    monkeypatch.setitem(SYSTEMS, "pmf", system)
    return calls


def test_a_killed_search_goes_on_with_the_same_trials(point, tmp_path, monkeypatch):
    spy(monkeypatch)
    tune.search(point, tmp_path / "one", quiet)
    journal = tune.result_file(tmp_path / "two", point.study).with_suffix(".journal")
    for after in (1, 1):  # one fit, then killed in the next
        spy(monkeypatch, after)
        with pytest.raises(KeyboardInterrupt):
            tune.search(point, tmp_path / "two", quiet)
        with journal.open("ab") as stream:  # killed in a write
            stream.write(b'{"study": "ab')
    calls = spy(monkeypatch)
    tune.search(point, tmp_path / "two", quiet)
    assert len(calls) == 1
    one, two = (tune.search_result(tmp_path / name, point.study) for name in ("one", "two"))
    assert one == two and one.trials == 3 and one.seconds == 3.0


def test_a_search_sees_training_ratings_only(point, tmp_path, monkeypatch):
    calls = spy(monkeypatch)
    tune.search(point, tmp_path, quiet)
    whole = split_data(dataset(point.config.data).ratings, point.config.split)

    def pairs(frame):
        return set(zip(frame["user_id"], frame["item_id"], strict=True))

    for settings, split in calls:
        assert pairs(split.train) | pairs(split.test) == pairs(whole.train)
        assert not pairs(split.test) & pairs(whole.test)
        assert len(split.test) == 40 and settings.seed == point.config.tuning.seed
    rating = sample_records(whole.train, 0.1, 0).test["rating"]
    best = tune.search_result(tmp_path, point.study)
    losses = [np.sqrt(np.mean((rating - s.prior.ridge.item_bias) ** 2)) for s, _ in calls]
    assert best.rmse == pytest.approx(min(losses))
    prior = settings_of(point, whole, best).prior
    assert prior.ridge.item_bias == pytest.approx(best.point["item_bias"])


@pytest.mark.parametrize("is_error", [True, False])
def test_candidates_that_are_not_finite_lose(is_error, point, tmp_path, monkeypatch):
    calls = spy(monkeypatch)
    system = SYSTEMS["pmf"]

    def fit(settings, split, *rest):
        if not calls:
            calls.append(settings)
            if is_error:
                raise NotFiniteError("step 3")
            return Outcome(np.full(len(split.test), np.nan))
        return system.fit_and_predict(settings, split, *rest)

    monkeypatch.setitem(SYSTEMS, "pmf", system._replace(fit_and_predict=fit))
    tune.search(point, tmp_path, quiet)
    best = tune.search_result(tmp_path, point.study)
    assert np.isfinite(best.rmse) and best.point["factor"] != PRIOR_AXES["factor"].start
    assert json.loads(tune.result_file(tmp_path, point.study).read_text())["trials"] == 3


def _hold(place, ready, done):
    with only_one(place):
        ready.set()
        done.wait()


def test_one_process_at_a_time_works_on_a_search(point, tmp_path):
    place = tune.result_file(tmp_path, point.study)
    place.parent.mkdir()
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(place, ready, done), daemon=True)
    other.start()
    assert ready.wait(120)
    with pytest.raises(Busy, match=f"process {other.pid} on .*search {point.study}"):
        tune.search(point, tmp_path, quiet)
    other.kill()  # the lock goes with its holder
    other.join()
    with only_one(place):
        pass
    assert list(place.parent.iterdir()) == []
