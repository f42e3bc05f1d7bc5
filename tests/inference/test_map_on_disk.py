"""MAP over ratings on disk. Catches: a rating left out or seen twice, an order that is not the
key's, an update other than the in-memory one, a compilation counted as a step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import tree_leaves

from pmf.data.synthetic import movielens_shaped
from pmf.data.values import Coded, coded_values
from pmf.errors import InputError
from pmf.estimators.pmf import PMF
from pmf.fitting.driver import run
from pmf.fitting.fit import fit_ratings
from pmf.fitting.schedule import Schedule
from pmf.fitting.settings import make_settings
from pmf.inference import map, map_on_disk
from pmf.inference.map import gradient_map, misfit_in_blocks
from pmf.inference.map_on_disk import Epoch, on_host, shuffled_batches, streamed_map
from pmf.model.density import log_posterior, misfit
from pmf.model.likelihood import GAUSSIAN
from pmf.model.priors import IsotropicPrior
from pmf.types import Ratings, Terms
from tests.helpers.problems import random_prior, small_data, small_ratings

TERMS = Terms(3)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(map_on_disk, "BLOCK", 4)
    monkeypatch.setattr(map_on_disk, "BUFFER", 16)


def host_ratings() -> Ratings:
    return Ratings(*(np.asarray(x) for x in small_ratings()))


def order_of(key, n: int, size: int) -> np.ndarray:
    """The rows that an epoch visits, by batches: ratings that are their own row numbers."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    rows = np.arange(n)
    parts = shuffled_batches(rng, Ratings(rows, rows, rows.astype(np.float32)), size)
    return np.concatenate([part.user for part in parts])


