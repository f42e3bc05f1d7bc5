"""Rows over devices: the single-device results to rounding, on 1, 2, 4 and 8 devices.

The stated rounding: 1e-9 of the largest number, in float64, after 4 steps. Catches: padding rows
that are counted, noise that depends on where a row is, a rating with the wrong owner, a table that
travels for nothing.
"""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.scaling_devices import collectives
from pmf import PMF, Checkpoints, InputError, report
from pmf.fitting.driver import chained
from pmf.inference import gibbs
from pmf.inference.als import als
from pmf.inference.base import Algorithm, RowAxis, row_axes
from pmf.inference.blocks import Blocks
from pmf.inference.hybrid import hybrid
from pmf.inference.layout import Data, by_rows, flat
from pmf.inference.map import gradient_map
from pmf.parallel import placement, sharding
from pmf.parallel.placement import (
    Placement,
    assign_rows,
    device_mesh,
    flat_on_mesh,
    place,
    rows_on_mesh,
)
from pmf.parallel.sharding import ShardSpec, from_host, on_mesh, shard_spec, to_host
from pmf.types import Terms
from tests.helpers.meshes import (
    ADAM,
    BUILDS,
    FITS,
    FRAME,
    ITEMS,
    LBFGS,
    MU,
    TERMS,
    USERS,
    compiled,
    prior,
    steps,
    tailed_ratings,
)
from tests.helpers.problems import ALL_TERMS

RATINGS = tailed_ratings()
COUNTS = np.bincount(RATINGS.user, minlength=USERS), np.bincount(RATINGS.item, minlength=ITEMS)
DEVICES = [1, 2, 4, 8]


class Job(NamedTuple):
    """An algorithm on one device (`spec` and `where` are None) or on a mesh, compiled."""

    algorithm: Algorithm
    data: Data
    start: Any
    program: Any
    spec: ShardSpec | None = None
    where: Placement | None = None

    def after(self, num: int, state=None, first: int = 0):
        """State in its host form, and log posteriors, after `num` steps."""
        state = self.start if state is None else state
        state, values = steps(self.algorithm, self.program, self.data, state, num, first)
        return (to_host(state, self.spec, self.where) if self.spec else state), values


def make_job(method: str, terms: Terms, devices: int | None, chains: int = 0) -> Job:
    build, is_flat = BUILDS[method](terms), method.startswith("map")
    if devices is None:
        shape = RATINGS, USERS, ITEMS
        data, on = flat(*shape) if is_flat else by_rows(*shape, terms.rank), ()
        algorithm = build(data)
    else:
        where = place(*COUNTS, device_mesh(devices))
        two = where, RATINGS, RATINGS, terms.rank
        data = flat_on_mesh(where, RATINGS) if is_flat else rows_on_mesh(*two)
        on = shard_spec(build, where), where
        algorithm = on_mesh(build, data, on[0])
    algorithm = chained(algorithm, chains) if chains else algorithm
    return Job(algorithm, data, *compiled(algorithm, data), *on)


job = cache(make_job)


def assert_same(tree, expected) -> None:
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        assert np.shape(a) == np.shape(b)
        largest = np.abs(b).max(initial=1.0)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * largest)


@pytest.mark.parametrize(
    ("method", "devices"),
    # Of the others four are below, and all that differs with one device is the same code.
    [("als", devices) for devices in DEVICES]
    + [(method, devices) for method in ("gibbs", "map") for devices in (2, 8)],
)
def test_equals_one_device(method, devices):
    assert_same(job(method, TERMS, devices).after(4), job(method, TERMS, None).after(4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "terms"),
    [("als", terms) for terms in ALL_TERMS]
    + [
        (method, Terms(*three))
        for method in ("gibbs", "map")
        for three in ((0, False, False), (0, True, True), (3, False, True))
    ],
)
def test_every_shape_equals_one_device(method, terms):
    assert_same(make_job(method, terms, 4).after(4), make_job(method, terms, None).after(4))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["map-lbfgs", "map-batches"])
def test_optimizer_state_is_sharded_too(method):
    on_four = make_job(method, TERMS, 4)
    assert_same(on_four.after(4), make_job(method, TERMS, None).after(4))
    arrays = jax.tree.leaves(on_four.start.optimizer)
    rows = {4 * on_four.where.user.share, 4 * on_four.where.item.share}
    tables = [x for x in arrays if rows & set(x.shape)]
    assert tables and all("rows" in x.sharding.spec for x in tables)


