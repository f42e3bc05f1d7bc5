"""Rows over devices: the single-device results to rounding, on 1, 2, 4 and 8 devices.

The stated rounding: 1e-9 of the largest number, in float64, after 4 steps. Catches: padding rows
that are counted, noise that depends on where a row is, a rating with the wrong owner, a table that
travels for nothing.
"""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from meshes import BUILDS, ITEMS, MU, TERMS, USERS, prior, steps, tailed_ratings
from problems import ALL_TERMS

from pmf import PMF, InputError, IsotropicPrior, gibbs, placement, report, sharding
from pmf.layout import by_rows, flat
from pmf.placement import deal, device_mesh, flat_on_mesh, place, rows_on_mesh
from pmf.run import chained
from pmf.sharding import cut_of, from_host, on_mesh, to_host
from pmf.types import Terms

RATINGS = tailed_ratings()
COUNTS = np.bincount(RATINGS.user, minlength=USERS), np.bincount(RATINGS.item, minlength=ITEMS)
DEVICES = [1, 2, 4, 8]


def sharded(method: str, terms: Terms, devices: int):
    """Algorithm, data, cut and placement on so many devices."""
    where, build = place(*COUNTS, device_mesh(devices)), BUILDS[method](terms)
    if method.startswith("map"):
        data = flat_on_mesh(where, RATINGS)
    else:
        data = rows_on_mesh(where, RATINGS, RATINGS, terms.rank)
    cut = cut_of(build, where)
    return on_mesh(build, data, cut), data, cut, where


def alone(method: str, terms: Terms):
    make = flat if method.startswith("map") else by_rows
    rank = () if method.startswith("map") else (terms.rank,)
    data = make(RATINGS, USERS, ITEMS, *rank)
    return BUILDS[method](terms)(data), data


@cache
def truth(method: str, terms: Terms, num: int):
    return steps(*alone(method, terms), num)


def assert_same(found, expected) -> None:
    found, expected = jax.tree.leaves(found), jax.tree.leaves(expected)
    for a, b in zip(found, expected, strict=True):
        assert np.shape(a) == np.shape(b)
        largest = np.abs(b).max(initial=1.0)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * largest)


def assert_equals_one_device(method: str, terms: Terms, devices: int) -> None:
    algorithm, data, cut, where = sharded(method, terms, devices)
    state, values = steps(algorithm, data, 4)
    expected, expected_values = truth(method, terms, 4)
    assert_same(values, expected_values)
    assert_same(to_host(state, cut, where), expected)


@pytest.mark.parametrize("devices", DEVICES)
@pytest.mark.parametrize("method", ["als", "gibbs", "map"])
def test_equals_one_device(method, devices):
    assert_equals_one_device(method, TERMS, devices)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["als", "gibbs", "map"])
@pytest.mark.parametrize("terms", ALL_TERMS)
def test_every_shape_equals_one_device(terms, method):
    assert_equals_one_device(method, terms, 4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["map-lbfgs", "map-batches"])
def test_optimizer_state_is_sharded_too(method):
    assert_equals_one_device(method, TERMS, 4)
    algorithm, data, _, where = sharded(method, TERMS, 4)
    arrays = jax.tree.leaves(algorithm.init(jax.random.key(0), data).optimizer)
    rows = {4 * where.user.share, 4 * where.item.share}
    tables = [x for x in arrays if rows & set(x.shape)]
    assert tables and all("rows" in x.sharding.spec for x in tables)


def test_chains_equal_one_device():
    algorithm, data, cut, where = sharded("gibbs", TERMS, 4)
    state, values = steps(chained(algorithm, 2), data, 3)
    single, its_data = alone("gibbs", TERMS)
    expected, expected_values = steps(chained(single, 2), its_data, 3)
    assert np.shape(values) == (3, 2)
    assert_same(values, expected_values)
    assert_same(to_host(state, cut, where), expected)