@pytest.mark.parametrize(("n", "size"), [(40, 5), (41, 7), (37, 16), (40, 23), (7, 7)])
def test_an_epoch_visits_each_rating_once(n, size):
    batches = order_of(jax.random.key(0), n, size)
    assert batches.shape == (n // size, size)
    assert len(np.unique(batches)) == n // size * size
    np.testing.assert_array_equal(batches, order_of(jax.random.key(0), n, size))
    if n > size:
        assert not np.array_equal(batches, order_of(jax.random.key(1), n, size))
        assert np.any(np.diff(batches.ravel()) != 1)


def test_another_epoch_leaves_out_others():
    left = {
        tuple(set(range(41)) - set(order_of(jax.random.key(j), 41, 8).ravel())) for j in range(20)
    }
    assert len(left) > 5


@pytest.mark.parametrize("optimizer", [optax.adam(0.05), optax.sgd(0.1)], ids=["adam", "sgd"])
def test_streaming_is_the_in_memory_epoch_in_the_same_order(monkeypatch, optimizer):
    prior, size = random_prior(TERMS), 6
    ours = streamed_map(prior, TERMS, 3.5, optimizer, size)
    theirs = gradient_map(prior, TERMS, 3.5, optimizer, size)
    data = on_host(host_ratings(), 9, 8)
    mine, truth = ours.init(jax.random.key(0), data), theirs.init(jax.random.key(0), small_data())
    mine = jax.tree.map(jnp.copy, mine)  # a step takes its state
    for j in range(3):
        key = jax.random.key(j)
        rows = jnp.asarray(order_of(key, 40, size).ravel())
        monkeypatch.setattr(
            map.jax.random, "permutation", lambda key, n, rows=rows: jnp.resize(rows, n)
        )
        mine, info = ours.step(key, mine, data)
        truth, expected = theirs.step(key, truth, small_data())
        for a, b in zip(tree_leaves((mine, info)), tree_leaves((truth, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    exact = log_posterior(mine.params, mine.prior, small_ratings())
    np.testing.assert_allclose(info.log_posterior, exact, rtol=1e-12)


def test_ratings_in_files_and_in_bytes_change_nothing(tmp_path):
    ratings = movielens_shaped(0, n=900, users=60, items=90)
    mapped = []
    for name, x in zip(Ratings._fields, ratings, strict=True):
        np.save(tmp_path / name, x)
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    coded = coded_values(ratings.value)
    assert isinstance(coded, Coded)
    settings = make_settings(
        {
            "rank": 2,
            "method": "map",
            "on_disk": True,
            "num_steps": 3,
            "batch_size": 64,
            "prior": IsotropicPrior(1.0, 5.0, 5.0, 2.0, 2.0),
        }
    )
    fits = [
        fit_ratings(settings, Ratings(*sides, value), 61, 91)
        for sides, value in [
            (ratings[:2], ratings.value),
            (mapped[:2], coded),
            (mapped[:2], ratings.value.astype(np.float16)),
        ]
    ]
    for other in fits[1:]:
        for a, b in zip(tree_leaves(fits[0].run.draws), tree_leaves(other.run.draws), strict=True):
            np.testing.assert_array_equal(a, b)
        assert fits[0].noise_variance == other.noise_variance


def test_the_driver_compiles_before_it_steps():
    """Compilation is no part of a record's seconds: no step compiles anything new."""
    events: list[str] = []
    algorithm = streamed_map(random_prior(TERMS), TERMS, 3.5, optax.sgd(0.1), 7)
    compiled: list[int] = []

    def listen(event: str, duration: float, **named) -> None:
        if "backend_compile" in event:
            events.append(event)

    class Watched(Epoch):
        def __call__(self, key, state, data):
            compiled.append(len(events))
            return super().__call__(key, state, data)

    jax.monitoring.register_event_duration_secs_listener(listen)
    data = on_host(host_ratings(), 9, 8)
    watched = algorithm._replace(step=Watched(*algorithm.step))
    result = run(watched, 0, data, Schedule(num_steps=3))
    assert compiled[0] > 0 and len(result.records) == 3
    before = len(events)
    run(algorithm, 0, data, Schedule(num_steps=3))
    assert len(events) == before


def test_another_optimizer_is_another_program():
    """A checkpoint of one is refused by the other: its text is what tells them apart."""
    data, texts = on_host(host_ratings(), 9, 8), []
    for optimizer in (optax.sgd(0.1), optax.sgd(0.1, momentum=0.9), optax.sgd(0.2)):
        algorithm = streamed_map(random_prior(TERMS), TERMS, 3.5, optimizer, 7)
        state = algorithm.init(jax.random.key(0), data)
        texts.append(algorithm.step.lower(jax.random.key(0), state, data).as_text())
    assert len(set(texts)) == 3


def test_a_log_posterior_in_blocks_is_that_of_all(monkeypatch):
    monkeypatch.setattr(map, "BLOCK", 7)
    state = gradient_map(random_prior(TERMS), TERMS, 3.5, optax.sgd(0.1)).init(
        jax.random.key(0), small_data()
    )
    tau = jnp.asarray(1.7)
    for n in (0, 5, 7, 40):
        ratings = Ratings(*(x[:n] for x in small_ratings()))
        ours = misfit_in_blocks(state.params, ratings, tau, GAUSSIAN)
        np.testing.assert_allclose(ours, misfit(state.params, ratings, tau), rtol=1e-12)


def test_float32_sums_stay_accurate():
    """Three million float32 terms: a running float32 sum would be off by some 1e-4."""
    rng = np.random.default_rng(0)
    n = 3_000_000
    prior = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), random_prior(Terms(0)))
    params = (
        gradient_map(prior, Terms(0), 3.5, optax.sgd(0.1))
        .init(jax.random.key(0), small_data())
        .params
    )
    value = rng.normal(3.5, 1, n).astype(np.float32)
    zeros = jnp.zeros(n, jnp.int32)
    error = misfit_in_blocks(params, Ratings(zeros, zeros, jnp.asarray(value)), prior.tau, GAUSSIAN)
    exact = np.sum((value - np.float32(3.5)).astype(np.float64) ** 2)
    np.testing.assert_allclose(error, exact, rtol=1e-6)


def test_a_model_fitted_on_disk_predicts_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(map_on_disk, "BLOCK", 64)
    monkeypatch.setattr(map_on_disk, "BUFFER", 1024)
    import pandas as pd

    names = ["user", "item", "rating"]
    table = pd.DataFrame(dict(zip(names, movielens_shaped(0, 4000, 100, 500), strict=True)))
    rng = np.random.default_rng(0)
    bias = rng.normal(0, 1, 100)
    table["rating"] = np.round(3 + bias[table["user"]] + 0.3 * rng.normal(size=4000), 1)
    table.to_parquet(tmp_path / "r.parquet")
    settings = {"prior": IsotropicPrior(5.0, 1.0, 1.0, 1.0, 1.0), "num_steps": 30}
    shared = settings | {"batch_size": 256, "method": "map", "rank": 0}
    disk = PMF(on_disk=True, **shared).fit(tmp_path / "r.parquet")  # type: ignore[arg-type]
    memory = PMF(**shared).fit(table)  # type: ignore[arg-type]
    rmse = [
        np.sqrt(np.mean((m.predict(table)["mean"] - table["rating"]) ** 2)) for m in (disk, memory)
    ]
    assert rmse[0] < 0.4 and abs(rmse[0] - rmse[1]) < 0.02
    assert disk.require_fitted().user_count.sum() == 4000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "als"}, "on_disk: a setting of MAP, not of ALS"),
        ({"method": "map", "batch_size": "full"}, "on_disk: map by mini-batches only"),
        ({"method": "map", "validation": 0.1}, "without validation"),
    ],
)
def test_what_cannot_stream_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        PMF(on_disk=True, **settings)


def test_frames_and_csv_files_are_not_on_disk(tmp_path):
    model = PMF(method="map", on_disk=True)
    with pytest.raises(InputError, match="fit a path, not a frame"):
        model.fit(__import__("pandas").DataFrame())
    (tmp_path / "r.csv").write_text("user,item,rating\n1,2,3\n")
    with pytest.raises(InputError, match="r.csv: on_disk=True reads Parquet only"):
        model.fit(tmp_path / "r.csv")
