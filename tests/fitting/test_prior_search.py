"""Priors chosen from the data. Catches: a search that stands still, one that sees test ratings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.data.row_numbers import row_numbers
from pmf.data.synthetic import from_model
from pmf.fitting import prior_search
from pmf.fitting.methods import default_hyperprior
from pmf.fitting.prior_search import Point, Problem, choose_prior, choose_tau
from pmf.types import Gaussian, Prior, Ratings, Terms


def problem(terms: Terms, bias_variance: float, tau: float, n: int = 4000) -> Problem:
    def gaussian(k: int) -> Gaussian:
        variances = jnp.asarray([0.3] * k + [bias_variance], jnp.float32)
        return Gaussian(jnp.zeros(k + 1, jnp.float32), jnp.diag(1 / variances), jnp.float32(1))

    prior = Prior(jnp.float32(tau), gaussian(terms.rank), gaussian(terms.rank))
    made = from_model(jax.random.key(0), prior, terms, 3.0, 80, 100, n).ratings
    ratings = Ratings(*(np.asarray(x) for x in made))
    return Problem(ratings, 80, 100, row_numbers(ratings, 80, 100), terms, 3.0, seed=0)


def test_pattern_search_finds_the_bottom_of_a_bowl():
    bottom = Point(60.0, 0.4, 3.0, 0.05)

    def loss(point: Point) -> float:
        logs = [np.log(a / b) for a, b in zip(point[:3], bottom[:3], strict=True)]
        return float(np.sum(np.square(logs)) + (point[3] - bottom[3]) ** 2)

    point = prior_search._pattern_search(loss, prior_search.SEARCH_START, list(Point._fields))
    for a, b in zip(point[:3], bottom[:3], strict=True):
        assert abs(np.log(a / b)) <= np.log(1.6) / 2 + 0.01
    assert abs(point[3] - bottom[3]) <= 0.11


def test_chosen_prior_beats_the_first_guess_where_that_is_wrong():
    """Biases of variance 4 at noise variance 1/16 want ridges of about 1/64, not 3."""
    prior, search = choose_prior(problem(Terms(0), 4.0, 16.0))
    first = search.trials[0].rmse
    assert min(trial.rmse for trial in search.trials) < first
    assert prior.ridge.item_bias < 1.0
    assert prior.tau == pytest.approx(16.0, rel=0.3)
    assert search.seconds > 0 and search.chosen == vars(prior)


def test_tau_search_finds_the_truth_of_a_true_model():
    task = problem(Terms(2), 0.3, 4.0)
    tau, search = choose_tau(task, default_hyperprior(task.terms), num_chains=1)
    assert 2.0 < tau < 8.0
    assert len(search.trials) >= 3 and search.chosen == {"tau": tau}


def test_holdouts_are_disjoint_and_keep_the_shapes(monkeypatch):
    task = problem(Terms(2), 0.3, 4.0)
    (one, held_one), (two, held_two) = prior_search._holdouts(task, 2)
    pairs = [set(zip(h.user.tolist(), h.item.tolist(), strict=True)) for h in (held_one, held_two)]
    assert not pairs[0] & pairs[1]
    assert jax.tree.map(jnp.shape, one) == jax.tree.map(jnp.shape, two)
    assert int(one.user_count.sum()) + len(held_one.value) == 4000
    monkeypatch.setattr(prior_search, "MOST_RATINGS", 1000)
    part, heldout = prior_search._holdouts(task, 1)[0]
    assert int(part.user_count.sum()) + len(heldout.value) <= 1000
