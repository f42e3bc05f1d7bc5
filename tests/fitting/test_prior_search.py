"""The prior of a mode. Catches: a search that stands still, that loses its work, or sees a column
that the data do not have; a prior far from the one that made the ratings.
"""

import jax
import numpy as np
import pytest

from pmf.fitting import prior_search, search
from pmf.fitting.prior_search import choose_prior, choose_regressed
from pmf.inference.hybrid import hybrid
from pmf.inference.layout import by_rows
from pmf.model.predictive import predict_pairs
from pmf.types import Ratings, Terms
from tests.helpers.searched import problem


def test_biases_alone_get_the_variances_that_made_them():
    """Nothing is left to be tried: ridges are tau's and the variances' quotient."""
    prior, log, start = choose_prior(problem(Terms(0), 4.0, 16.0))
    assert prior.user_bias == pytest.approx(1 / 4.0, rel=0.4)
    assert prior.item_bias == pytest.approx(1 / 4.0, rel=0.4)
    assert prior.tau == pytest.approx(16.0, rel=0.3)
    assert len(log.trials) == 1 and log.trials[0].value == {} and log.seconds > 0
    assert start is not None and start.user.bias.shape == (80, 1)


def test_a_surplus_column_is_held_down():
    """Of three columns two made the ratings: the third has a precision far above theirs."""
    task = problem(Terms(2), 0.3, 4.0)
    terms = Terms(3)
    prior, log, start = choose_prior(task._replace(terms=terms))
    least, next_one, most = sorted(prior.columns)
    assert least == 1.0 and next_one < 2 and most > 1.5 * next_one
    assert prior.user_growth > 0 and prior.item_growth > 0
    assert [trial.value["scale"] for trial in log.trials][:2] == [1.0, pytest.approx(2**0.5)]
    assert log.best is not None and log.best.value["scale"] in (1.0, 2**-0.5, 0.707107)
    assert prior.tau == pytest.approx(log.best.rmse**-2)


def test_a_fit_goes_on_from_the_best_candidate():
    """Its parameters have the error that the log says."""
    task = problem(Terms(2), 0.3, 4.0)
    _, log, start = choose_prior(task)
    ((_, held),) = prior_search.holdouts(task, 0.1)
    stack = type(start)(*(_stacked(side) for side in start[:2]), np.asarray(start.mu)[None])
    mean = predict_pairs(stack, np.zeros(1, np.float32), held.user, held.item).mean
    rmse = float(np.sqrt(np.mean((mean - held.value) ** 2)))
    assert log.best is not None and rmse == pytest.approx(log.best.rmse, rel=1e-5)


def _stacked(side):
    return jax.tree.map(lambda x: np.asarray(x)[None], side)


def test_a_larger_rank_is_no_worse():
    """The columns that it adds are held down; one precision for all could only shrink all."""
    task = problem(Terms(2), 0.3, 4.0)
    rmse = {}
    for rank in (2, 8):
        best = choose_prior(task._replace(terms=Terms(rank))).search.best
        rmse[rank] = best.rmse
    assert rmse[8] < rmse[2] + 0.01


def test_a_hybrid_has_the_strength_of_its_regression_searched_too():
    task = problem(Terms(2), 0.3, 4.0)
    table = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)

    def build(prior, data):
        rows = prior.rows.build(task.terms, data)
        return hybrid(rows, task.terms, 3.0, table, prior.regression)

    prior, log, start = choose_regressed(task, build)
    values = [trial.value for trial in log.trials]
    assert {tuple(value) for value in values} == {("scale", "regression")}
    assert len({value["regression"] for value in values}) > 1
    assert log.chosen["regression"] == prior.regression
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


def test_many_ratings_begin_with_those_of_some_users(monkeypatch):
    """And end with a prior as good as by all from the first."""
    task = problem(Terms(2), 0.3, 4.0)
    plain = choose_prior(task)
    for module in (search, prior_search):
        monkeypatch.setattr(module, "MANY_RATINGS", 2 * len(task.ratings.value) // 3)
    few = choose_prior(task)
    assert few.search.best.rmse == pytest.approx(plain.search.best.rmse, rel=0.005)
    data = by_rows(task.ratings, task.users, task.items, 2)

    def ridge(prior) -> float:
        """Of a usual user's and item's first column together: all that moves a mode."""
        built = prior.build(task.terms, data)
        sides = built.user, built.item
        parts = [np.median(side.weight) * side.precision[0, 0] / built.tau for side in sides]
        return float(np.prod(parts))

    assert ridge(few.prior) == pytest.approx(ridge(plain.prior), rel=0.5)
    assert few.prior.user_bias == pytest.approx(plain.prior.user_bias, rel=0.3)


def test_many_ratings_are_laid_out_without_what_is_held_out(monkeypatch):
    task = problem(Terms(2), 0.3, 4.0)
    ((data, held),) = search.holdouts(task, 0.1)
    monkeypatch.setattr(search, "MANY_RATINGS", 100)
    ((other, others),) = search.holdouts(task, 0.1)
    for one, two in ((held, others), (data.user_row, other.user_row)):
        jax.tree.map(np.testing.assert_array_equal, one, two)
    rated = np.bincount(task.ratings.user, minlength=task.users)
    for user_count in (data.user_count, other.user_count):
        np.testing.assert_array_equal(
            user_count, rated - np.bincount(held.user, minlength=task.users)
        )


@pytest.mark.parametrize(
    ("course", "best", "ends"),
    [
        ([1.0], [0.5, 0.4], False),  # one sweep tells nothing
        ([1.0, 0.9], [], False),  # nobody is ahead
        ([1.0, 0.8], [0.9, 0.75], False),  # behind, and coming nearer
        ([0.8, 0.78], [0.9, 0.75], True),  # was ahead, and fell behind
        ([0.8, 0.7], [0.9, 0.75], False),  # ahead
        ([1.0, 0.9, 0.85], [0.9, 0.8, 0.75], True),  # no nearer
        ([1.0, 0.9, 0.8, 0.75], [0.9, 0.7], False),  # the best has ended long since
        ([1.0, 0.9, 0.8, 0.81], [0.9, 0.7], True),
    ],
)
def test_a_candidate_that_falls_behind_ends(course, best, ends):
    assert prior_search._is_behind(course, best) == ends
