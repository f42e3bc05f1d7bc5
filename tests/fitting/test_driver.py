"""The driver. Catches: a stop that never comes, a lost best step, a silent NaN, a reused key."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from pmf.errors import NotFiniteError
from pmf.fitting import schedule as schedule_module
from pmf.fitting.driver import run
from pmf.fitting.schedule import Schedule
from pmf.inference.als import als
from pmf.inference.base import Algorithm
from pmf.types import Gaussian, Params, Prior, Side, Terms
from tests.helpers.problems import HostStep, random_prior, small_data, small_ratings


class State(NamedTuple):
    params: Params
    prior: Prior


class Info(NamedTuple):
    log_posterior: jax.Array


def scripted(values) -> Algorithm:
    """Predicts `values[step]` for every pair; its log posterior is minus that."""
    values = jnp.asarray(values, jnp.float64)

    def init(key, data):
        empty = Side(jnp.zeros((9, 0)), jnp.zeros((9, 1)))
        flat = Gaussian(jnp.zeros(1), jnp.eye(1), jnp.asarray(1.0))
        prior = Prior(jnp.asarray(2.0), flat, flat)
        return State(Params(empty, empty, jnp.asarray(-1.0)), prior)

    def step(values, key, state, data):
        at = state.params.user.bias[0, 0].astype(int)
        bias = jnp.full((9, 1), at + 1.0)
        user = Side(state.params.user.factor, bias)
        item = Side(state.params.item.factor, jnp.zeros((9, 1)))
        params = Params(user, item, values[at] - bias[0, 0])
        return State(params, state.prior), Info(-values[at])

    return Algorithm(init, Partial(step, values))


def heldout():
    return small_ratings()._replace(value=jnp.zeros(40))


def test_patience_returns_the_best_step():
    schedule = Schedule(num_steps=20, patience=3)
    result = run(
        scripted([5, 4, 1, 2, 3, 3, 3, 0, 0]), 0, small_data(), schedule, heldout(), heldout()
    )
    assert len(result.records) == 6 and "step 3" in result.stopped
    assert result.log_posterior == -1.0
    np.testing.assert_allclose(result.heldout.mean, 1.0)
    assert float(result.draws.mu[0] + result.draws.user.bias[0, 0, 0]) == 1.0
    np.testing.assert_allclose([r.heldout_rmse for r in result.records], [5, 4, 1, 2, 3, 3])


def test_patience_returns_the_first_of_equally_good_steps():
    schedule = Schedule(num_steps=20, patience=2)
    result = run(scripted([5, 1, 1, 1, 0]), 0, small_data(), schedule, heldout(), heldout())
    assert len(result.records) == 4 and "step 2" in result.stopped


def test_a_change_is_small_relative_to_the_number_of_ratings():
    """40 of them here, of 8 or 9 users: steps of 0.003 are calm at a tolerance of 1e-4."""
    values = 0.003 * np.arange(8)
    result = run(scripted(values), 0, small_data(), Schedule(num_steps=8, tolerance=1e-4))
    assert "less than 0.0001" in result.stopped
    result = run(scripted(values), 0, small_data(), Schedule(num_steps=8, tolerance=5e-5))
    assert result.stopped == "all 8 steps taken"


def test_tolerance_needs_three_calm_steps():
    values = [500.0, 400.0, 400.0, 399.0, 399.0, 399.0, 399.0, 0.0]
    result = run(scripted(values), 0, small_data(), Schedule(num_steps=8, tolerance=1e-6))
    assert len(result.records) == 7 and "less than 1e-06" in result.stopped


def test_validation_ratings_that_are_watched_too_are_predicted_once(monkeypatch):
    predicted = []
    observe = schedule_module.observe
    monkeypatch.setattr(
        schedule_module, "observe", lambda *given: predicted.append(1) or observe(*given)
    )
    schedule, held = Schedule(num_steps=20, patience=3), heldout()
    same, apart = (
        run(scripted([5, 4, 1, 2, 3, 3]), 0, small_data(), schedule, held, other)
        for other in (held, heldout())
    )
    assert len(predicted) == 6 + 2 * 6
    assert same.stopped == apart.stopped and same.records[-1][2:] == apart.records[-1][2:]


def test_a_step_that_nobody_watches_leaves_the_state_alone(monkeypatch):
    """Its log posterior comes to the host; nothing is stacked, copied or predicted."""

    def refuse(*given):
        raise AssertionError("the state was looked at")

    def look(record):
        if record.step < 3:
            for name in ("as_draws", "observe"):
                monkeypatch.setattr(schedule_module, name, refuse)
        else:
            monkeypatch.undo()

    schedule = Schedule(num_steps=3, tolerance=1e-12)
    run(scripted([3, 2, 1]), 0, small_data(), schedule, on_record=look)


def test_all_steps_without_a_reason_to_stop():
    result = run(scripted([3.0, 2.0, 1.0]), 0, small_data(), Schedule(num_steps=3))
    assert result.stopped == "all 3 steps taken" and np.isnan(result.records[0].heldout_rmse)
    assert [r.step for r in result.records] == [1, 2, 3]
    assert result.noise_variance.tolist() == [0.5]


def test_not_finite_names_step_seed_and_quantity():
    with pytest.raises(
        NotFiniteError, match=r"toy: log_posterior is -?nan after step 2 \(seed 5\)"
    ):
        run(scripted([1.0, np.nan]), 5, small_data(), Schedule(num_steps=3), name="toy")


def test_average_keeps_every_thin_th_draw_after_burn_in():
    schedule = Schedule(num_steps=2, average=True, burn_in=3, thin=2, num_chains=2)
    result = run(scripted(np.arange(10.0)), 0, small_data(), schedule, heldout())
    # Steps 5 and 7 are kept; step j predicts values[j - 1].
    np.testing.assert_allclose(result.heldout.mean, (4 + 6) / 2)
    assert result.draws.mu.shape == (4,) and len(result.records) == 7
    np.testing.assert_allclose([r.heldout_rmse for r in result.records], [0, 1, 2, 3, 4, 4, 5])
    assert result.log_posterior == -5.0


def test_caller_keeps_its_prior_although_steps_donate_their_state():
    prior = random_prior(Terms(2))
    for _ in range(2):
        run(als(prior, Terms(2), 3.5), 0, small_data(), Schedule(num_steps=2))
    assert float(prior.tau) == 1.7


def test_a_step_that_loops_on_the_host_is_not_traced():
    """Its parts are compiled beforehand, once; the step then sees arrays, not tracers."""
    traced = scripted([3.0, 2.0, 1.0])
    compiled, is_traced = [], []

    def step(key, state, data):
        is_traced.append(isinstance(state.params.mu, jax.core.Tracer))
        return traced.step(key, state, data)

    hosted = Algorithm(traced.init, HostStep(step, lambda: compiled.append(len(is_traced))))
    result = run(hosted, 0, small_data(), Schedule(num_steps=3), heldout())
    expected = run(traced, 0, small_data(), Schedule(num_steps=3), heldout())
    assert compiled == [0] and is_traced == [False] * 3
    assert [r.heldout_rmse for r in result.records] == [r.heldout_rmse for r in expected.records]
