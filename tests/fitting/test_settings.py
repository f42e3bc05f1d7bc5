"""Settings of the inferences. Catches: a setting of another inference that is accepted in silence,
a name that is told wrongly, a registry that does not agree with its classes."""

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.errors import InputError
from pmf.fitting.registry import INFERENCES, inference_named
from pmf.fitting.settings import make_settings, of_method
from pmf.model.priors import Growth, NoisePrecision, RegressedPrior, growth_of

PRIOR = pmf.IsotropicPrior(4.0, 1.0, 2.0, 3.0, 5.0)
# A value of each setting that the inferences do not share, and which of them each has not.
VALUES = {
    "burn_in": 7,
    "thin": 9,
    "tau": 2.0,
    "num_chains": 8,
    "hyperprior": "joint",
    "store_draws": False,
    "prior": PRIOR,
    "tolerance": 0.1,
    "validation": 0.2,
    "patience": 3,
    "learning_rate": 5.0,
    "optimizer": "sgd",
    "batch_size": 9,
    "on_disk": True,
    "fused": False,
    "noise": "shared",
    "covariance": "whole",
}
OF_GIBBS = ["burn_in", "thin", "tau", "num_chains", "hyperprior", "store_draws"]
OF_MAP = ["learning_rate", "optimizer", "batch_size", "on_disk"]
OF_MODES = ["prior", "validation", "patience"]
OF_VB = ["covariance"]
FOREIGN = {
    "als": [*OF_GIBBS, *OF_MAP, *OF_VB, "noise"],
    "map": [*OF_GIBBS, "fused", *OF_VB, "noise"],
    "gibbs": [*OF_MODES, "tolerance", *OF_MAP, *OF_VB],
    "vb": [*OF_MODES, *OF_GIBBS, *OF_MAP],
}
CASES = [(method, name, VALUES[name]) for method in FOREIGN for name in FOREIGN[method]]


@pytest.mark.parametrize(("method", "name", "value"), CASES)
def test_a_setting_of_another_inference_is_refused_and_said_whose_it_is(method, name, value):
    label = INFERENCES[method].label
    kind = getattr(pmf, label)
    owners = [one.label for key, one in INFERENCES.items() if name not in FOREIGN[key]]
    *others, last = owners
    whose = f"{', '.join(others)} and {last}" if others else last
    message = f"{name}: a setting of {whose}, not of {label}"
    for make in (
        lambda: pmf.PMF(method=method, **{name: value}),
        lambda: kind(**{name: value}),
        lambda: pmf.PMF(inference=kind(), **{name: value}),
    ):
        with pytest.raises(InputError) as raised:
            make()
        assert str(raised.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "gibbs", "burn_inn": 3}, "burn_inn: unknown setting; did you mean burn_in?"),
        ({"burn_inn": 3}, "burn_inn: unknown setting; did you mean burn_in?"),
        ({"rnk": 3}, "rnk: unknown setting; did you mean rank?"),
        ({"method": "svd"}, "method='svd': known: als, map, gibbs, vb"),
        ({"method": ["als"]}, "method=['als']: known: als, map, gibbs, vb"),
        ({"inference": "gibbs"}, "inference='gibbs': say it as pmf.Gibbs(), or as method='gibbs'"),
        (
            {"inference": pmf.Gibbs(), "thin": 3},
            "thin: the inference is given; say it in inference=pmf.Gibbs(...)",
        ),
        (
            {"inference": pmf.ALS(), "method": "als"},
            "method: the inference is given; say it in inference=pmf.ALS(...)",
        ),
        ({"method": "gibbs", "burn_in": -1}, "burn_in: Input should be greater than or equal to 0"),
        (
            {"fused": True, "devices": 2},
            "Value error, vb, on_disk, implicit, context and fused are for one device",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(settings, message):
    with pytest.raises(InputError) as raised:
        pmf.PMF(**settings)
    assert str(raised.value) == message


def test_an_inference_and_its_name_are_the_same_settings():
    long = pmf.PMF(4, inference=pmf.Gibbs(burn_in=200, tau=2.0), seed=3).settings
    short = pmf.PMF(4, "gibbs", burn_in=200, tau=2.0, seed=3).settings
    assert long == short and repr(pmf.PMF.of(long)) == repr(pmf.PMF.of(short))
    assert make_settings(long.flat()) == long
    assert pmf.PMF(4, method="map", num_steps=None).settings.inference == pmf.MAP()
    with pytest.raises(Exception, match="frozen"):
        long.inference.burn_in = 3


def test_the_registry_agrees_with_its_classes():
    for name, entry in INFERENCES.items():
        kind = inference_named(name)
        assert kind is getattr(pmf, entry.label) and kind.name == name
        assert kind.model_fields["num_steps"].default == entry.default_steps
        assert kind.model_fields["num_steps"].description.lower().startswith(entry.steps.lower())
        assert kind().schedule.average == kind.averages
        if kind.open_setting is None:  # all is learnt
            assert kind().given_prior is not None
            continue
        settings = kind(**{kind.open_setting: PRIOR if kind.open_setting == "prior" else 2.0})
        assert kind().given_prior is None is not settings.given_prior  # what a search fills in


def test_flat_settings_leave_those_of_other_methods():
    values = {"rank": 3, "method": "als", "burn_in": 7, "tolerance": 0.5, "odd": 1}
    assert of_method(values) == {"rank": 3, "method": "als", "tolerance": 0.5, "odd": 1}


def test_new_users_have_the_exponent_of_the_fits_own_prior():
    """A prior that is given, too: the log of a search that never was has none."""
    rng = np.random.default_rng(0)
    pair = rng.permutation(10 * 12)[:60]
    columns = {"user": pair // 12, "item": pair % 12, "rating": rng.integers(1, 6, 60)}
    frame = pd.DataFrame(columns)
    prior = pmf.IsotropicPrior(4.0, 1.0, 2.0, 3.0, 5.0, user_exponent=0.7)
    model = pmf.PMF(0, prior=prior, num_steps=1).fit(frame)
    fit = model.require_fitted().fit
    assert fit.search.chosen == {} and fit.prior.user_exponent == 0.7
    assert fit.prior.user_bias == pytest.approx(3.0)
    assert pmf.fold_in(model, frame[:3]).conditioning.growth == Growth(0.7)
    assert growth_of(NoisePrecision(None), "user") == Growth()  # learnt priors have none
    assert growth_of(RegressedPrior(prior, 1.0), "user") == Growth(0.7)
