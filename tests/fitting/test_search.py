"""What searches share. Catches: one that stands still, parts that overlap, a wrong doubt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.fitting import search, tau_search
from pmf.fitting.methods.gibbs import default_hyperprior
from pmf.fitting.ridge_search import START, Point, choose_ridges
from pmf.fitting.schedule import Schedule
from pmf.fitting.search import Judged, Search, Trial, log_of, pattern_search
from pmf.inference.als import als
from pmf.types import Terms
from tests.helpers.searched import problem


def test_pattern_search_finds_the_bottom_of_a_bowl():
    bottom = Point(60.0, 0.4, 3.0, 0.05)

    def loss(point: Point) -> float:
        logs = [np.log(a / b) for a, b in zip(point[:3], bottom[:3], strict=True)]
        return float(np.sum(np.square(logs)) + (point[3] - bottom[3]) ** 2)

    point = pattern_search(loss, START, list(Point._fields))
    for a, b in zip(point[:3], bottom[:3], strict=True):
        assert abs(np.log(a / b)) <= np.log(1.6) / 2 + 0.01
    assert abs(point[3] - bottom[3]) <= 0.11


def test_chosen_ridges_beat_the_first_guess_where_that_is_wrong():
    """Biases of variance 4 at noise variance 1/16 want ridges of about 1/64, not 3."""
    task = problem(Terms(0), 4.0, 16.0)
    prior, found = choose_ridges(
        task, lambda prior, data: als(prior.build(task.terms, data), task.terms, 3.0), Schedule(10)
    )
    assert found.best is not None and found.best.rmse < found.trials[0].rmse
    assert prior.ridge.item_bias < 1.0
    assert prior.tau == pytest.approx(16.0, rel=0.3)
    assert found.seconds > 0 and found.chosen == vars(prior)


def test_tau_search_finds_the_truth_of_a_true_model():
    task = problem(Terms(2), 0.3, 4.0)
    tau, found = tau_search.choose_tau(task, default_hyperprior(task.terms), num_chains=1)
    assert 2.0 < tau < 8.0
    assert len(found.trials) >= 3 and found.chosen == {"tau": tau}


def test_holdouts_are_disjoint_and_keep_the_shapes():
    task = problem(Terms(2), 0.3, 4.0)
    (one, held_one), (two, held_two) = search.holdouts(task, 0.1, 2)
    pairs = [set(zip(h.user.tolist(), h.item.tolist(), strict=True)) for h in (held_one, held_two)]
    assert not pairs[0] & pairs[1]
    assert jax.tree.map(jnp.shape, one) == jax.tree.map(jnp.shape, two)
    assert int(one.user_count.sum()) + len(held_one.value) == 4000
    part = search.subsampled(task, 1000).ratings
    assert len(part.value) <= 1000
    whole, chosen = (np.bincount(x.user, minlength=80) for x in (task.ratings, part))
    assert set(chosen[chosen > 0]) <= set(whole[chosen > 0])  # all ratings of a user, or none


def test_a_doubt_is_the_standard_error_of_a_difference():
    """Of two candidates on the same ratings, by drawing these anew."""
    rng = np.random.default_rng(0)

    def judged(shift: float, noise: np.ndarray) -> Judged:
        squares = (noise + shift) ** 2
        return Judged(Trial({"scale": shift}, float(np.sqrt(squares.mean())), 0.0, 0.0), squares)

    differences = []
    for _ in range(400):
        noise = rng.normal(size=500)
        one, two = judged(0.0, noise), judged(0.3, noise)
        differences.append(two.trial.rmse - one.trial.rmse)
    trials = log_of([one, two])
    assert trials[0].doubt == 0.0
    assert trials[1].doubt == pytest.approx(np.std(differences), rel=0.15)
    table = Search({}, trials).table()
    assert table.columns.tolist() == ["scale", "rmse", "doubt", "seconds", "best"]
    assert table["best"].tolist() == [True, False]
