"""What names a run. Catches: a setting, a rating or a size that changes a run's numbers and not its
name, so that it goes on from another run's checkpoint.
"""

import numpy as np
import pytest

import pmf
from pmf.data.contexts import ContextRows
from pmf.fitting import fingerprint as module
from pmf.fitting.fingerprint import AFTER_THE_RUN, BEFORE_THE_RUN, ONLY_ROUNDING, fingerprint
from pmf.fitting.registry import owners_of
from pmf.fitting.settings import MODEL, make_settings, shorthand
from pmf.types import Ratings

CHANGES_NOTHING = AFTER_THE_RUN | BEFORE_THE_RUN | ONLY_ROUNDING
# Another value of each setting than the default; a setting without one fails the first test below.
OTHER = {
    "rank": 3,
    "user_bias": False,
    "item_bias": False,
    "mu": 3.0,
    "scale": (0.5, 5.0),
    "clip": True,
    "duplicates": "last",
    "store_ratings": False,
    "method": "gibbs",
    "num_steps": 7,
    "seed": 5,
    "fused": False,
    "devices": 2,
    "prior": pmf.IsotropicPrior(1.0, 2.0, 3.0, 4.0, 5.0),
    "tolerance": 0.5,
    "optimizer": "lbfgs",
    "learning_rate": 0.5,
    "batch_size": 10,
    "on_disk": True,
    "validation": 0.3,
    "patience": 3,
    "tau": 2.0,
    "hyperprior": "joint",
    "burn_in": 7,
    "thin": 3,
    "num_chains": 5,
    "noise": "user",
    "implicit": "user",
    "context": "day",
    "covariance": "whole",
    "store_draws": False,
}
NEEDED = {"clip": {"scale": (0.5, 5.0)}}  # beside it
ROWS = 4, 3
RATINGS = Ratings(
    np.array([0, 1, 2], np.int32), np.array([0, 1, 1], np.int32), np.array([1, 2, 5], np.float32)
)


def name(settings: dict, ratings: Ratings = RATINGS, rows=ROWS, heldout: Ratings | None = None):
    return fingerprint(make_settings(settings), ratings, *rows, heldout)


def test_every_setting_has_another_value():
    assert set(OTHER) == set(shorthand().model_fields)
    assert CHANGES_NOTHING <= set(shorthand().model_fields)


def test_what_is_left_out_is_what_changes_no_number():
    """A setting that is new is in the name; one is left out by a decision, here too."""
    assert CHANGES_NOTHING == {"scale", "clip", "store_ratings", "duplicates", "devices"}


@pytest.mark.parametrize("setting", OTHER)
def test_a_setting_is_in_the_name_or_changes_nothing(setting):
    owner = {} if setting in (*MODEL, "method") else {"method": owners_of(setting)[0]}
    beside = NEEDED.get(setting, {}) | owner
    is_same = name(beside) == name(beside | {setting: OTHER[setting]})
    assert is_same == (setting in CHANGES_NOTHING)


PRIORS = [dict(vars(OTHER["prior"]), **{one: 9.0}) for one in vars(OTHER["prior"])]


@pytest.mark.parametrize("changed", PRIORS, ids=list(vars(OTHER["prior"])))
def test_every_number_of_a_prior_is_in_the_name(changed):
    priors = OTHER["prior"], pmf.IsotropicPrior(**changed)
    assert name({"prior": priors[0]}) != name({"prior": priors[1]})


def with_other(part: str) -> Ratings:
    return RATINGS._replace(**{part: getattr(RATINGS, part)[::-1].copy()})


@pytest.mark.parametrize("part", Ratings._fields)
def test_every_part_of_a_rating_is_in_the_name(part):
    assert name({}) != name({}, with_other(part))
    watched = name({}, heldout=RATINGS)
    assert name({}) != watched != name({}, heldout=with_other(part))


@pytest.mark.parametrize("rows", [(5, 3), (4, 4), (3, 4)])
def test_the_numbers_of_rows_are_in_the_name(rows):
    assert name({}) != name({}, rows=rows)


@pytest.mark.parametrize("package", ["pmf", "jax", "jaxlib"])
def test_versions_are_in_the_name(package, monkeypatch):
    before, true = name({}), module.metadata.version
    monkeypatch.setattr(
        module.metadata, "version", lambda name: "9.9" if name == package else true(name)
    )
    assert name({}) != before


def test_precision_and_platform_are_in_the_name(monkeypatch):
    before = name({})
    monkeypatch.setattr(module.jax.config, "read", lambda name: False)
    narrow = name({})
    monkeypatch.setattr(module.jax, "devices", list)
    assert before != narrow != name({})


def test_an_optax_object_is_told_from_a_name():
    import optax

    assert name({"method": "map", "optimizer": optax.adam(0.02)}) != name({"method": "map"})


def test_contexts_are_part_of_a_run():
    def of(train=(0, 1, 0), num_rows=3, heldout=(1,)):
        contexts = ContextRows(np.array(train), num_rows, np.array(heldout))
        settings = make_settings({"method": "gibbs", "context": "day"})
        return fingerprint(settings, RATINGS, *ROWS, None, contexts=contexts)

    others = of(train=(0, 1, 1)), of(num_rows=4), of(heldout=(0,))
    assert of() == of() and all(of() != other for other in others)
