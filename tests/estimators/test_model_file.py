"""Model files. Catches: an array, a prior, a count or a fact that comes back as another's."""

import jax
import numpy as np
import pandas as pd
import pytest

import pmf
from tests.helpers.handmade import made


def named(fitted) -> dict[str, np.ndarray]:
    """Every array of a fit by its path, and the ratings as plain numbers."""
    arrays = {"draws": fitted.fit.run.draws, "noise": fitted.fit.noise_variance}
    for side in ("user", "item"):
        prior = getattr(fitted.fit.run.prior, side)
        arrays |= {f"{side} mean": prior.mean, f"{side} precision": prior.precision}
    arrays |= {"tau": fitted.fit.run.prior.tau, "users": fitted.users.values}
    arrays |= {"items": fitted.items.values, "user counts": fitted.user_count}
    arrays |= {"item counts": fitted.item_count, "rated": fitted.rated.of(np.arange(2))}
    paths = jax.tree_util.tree_leaves_with_path(arrays)
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in paths}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model, and what comes back of it."""
    model, path = made(1), tmp_path_factory.mktemp("store") / "model.pmf"
    model.save(path)
    return model, pmf.load(path)


def test_every_array_comes_back_in_its_place(pair):
    before, after = (named(model.fitted) for model in pair)
    assert before.keys() == after.keys() and len(before) > 15
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)
    alike = [
        (a, b)
        for a in before
        for b in before
        if a < b and before[a].shape == before[b].shape and np.array_equal(before[a], before[b])
    ]
    assert not alike  # or one could come back as another's, unseen


def test_every_fact_comes_back(pair):
    before, after = (model.fitted.fit for model in pair)
    for name in ("search", "prior", "compile_seconds"):
        assert getattr(after, name) == getattr(before, name), name
    for name in ("records", "log_posterior", "stopped"):
        assert getattr(after.run, name) == getattr(before.run, name), name
    assert pair[1].settings == pair[0].settings


def test_new_users_are_under_the_users_prior_after_loading_too(pair):
    ratings = pd.DataFrame({"user_id": "x", "item_id": ["m1", "m4"], "rating": [5.0, 2.0]})
    asked = pd.DataFrame({"user_id": "x", "item_id": [f"m{j}" for j in range(6)]})
    folded = [pmf.fold_in(model, ratings).predict(asked) for model in pair]
    pd.testing.assert_frame_equal(*folded)
    items = ratings.assign(user_id=[0, 1], item_id="new")
    grown = [model.partial_fit_items(items).fitted.fit.run.draws.item for model in pair]
    for a, b in zip(*grown, strict=True):
        np.testing.assert_array_equal(a, b)
