"""The prior of a mode. Catches: a search that stands still, that loses its work, or sees a column
that the data do not have; a prior far from the one that made the ratings.
"""

import jax
import numpy as np
import pytest

from pmf.fitting import prior_search
from pmf.fitting.prior_search import choose_prior, choose_regressed
from pmf.inference.hybrid import hybrid
from pmf.inference.layout import by_rows
from pmf.model.predictive import predict_pairs
from pmf.types import Ratings, Terms
from tests.helpers.searched import problem


def test_biases_alone_get_the_variances_that_made_them():
    """Nothing is left to be tried: ridges are tau's and the variances' quotient."""
    prior, search, start = choose_prior(problem(Terms(0), 4.0, 16.0))
    assert prior.user_bias == pytest.approx(1 / 4.0, rel=0.4)
    assert prior.item_bias == pytest.approx(1 / 4.0, rel=0.4)
    assert prior.tau == pytest.approx(16.0, rel=0.3)
    assert len(search.trials) == 1 and search.trials[0].value == {} and search.seconds > 0
    assert start is not None and start.user.bias.shape == (80, 1)


def test_a_surplus_column_is_held_down():
    """Of three columns two made the ratings: the third has a precision far above theirs."""
    task = problem(Terms(2), 0.3, 4.0)
    terms = Terms(3)
    prior, search, start = choose_prior(task._replace(terms=terms))
    least, next_one, most = sorted(prior.columns)
    assert least == 1.0 and next_one < 2 and most > 1.5 * next_one
    assert prior.user_growth > 0 and prior.item_growth > 0
    assert [trial.value["scale"] for trial in search.trials][:2] == [1.0, pytest.approx(2**0.5)]
    assert search.best is not None and search.best.value["scale"] in (1.0, 2**-0.5, 0.707107)
    assert prior.tau == pytest.approx(search.best.rmse**-2)


def test_a_fit_goes_on_from_the_best_candidate():
    """Its parameters have the error that the log says."""
    task = problem(Terms(2), 0.3, 4.0)
    _, search, start = choose_prior(task)
    ((_, held),) = prior_search.holdouts(task, 0.1)
    stack = type(start)(*(_stacked(side) for side in start[:2]), np.asarray(start.mu)[None])
    mean = predict_pairs(stack, np.zeros(1, np.float32), held.user, held.item).mean
    rmse = float(np.sqrt(np.mean((mean - held.value) ** 2)))
    assert search.best is not None and rmse == pytest.approx(search.best.rmse, rel=1e-5)


def _stacked(side):
    return jax.tree.map(lambda x: np.asarray(x)[None], side)


def test_a_larger_rank_is_no_worse():
    """The columns that it adds are held down; one precision for all could only shrink all."""
    task = problem(Terms(2), 0.3, 4.0)
    rmse = {}
    for rank in (2, 8):
        search = choose_prior(task._replace(terms=Terms(rank))).search
        rmse[rank] = search.best.rmse
    assert rmse[8] < rmse[2] + 0.01


def test_a_hybrid_has_the_strength_of_its_regression_searched_too():
    task = problem(Terms(2), 0.3, 4.0)
    table = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)

    def build(prior, data):
        rows = prior.rows.build(task.terms, data)
        return hybrid(rows, task.terms, 3.0, table, prior.regression)

    prior, search, start = choose_regressed(task, build)
    values = [trial.value for trial in search.trials]
    assert {tuple(value) for value in values} == {("scale", "regression")}
    assert len({value["regression"] for value in values}) > 1
    assert search.chosen["regression"] == prior.regression
    assert start is not None


def test_ratings_that_are_all_alike_get_a_prior():
    ratings = Ratings(
        np.repeat(np.arange(20, dtype=np.int32), 10),
        np.tile(np.arange(10, dtype=np.int32), 20),
        np.full(200, 3.0, np.float32),
    )
    task = problem(Terms(2), 0.3, 4.0)
    prior = choose_prior(task._replace(ratings=ratings)).prior
    data = by_rows(ratings, 80, 100, 2)
    assert np.all(np.isfinite(np.asarray(prior.build(task.terms, data).user.precision)))
