"""The recovered shares of the truth, on estimates whose errors are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from experiments.systems.recovery import effects, recovered
from pmf.data.sources.generated import Shape, generated
from pmf.data.splits import sample_records
from pmf.estimators.pmf import PMF
from pmf.types import Params, Side

SHAPE = Shape(6_000, 100, 400)


@pytest.fixture(scope="module")
def made():
    (user, item, value), truth = generated(SHAPE, 1)
    return pd.DataFrame({"user_id": user + 1, "item_id": item + 1, "rating": value}), truth


def test_effects_add_up_to_the_mean_and_know_no_biases_from_factors(made):
    """A bias that is written as a column of the factors is the same effect."""
    frame, truth = made
    user, item = (frame[x].to_numpy() - 1 for x in ("user_id", "item_id"))
    (U, b, _), (V, c, _), mu, _ = truth
    whole = sum(effects(truth, user, item))
    mean = b[user, 0] + c[item, 0] + np.sum(U[user] * V[item], 1)
    np.testing.assert_allclose(np.ptp(mean - whole), 0, atol=1e-5)

    ones = [np.ones((len(x), 1)) for x in (U, V)]
    no_bias = [np.zeros((len(x), 0)) for x in (U, V)]
    joined = Params(
        Side(np.hstack([U, b, ones[0]]), no_bias[0]),
        Side(np.hstack([V, ones[1], c]), no_bias[1]),
        mu,
    )
    for one, other in zip(effects(truth, user, item), effects(joined, user, item), strict=True):
        np.testing.assert_allclose(np.ptp(one - other), 0, atol=1e-5)


def test_a_perfect_fit_recovers_all_and_a_scaled_one_its_share(made):
    frame, truth = made
    split = sample_records(frame, 0.2, 0)
    fitted = PMF(rank=16, method="als", prior="auto", num_steps=1).fit(split.train).fitted
    rows = [np.append(fitted.users.values - 1, 0), np.append(fitted.items.values - 1, 0)]

    def with_truth(factor: float, bias: float):
        sides = (
            Side(factor * side.factor[row][None], bias * side.bias[row][None])
            for side, row in zip(truth[:2], rows, strict=True)
        )
        draws = Params(*sides, np.full(1, truth.mu))
        return replace(fitted, fit=fitted.fit.with_run(draws=draws))

    perfect = recovered(with_truth(1, 1), truth, split.test)
    np.testing.assert_allclose(list(perfect.values()), 1, atol=1e-3)
    halves = recovered(with_truth(np.sqrt(0.5), 0.5), truth, split.test)
    np.testing.assert_allclose(list(halves.values()), 0.75, atol=0.01)
    nothing = recovered(with_truth(0, 0), truth, split.test)
    np.testing.assert_allclose(list(nothing.values()), 0, atol=1e-6)