@pytest.mark.slow
def test_chains_equal_one_device():
    state = make_job("gibbs", TERMS, 4, chains=2).after(3)
    assert np.shape(state[1]) == (3, 2)
    assert_same(state, make_job("gibbs", TERMS, None, chains=2).after(3))


@pytest.mark.parametrize("method", ["als", "gibbs", "map"])
def test_another_number_of_devices_continues(method):
    """Two steps on 4 devices, then two on 2 devices, or alone, are four steps alone."""
    one, two, four = (job(method, TERMS, devices) for devices in (None, 2, 4))
    host, expected = four.after(2)[0], one.after(4)[0]
    assert_same(one.after(2, jax.tree.map(jnp.asarray, host), first=2)[0], expected)
    assert_same(two.after(2, from_host(host, two.spec, two.where), first=2)[0], expected)


def test_host_form_has_original_rows_and_no_padding():
    on_eight, one = job("als", TERMS, 8), job("als", TERMS, None)
    state = on_eight.start
    assert state.params.user.factor.shape[0] == 40 and state.prior.item.weight.shape == (56,)
    host = to_host(state, on_eight.spec, on_eight.where)
    assert_same(host, one.start)
    again = from_host(host, on_eight.spec, on_eight.where)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        assert a.shape == b.shape and a.sharding.is_equivalent_to(b.sharding, a.ndim)
    assert_same(to_host(again, on_eight.spec, on_eight.where), host)


