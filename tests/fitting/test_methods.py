"""From settings to what runs. Catches: a setting that has no effect, or another's; a default that
is not the documented one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import pmf
from pmf.fitting import fit
from pmf.fitting.methods import als, gibbs
from pmf.fitting.methods import map as map_method
from pmf.fitting.schedule import Schedule
from pmf.inference import map as map_module
from pmf.types import Terms
from tests.helpers.capture import Captured, capture

PRIOR = pmf.IsotropicPrior(tau=4.0, user_factor=1.0, item_factor=2.0, user_bias=3.0, item_bias=5.0)
RNG = np.random.default_rng(0)
PAIR = RNG.permutation(8 * 9)[:50]
TABLE = pd.DataFrame(
    {"user_id": PAIR // 9, "item_id": PAIR % 9, "rating": RNG.integers(1, 6, 50).astype(float)}
)


def arguments_of(module, name: str, **settings) -> dict:
    """What a fit with these settings calls a function with."""
    method = settings.get("method", "als")
    required = {"tau": 1.5} if method == "gibbs" else {"prior": PRIOR}
    settings = {"rank": 3, **required, **settings}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Captured) as caught:
        capture(patch, module, name)
        pmf.PMF(**settings).fit(TABLE)
    return caught.value.arguments


PATIENT = Schedule(1000, tolerance=1e-6, patience=3)
GIBBS = {"average": True, "tolerance": 0.0}
OWN_GIBBS = {"num_steps": 7, "burn_in": 3, "thin": 5, "num_chains": 4, "store_draws": False}
SCHEDULES = [
    ({"method": "als"}, Schedule(100, tolerance=1e-4)),
    ({"method": "map"}, Schedule(1000, tolerance=1e-6)),
    ({"method": "gibbs"}, Schedule(100, burn_in=100, thin=2, num_chains=2, **GIBBS)),
    ({"method": "gibbs", **OWN_GIBBS}, Schedule(**OWN_GIBBS, **GIBBS)),
    ({"method": "als", "num_steps": 9, "tolerance": 0.5}, Schedule(9, tolerance=0.5)),
    ({"method": "map", "num_steps": 9, "tolerance": 0.0}, Schedule(9)),
    ({"method": "als", "patience": 3}, Schedule(100, tolerance=1e-4)),
    ({"method": "als", "validation": 0.3}, Schedule(100, tolerance=1e-4, patience=10)),
    ({"method": "map", "validation": 0.3, "patience": 3}, PATIENT),
]


@pytest.mark.parametrize(("settings", "schedule"), SCHEDULES)
def test_a_schedule_is_the_one_that_is_asked(settings, schedule):
    arguments = arguments_of(fit, "run", seed=9, **settings)
    assert arguments["schedule"] == schedule and arguments["seed"] == 9


@pytest.mark.parametrize(
    ("kind", "user_bias", "widths"),
    [
        ("separate", True, ([3, 1], [3, 1])),
        ("separate", False, ([3, 0], [3, 1])),
        ("joint", True, ([4], [4])),
        ("joint", False, ([3], [4])),
    ],
)
def test_separate_hyperpriors_own_factors_and_bias_and_a_joint_one_both(kind, user_bias, widths):
    settings = {"method": "gibbs", "hyperprior": kind, "user_bias": user_bias}
    hyperprior = arguments_of(gibbs, "gibbs", **settings)["hyperprior"]
    for side, columns in zip((hyperprior.user, hyperprior.item), widths, strict=True):
        assert [len(one.mean) for one in side] == columns
        assert [one.scale_inv.shape for one in side] == [(d, d) for d in columns]
        assert all(one.dof > d - 1 for one, d in zip(side, columns, strict=True))  # proper


def test_the_default_hyperprior_is_bpmfs_own():
    """Salakhutdinov & Mnih (ICML 2008), section 4.2: mu0 = 0, beta0 = 2, W0 = I, nu0 = d."""
    hyperprior = arguments_of(gibbs, "gibbs", method="gibbs")["hyperprior"]
    for factors, bias in (hyperprior.user, hyperprior.item):
        for one, d in ((factors, 3), (bias, 1)):
            assert (one.strength, one.dof) == (2, d)
            np.testing.assert_array_equal(one.mean, np.zeros(d))
            np.testing.assert_array_equal(one.scale_inv, np.eye(d))


def test_the_default_hyperprior_is_separate():
    assert pmf.Gibbs().hyperprior == "separate"


def test_tau_is_kept_or_learnt():
    arguments = arguments_of(gibbs, "gibbs", method="gibbs", tau=2.5, item_bias=False)
    assert arguments["tau"] == pytest.approx(2.5 * TABLE["rating"].var(ddof=0))  # standardised
    assert arguments["hyperprior"].likelihood.tau is None
    assert arguments["terms"] == Terms(3, True, False)
    assert arguments_of(gibbs, "gibbs", method="gibbs", tau="learn")[
        "hyperprior"
    ].likelihood.tau == (
        1,
        1,
    )


@pytest.mark.parametrize(
    ("method", "module", "algorithm"),
    [("als", als, "als"), ("map", map_module, "gradient_map")],
)
def test_a_prior_that_is_given_is_used(method, module, algorithm):
    arguments = arguments_of(module, algorithm, method=method)
    user, item = (
        np.diag(side.precision) for side in (arguments["prior"].user, arguments["prior"].item)
    )
    # Ratios, which have no unit: factors' precisions are 1 and 2, biases' are 3 and 5.
    np.testing.assert_allclose(item / user, [2.0, 2.0, 2.0, 5 / 3], rtol=1e-6)
    np.testing.assert_allclose(user[:3], user[0])
    assert arguments["terms"] == Terms(3, True, True)


@pytest.mark.parametrize(
    ("settings", "few", "many"),
    [
        ({}, None, map_method.MINI_BATCH),
        ({"batch_size": "full"}, None, None),
        ({"batch_size": 16}, 16, 16),
        ({"optimizer": "lbfgs"}, None, None),  # a line search needs the full batch
        ({"optimizer": "lbfgs", "batch_size": "full"}, None, None),
    ],
)
def test_batches_are_for_many_ratings_and_never_for_a_line_search(settings, few, many, monkeypatch):
    for limit, size in ((1000, few), (10, many)):
        monkeypatch.setattr(map_method, "FULL_BATCH", limit)
        arguments = arguments_of(map_module, "gradient_map", method="map", **settings)
        assert arguments["batch_size"] == size


def test_a_line_search_on_mini_batches_is_refused():
    with pytest.raises(pmf.InputError, match="lbfgs searches along a line of the full batch"):
        pmf.PMF(method="map", optimizer="lbfgs", batch_size=32)


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_adam_has_the_learning_rate(rate):
    """Its first step is the rate, against the gradient's sign."""
    settings = {} if rate == 0.02 else {"learning_rate": rate}
    adam = arguments_of(map_module, "gradient_map", method="map", **settings)["optimizer"]
    x, gradient = jnp.zeros(2), jnp.array([5.0, -0.1])
    step = adam.update(gradient, adam.init(x), x)[0]
    np.testing.assert_allclose(step, -rate * np.sign(gradient), rtol=1e-5)


def test_an_optimizer_is_the_one_that_is_asked():
    optimizer = optax.sgd(0.1)
    settings = {"method": "map", "optimizer": optimizer}
    assert arguments_of(map_module, "gradient_map", **settings)["optimizer"] is optimizer
    lbfgs = arguments_of(map_module, "gradient_map", method="map", optimizer="lbfgs")["optimizer"]
    truth = jax.tree.structure(optax.lbfgs().init(jnp.zeros(2)))
    assert jax.tree.structure(lbfgs.init(jnp.zeros(2))) == truth


def test_the_mean_is_the_ratings_own_or_the_one_that_is_given():
    alone = {"rank": 0, "user_bias": False, "item_bias": False, "prior": PRIOR, "fused": False}
    alone["num_steps"] = 1
    for settings, mean in (({}, TABLE["rating"].mean()), ({"mu": 2.25}, 2.25)):
        predicted = pmf.PMF(**alone, **settings).fit(TABLE).predict(TABLE)["mean"]
        np.testing.assert_allclose(predicted, mean, rtol=1e-6)
