"""Model files. Catches: an array, a prior, a count or a fact that comes back as another's."""

import builtins
import itertools
import os
import pickle

import jax
import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.io import tensor_file
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
    for name in ("search", "prior", "compile_seconds", "phases"):
        assert getattr(after, name) == getattr(before, name), name
    for name in ("records", "log_posterior", "stopped"):
        assert getattr(after.run, name) == getattr(before.run, name), name
    assert pair[1].settings == pair[0].settings


def test_new_users_are_under_the_users_prior_after_loading_too(pair):
    ratings = pd.DataFrame({"user_id": "x", "item_id": ["m1", "m4"], "rating": [5.0, 2.0]})
    pairs = pd.DataFrame({"user_id": "x", "item_id": [f"m{j}" for j in range(6)]})
    folded = [pmf.fold_in(model, ratings).predict(pairs) for model in pair]
    pd.testing.assert_frame_equal(*folded)
    items = ratings.assign(user_id=[0, 1], item_id="new")
    grown = [model.partial_fit_items(items).fitted.fit.run.draws.item for model in pair]
    for a, b in zip(*grown, strict=True):
        np.testing.assert_array_equal(a, b)


def overwritten(path, data: bytes) -> None:
    """As `cp` does it: into the file that is there."""
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()
    os.utime(path, ns=(1, 1))  # another moment, however coarse the clock


ASKED = pd.DataFrame({"user_id": [0, 1], "item_id": ["m2", "m0"]})


def mean(model) -> list[float]:
    return model.predict(ASKED)["mean"].tolist()


@pytest.mark.parametrize("shorter", [False, True])
def test_a_file_written_into_does_not_change_a_small_model(tmp_path, shorter):
    path = tmp_path / "model.pmf"
    made(1).save(path)
    model, whole = pmf.load(path), path.read_bytes()
    before = mean(model)
    overwritten(path, whole[:100] if shorter else whole[:-400] + bytes(400))
    assert mean(model) == before


@pytest.mark.parametrize("shorter", [False, True])
def test_a_large_model_whose_file_is_written_into_refuses_to_answer(tmp_path, monkeypatch, shorter):
    monkeypatch.setattr(tensor_file, "SMALL", 0)
    path = tmp_path / "model.pmf"
    made(1).save(path)
    model, whole = pmf.load(path), path.read_bytes()
    ratings = pd.DataFrame({"user_id": "x", "item_id": ["m1"], "rating": [5.0]})
    folded, copied = pmf.fold_in(model, ratings), pickle.loads(pickle.dumps(model))
    grown, before = model.partial_fit_users(ratings.assign(user_id=9)), mean(model)
    made(3).save(path)  # puts another in its place
    assert mean(model) == before != mean(pmf.load(path))
    os.link(tmp_path / "model.pmf", tmp_path / "same.pmf")
    made(1).save(path)
    other = pmf.load(path)
    overwritten(path, path.read_bytes()[:100] if shorter else whole[:-400] + bytes(400))
    assert mean(model) == before
    calls = (
        lambda: mean(other),
        lambda: pmf.recommend(other, n=1),
        lambda: pmf.similar_items(other, "m1"),
        lambda: pmf.fold_in(other, ratings),
        lambda: other.save(tmp_path / "again.pmf"),
    )
    for call in calls:
        with pytest.raises(pmf.InputError, match=r"model\.pmf: overwritten while its model"):
            call()
    source = model.fitted.source
    source.found = (0, 0)  # the others are mapped from its file too, but for the copy
    for derived in (folded, grown):
        with pytest.raises(pmf.InputError, match="overwritten"):
            derived.require_fitted()
    with pytest.raises(pmf.InputError, match="overwritten"):
        folded.explain("x", "m1")
    assert mean(copied) == before


def test_a_file_that_is_replaced_while_it_is_read_is_whole(tmp_path, monkeypatch):
    """Each time that the path is opened another model lies there."""
    path, opened = tmp_path / "model.pmf", builtins.open
    made(1).save(path)
    expected, turn = mean(pmf.load(path)), itertools.count()

    def replaced(file, *arguments, **options):
        result = opened(file, *arguments, **options)
        if str(file) == str(path):
            made(1 + 2 * (next(turn) % 2)).save(tmp_path / "next.pmf")
            os.replace(tmp_path / "next.pmf", path)
        return result

    made(3).save(path)
    other = mean(pmf.load(path))
    made(1).save(path)
    monkeypatch.setattr(builtins, "open", replaced)
    for small in (1 << 26, 0):
        monkeypatch.setattr(tensor_file, "SMALL", small)
        assert all(mean(pmf.load(path)) in (expected, other) for _ in range(6))
    assert next(turn) == 12  # once a load


def test_what_is_no_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "model.pmf"
    made(1).save(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], whole[:300], whole[:-1], whole + b"x", b"\xff" * 50):
        path.write_bytes(damaged)
        with pytest.raises(pmf.InputError, match="not a model file, or a damaged one"):
            pmf.load(path)