@pytest.mark.parametrize("n", [1, 5, 8, 37, 1000])
@pytest.mark.parametrize("devices", [1, 2, 3, 8])
def test_assignment_is_balanced_and_loses_no_row(n, devices):
    count = np.random.default_rng(n).zipf(1.6, n).clip(max=10_000)
    assigned = assign_rows(count, devices)
    assert sorted(assigned.place) == list(range(n)) and np.array_equal(
        assigned.place[assigned.row], range(n)
    )
    owner = assigned.owner(np.arange(n))
    rows = np.bincount(owner, minlength=devices)
    load = np.bincount(owner, count, devices)[rows == assigned.share]
    assert rows.max() <= assigned.share == -(-n // devices)
    assert np.ptp(load) <= count.max()


@pytest.mark.parametrize("devices", DEVICES)
def test_each_rating_is_with_the_owners_of_its_user_and_of_its_item(devices):
    data, where = job("als", TERMS, devices).data, job("als", TERMS, devices).where
    placed = where.placed(RATINGS)
    for layout, rows, cols, row, col in (
        (data.by_user, where.user, where.item, placed.user, placed.item),
        (data.by_item, where.item, where.user, placed.item, placed.user),
    ):
        triples = []
        for block in layout.local.blocks:
            for shards in zip(*(x.addressable_shards for x in block[:3]), strict=True):
                local, columns, value = (np.asarray(shard.data) for shard in shards)
                is_cell = (columns < devices * cols.share) & (local < rows.share)[..., None]
                device = list(where.mesh.devices).index(shards[0].device)
                owner = np.broadcast_to(local[..., None] + device * rows.share, columns.shape)
                triples += zip(owner[is_cell], columns[is_cell], value[is_cell], strict=True)
        assert sorted(triples) == sorted(zip(row, col, placed.value, strict=True))


@pytest.mark.parametrize("method", ["als", "gibbs"])
def test_a_sweep_sends_each_table_once_and_small_sums(method):
    on_four = job(method, TERMS, 4)
    sent = collectives(on_four.program.as_text())
    tables = sorted(size for kind, size in sent if kind == "all-gather")
    d = TERMS.rank + 1
    assert tables == sorted(8 * 4 * x.share * d for x in (on_four.where.user, on_four.where.item))
    others = [(kind, size) for kind, size in sent if kind != "all-gather"]
    assert all(kind == "all-reduce" and size <= 8 * (d * d + d) for kind, size in others)


@pytest.mark.parametrize(
    "method", ["als", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gibbs", "map"))]
)
def test_fit_on_devices_equals_fit_on_one(method):
    """To float32's rounding: 1e-4 of a rating."""
    train, test = FRAME[:400], FRAME[400:]
    models = [
        PMF(rank=3, method=method, devices=devices, **FITS[method]).fit(train, heldout=test)
        for devices in (1, 4)
    ]
    one, many = (
        [
            model.predict(test)["mean"],
            report(model, test).scores["rmse"],
            model.heldout_prediction.variance,
            [r.heldout_rmse for r in model.records],
            model.log_posterior() / 400,
        ]
        for model in models
    )
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.slow
def test_a_stopped_fit_goes_on_over_other_numbers_of_devices(tmp_path):
    """4 devices, then 2, then 1, from checkpoints: as one device straight through, to rounding."""

    class Stop(Exception):
        pass

    def fit(devices: int, stop: int | None = None, **options) -> PMF:
        def on_step(phase: str, step: int, total: int) -> None:
            if phase == "gibbs" and step == stop:
                raise Stop

        model = PMF(rank=3, method="gibbs", devices=devices, **FITS["gibbs"])
        return model.fit(FRAME[:400], FRAME[400:], on_step, **options)

    checkpoints = Checkpoints(tmp_path, every_steps=1, resume=True)
    for devices, stop in ((4, 4), (2, 6)):
        with pytest.raises(Stop):
            fit(devices, stop, checkpoints=checkpoints)
    went_on, straight = fit(1, checkpoints=checkpoints), fit(1)
    assert len(went_on.records) == len(straight.records) > 6
    for a, b in zip(
        [went_on.predict(FRAME)["mean"], [r.heldout_rmse for r in went_on.records]],
        [straight.predict(FRAME)["mean"], [r.heldout_rmse for r in straight.records]],
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_more_devices_than_there_are_is_refused():
    """Once the ratings are read, before the long search for a prior."""
    phases = set()
    with pytest.raises(InputError, match="devices=99, but JAX sees 8"):
        PMF(rank=2, devices=99).fit(FRAME, on_step=lambda phase, *_: phases.add(phase))
    assert phases == {"reading"}


def padding_rows_counted(patch):
    """Padding rows enter the hyperparameters' statistics and the log posterior."""
    patch.setattr(sharding.ShardSpec, "real", lambda self, state: state)
    patch.setattr(sharding.ShardSpec, "real_data", lambda self, data: data)


def noise_by_place(patch):
    """A row's noise depends on its place."""
    true = gibbs.row_epsilon
    patch.setattr(gibbs, "row_epsilon", lambda key, row, *rest: true(key, None, *rest))


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
    true = placement.assign_rows

    def assign_unevenly(count, devices):
        right = true(count, devices)
        return placement.RowAssignment(right.count[right.place], right.place, right.share)

    patch.setattr(placement, "assign_rows", assign_unevenly)


@pytest.mark.parametrize(
    ("bug", "method"),
    [
        (padding_rows_counted, "gibbs"),
        (padding_rows_counted, "als"),
        (noise_by_place, "gibbs"),
        (columns_not_placed, "als"),
        (weights_in_original_order, "als"),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_planted_bug_is_caught(bug, method, monkeypatch):
    expected = job(method, TERMS, None).after(4)  # before the bug is planted
    bug(monkeypatch)
    with pytest.raises((AssertionError, IndexError, ValueError)):
        assert_same(make_job(method, TERMS, 4).after(4), expected)


def test_states_declare_where_their_rows_are():
    """By type, so whatever the sizes: here rank, users and a hybrid's features are equally many."""
    num_rows, terms = {"user": 4, "item": 9}, Terms(4)
    data = Data(None, Blocks(), Blocks(), jnp.ones(4, int), jnp.ones(9, int))
    features = np.ones((9, 4))
    user, item = RowAxis("user", -2), RowAxis("item", -2)

    def axes(algorithm) -> list:
        return row_axes(algorithm.init(jax.random.key(0), data), num_rows)

    sides = [user, user, item, item]
    priors = [None, None, None, RowAxis("user", -1), None, None, RowAxis("item", -1)]
    params = [*sides, None]
    assert axes(als(prior(terms, data), terms, MU)) == params + priors
    state_axes = axes(hybrid(prior(terms, data), terms, MU, features, 2.0))
    assert state_axes == [
        *params,
        *priors[:4],
        item,
        *priors[5:],
        None,
    ]  # B has no row of either side
    adam = axes(gradient_map(prior(terms, data), terms, MU, ADAM))
    assert adam == [*params, *priors, None, *sides, *sides]
    lbfgs = axes(gradient_map(prior(terms, data), terms, MU, LBFGS))
    assert lbfgs.count(user) >= 2 * 4 and lbfgs.count(item) == lbfgs.count(user)