@pytest.mark.parametrize("method", ["als", "gibbs"])
def test_another_number_of_devices_continues(method):
    """Two steps on 4 devices, two on 2 devices, or alone, are four steps alone."""
    algorithm, data, cut, where = sharded(method, TERMS, 4)
    host = to_host(steps(algorithm, data, 2)[0], cut, where)
    expected = truth(method, TERMS, 4)[0]
    assert_same(steps(*alone(method, TERMS), 2, host, first=2)[0], expected)
    algorithm, data, cut, where = sharded(method, TERMS, 2)
    state, _ = steps(algorithm, data, 2, from_host(host, cut, where), first=2)
    assert_same(to_host(state, cut, where), expected)


def test_host_form_has_original_rows_and_no_padding():
    """The start knows no neighbours: each row's numbers are those of one device, bit for bit."""
    algorithm, data, cut, where = sharded("als", TERMS, 8)
    state = algorithm.init(jax.random.key(7), data)
    assert state.params.user.factor.shape[0] == 40 and state.prior.item.weight.shape == (56,)
    host = to_host(state, cut, where)
    expected = BUILDS["als"](TERMS)(by_rows(RATINGS, USERS, ITEMS, 3)).init(
        jax.random.key(7), by_rows(RATINGS, USERS, ITEMS, 3)
    )
    again = from_host(host, cut, where)
    for a, b in zip(jax.tree.leaves(host), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.sharding.is_equivalent_to(b.sharding, a.ndim)


@pytest.mark.parametrize("n", [1, 5, 8, 37, 1000])
@pytest.mark.parametrize("devices", [1, 2, 3, 8])
def test_deal_is_balanced_and_loses_no_row(n, devices):
    count = np.random.default_rng(n).zipf(1.6, n).clip(max=10_000)
    dealt = deal(count, devices)
    assert sorted(dealt.place) == list(range(n)) and np.array_equal(dealt.place[dealt.row], range(n))
    owner = dealt.owner(np.arange(n))
    rows = np.bincount(owner, minlength=devices)
    load = np.bincount(owner, count, devices)[rows == dealt.share]
    assert rows.max() <= dealt.share == -(-n // devices)
    assert np.ptp(load) <= count.max()


@pytest.mark.parametrize("devices", DEVICES)
def test_each_rating_is_with_the_owners_of_its_user_and_of_its_item(devices):
    _, data, _, where = sharded("als", TERMS, devices)
    placed = where.placed(RATINGS)
    for layout, rows, cols, row, col in (
        (data.by_user, where.user, where.item, placed.user, placed.item),
        (data.by_item, where.item, where.user, placed.item, placed.user),
    ):
        found = []
        for block in layout.blocks:
            for shards in zip(*(x.addressable_shards for x in block), strict=True):
                local, columns, value = (np.asarray(shard.data) for shard in shards)
                held = (columns < devices * cols.share) & (local < rows.share)[..., None]
                device = list(where.mesh.devices).index(shards[0].device)
                owner = np.broadcast_to(local[..., None] + device * rows.share, columns.shape)
                found += zip(owner[held], columns[held], value[held], strict=True)
        assert sorted(found) == sorted(zip(row, col, placed.value, strict=True))


def collectives(compiled) -> list[tuple[str, int]]:
    """(kind, numbers in its largest result) of each collective in a compiled program."""
    found = []
    pattern = r"= (.*?) (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)\("
    for shapes, kind in re.findall(pattern, compiled.as_text()):
        sizes = [np.prod([int(x) for x in s.split(",") if x]) for s in re.findall(r"\[(.*?)\]", shapes)]
        found.append((kind, int(max(sizes))))
    return found


@pytest.mark.parametrize("method", ["als", "gibbs"])
def test_a_sweep_sends_each_table_once_and_small_sums(method):
    algorithm, data, _, where = sharded(method, TERMS, 4)
    state = algorithm.init(jax.random.key(0), data)
    step = jax.jit(lambda key, state, data: algorithm.step(key, state, data))
    sent = collectives(step.lower(jax.random.key(0), state, data).compile())
    tables = sorted(size for kind, size in sent if kind == "all-gather")
    assert tables == sorted(4 * side.share * 4 for side in (where.user, where.item))
    others = [(kind, size) for kind, size in sent if kind != "all-gather"]
    assert all(kind == "all-reduce" and size <= 4 * 4 for kind, size in others)


def ratings_frame(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pair = rng.permutation(40 * 45)[:n]
    columns = {"user_id": pair // 45, "item_id": pair % 45, "rating": rng.integers(1, 6, n) * 1.0}
    return pd.DataFrame(columns)


PRIOR = IsotropicPrior(1.5, 15.0, 15.0, 3.0, 3.0, user_exponent=0.4)
FITS = {
    "als": {"num_steps": 5, "prior": PRIOR},
    "gibbs": {"num_steps": 3, "burn_in": 2, "tau": 1.5},
    "map": {"num_steps": 5, "prior": PRIOR, "validation": 0.1},
}


@pytest.mark.parametrize("method", FITS)
def test_fit_on_devices_equals_fit_on_one(method):
    """To float32's rounding: 1e-4 of a rating."""
    frame = ratings_frame()
    train, test = frame[:400], frame[400:]
    models = [
        PMF(rank=3, method=method, devices=devices, **FITS[method]).fit(train, heldout=test)
        for devices in (1, 4)
    ]
    one, many = ([model.predict(test)["mean"], report(model, test).scores["rmse"],
                  model.heldout_prediction.variance, [r.heldout_rmse for r in model.records],
                  model.log_posterior() / 400] for model in models)  # fmt: skip
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(InputError, match="devices=99, but JAX sees 8"):
        PMF(rank=2, devices=99, prior=PRIOR).fit(ratings_frame())


def padding_rows_counted(patch):
    """Padding rows enter the hyperparameters' statistics and the log posterior."""
    patch.setattr(sharding.Cut, "real", lambda self, state: state)
    patch.setattr(sharding.Cut, "real_data", lambda self, data: data)


def noise_by_place(patch):
    """A row's noise depends on where it was dealt to."""
    true = gibbs.row_noise
    patch.setattr(gibbs, "row_noise", lambda key, row, *rest: true(key, None, *rest))


def same_noise_on_every_device(patch):
    """A row's noise depends on its number within its device."""
    true = gibbs.row_noise
    patch.setattr(
        gibbs, "row_noise", lambda key, row, *rest: true(key, jnp.arange(len(row)) % 8, *rest)
    )


def columns_not_placed(patch):
    """Ratings keep their original item numbers, where places are needed."""
    true = placement.Placement.placed
    patch.setattr(
        placement.Placement,
        "placed",
        lambda self, ratings: true(self, ratings)._replace(item=ratings.item),
    )


def weights_in_original_order(patch):
    """A row's prior weight is that of the row that had its place."""
    true = placement.deal

    def dealt(count, devices):
        right = true(count, devices)
        return placement.Deal(right.count[right.place], right.place, right.share)

    patch.setattr(placement, "deal", dealt)


@pytest.mark.parametrize(
    ("bug", "method"),
    [
        (padding_rows_counted, "gibbs"),
        (padding_rows_counted, "als"),
        (noise_by_place, "gibbs"),
        (same_noise_on_every_device, "gibbs"),
        (columns_not_placed, "als"),
        (weights_in_original_order, "als"),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_planted_bug_is_caught(bug, method, monkeypatch):
    truth(method, TERMS, 4)  # before the bug is planted
    bug(monkeypatch)
    with pytest.raises((AssertionError, IndexError, TypeError, ValueError)):
        assert_equals_one_device(method, TERMS, 4)
