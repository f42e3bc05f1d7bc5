"""Optimizers by name. Catches: an argument that is ignored, a name that is code, a learning rate of
nobody's, a line search on mini-batches."""

import json
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import pmf
from experiments.config.files import CONFIGS, load_experiment
from experiments.config.grid import flattened
from experiments.config.identity import fields_of
from pmf.errors import InputError
from pmf.fitting.settings import make_settings
from pmf.inference import optimizers
from pmf.inference.optimizers import OPTIMIZERS, SCHEDULES, build
from pmf.model.priors import IsotropicPrior
from tests.helpers.grids import write

PRIOR = IsotropicPrior(1.0, 5.0, 5.0, 2.0, 2.0)
GRADIENT = {"a": jnp.array([[0.3, -0.2], [0.1, 0.7]]), "b": jnp.array([1.5])}
COSINE = {"name": "cosine_decay_schedule", "init_value": 0.5, "decay_steps": 3}
NEEDED = {
    "constant_schedule": {"value": 0.1},
    "cosine_decay_schedule": {"init_value": 0.1, "decay_steps": 3},
    "cosine_onecycle_schedule": {"transition_steps": 9, "peak_value": 0.1},
    "exponential_decay": {"init_value": 0.1, "transition_steps": 3, "decay_rate": 0.5},
    "linear_onecycle_schedule": {"transition_steps": 9, "peak_value": 0.1},
    "linear_schedule": {"init_value": 0.1, "end_value": 0.0, "transition_steps": 3},
    "polynomial_schedule": {"init_value": 0.1, "end_value": 0.0, "power": 2, "transition_steps": 3},
    "warmup_constant_schedule": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 2},
    "warmup_cosine_decay_schedule": {
        "init_value": 0.0,
        "peak_value": 0.1,
        "warmup_steps": 2,
        "decay_steps": 5,
    },
    "warmup_exponential_decay_schedule": {
        "init_value": 0.0,
        "peak_value": 0.1,
        "warmup_steps": 2,
        "transition_steps": 3,
        "decay_rate": 0.5,
    },
}


def updates(optimizer: optax.GradientTransformation, steps: int = 4) -> list:
    """What it adds to parameters at 1, for the same gradient again and again."""
    params = jax.tree.map(jnp.ones_like, GRADIENT)
    state, states = optimizer.init(params), []
    for _ in range(steps):
        change, state = optimizer.update(GRADIENT, state, params)
        params = optax.apply_updates(params, change)
        states.append(jax.tree.map(np.asarray, params))
    return states


def same(one: list, other: list) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"lbfgs"}))
def test_a_name_is_that_optimizer_of_optax_with_the_settings_rate(name):
    ours = updates(build({"name": name}, 0.05))
    assert same(ours, updates(getattr(optax, name)(learning_rate=0.05)))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(ours))
    assert build(name, 0.05) is build(name, 0.05)  # so that jit recognises its step


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_that_of_optax(name):
    rate = {"name": name, **NEEDED[name]}
    ours = updates(build({"name": "sgd", "learning_rate": rate}, 9.0))
    assert same(ours, updates(optax.sgd(getattr(optax, name)(**NEEDED[name]))))


def test_every_argument_arrives():
    ours = build({"name": "sgd", "momentum": 0.9, "nesterov": True}, 0.1)
    theirs = optax.sgd(0.1, momentum=0.9, nesterov=True)
    assert same(updates(ours), updates(theirs))
    assert not same(updates(ours), updates(optax.sgd(0.1)))
    own_rate = build({"name": "adam", "b1": 0.5, "learning_rate": 0.3}, 0.1)
    assert same(updates(own_rate), updates(optax.adam(0.3, b1=0.5)))


def test_the_default_and_lbfgs_are_what_they_were():
    assert same(updates(build("adam", 0.02)), updates(optax.adam(0.02)))
    assert optimizers.is_lbfgs("lbfgs") and optimizers.is_lbfgs({"name": "lbfgs"})
    assert not any(map(optimizers.is_lbfgs, ("adam", {"name": "sgd"}, optax.lbfgs())))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("adamm", "name='adamm': did you mean adam?"),
        ({}, "name=None: known: adabelief"),
        ({"name": ["sgd"]}, "name=['sgd']"),
        ({"name": "sgd", "momentun": 0.9}, "sgd has no momentun; did you mean momentum?"),
        ({"name": "adamw", "mask": True}, "adamw has no mask"),
        ({"name": "adam", "mu_dtype": "float16"}, "adam has no mu_dtype"),
        ({"name": "lbfgs", "linesearch": 1}, "lbfgs has no linesearch"),
        ({"name": "sgd", "momentum": "much"}, "momentum='much': a finite number is needed"),
        ({"name": "sgd", "momentum": True}, "momentum=True: a number is needed"),
        ({"name": "sgd", "momentum": float("nan")}, "momentum=nan: a finite number is needed"),
        ({"name": "sgd", "nesterov": 1}, "nesterov=1: true or false is needed"),
        ({"name": "lbfgs", "memory_size": 1.5}, "memory_size=1.5: a whole number is needed"),
        ({"name": "sgd", "learning_rate": 0}, "learning_rate=0: a number above 0 is needed"),
        ({"name": "sgd", "learning_rate": {"name": "cosine"}}, "optimizer.learning_rate: name='co"),
        (
            {"name": "sgd", "learning_rate": {"name": "cosine_decay_schedule", "init_value": 1}},
            "cosine_decay_schedule needs decay_steps",
        ),
        ({"name": "sgd", "learning_rate": COSINE | {"decay_steps": -1}}, "cosine_decay_schedule: "),
        ({"name": "os.system"}, "name='os.system': known"),
        ({"name": "sgd", "momentum": {1, 2}}, "numbers, words and tables only"),
        ({"name": "masked", "inner": "sgd"}, "name='masked'"),
        (3, "a name, a table with a name, or an optax transformation"),
    ],
)
def test_mistakes_are_told_before_any_work(spec, message):
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        make_settings({"method": "map", "optimizer": spec})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("spec", ["lbfgs", {"name": "lbfgs", "memory_size": 5}])
def test_a_line_search_has_the_full_batch(spec):
    with pytest.raises(InputError, match="lbfgs searches along a line of the full batch"):
        make_settings({"method": "map", "optimizer": spec, "batch_size": 100})
    with pytest.raises(InputError, match="on_disk: map by mini-batches only"):
        make_settings({"method": "map", "optimizer": spec, "on_disk": True})


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pair = rng.permutation(20 * 15)[:200]
    return pd.DataFrame(
        {"user_id": pair // 15, "item_id": pair % 15, "rating": rng.integers(1, 6, 200)}
    )


def test_a_model_by_name_is_the_model_by_object_and_remembers_it(frame, tmp_path):
    spec = {"name": "sgd", "momentum": 0.9, "learning_rate": COSINE}
    schedule = optax.cosine_decay_schedule(0.5, 3)
    common = {"rank": 2, "method": "map", "prior": PRIOR, "num_steps": 5, "tolerance": 0.0}
    ours = pmf.PMF(**common, optimizer=spec).fit(frame)
    theirs = pmf.PMF(**common, optimizer=optax.sgd(schedule, momentum=0.9)).fit(frame)
    np.testing.assert_array_equal(ours.predict(frame)["mean"], theirs.predict(frame)["mean"])
    ours.save(tmp_path / "m.pmf")
    assert pmf.load(tmp_path / "m.pmf").settings.inference.optimizer == spec


def test_an_optimizer_in_toml_is_a_setting_and_a_grid(tmp_path):
    path = write(tmp_path)
    runs = load_experiment(
        path,
        ["model.method=map", "split.fold=1", 'model.optimizer={name="sgd", momentum=[0.0, 0.9]}'],
    ).runs
    assert [run.model.optimizer["momentum"] for run in runs] == [0.0, 0.9]
    assert fields_of(runs[1])["model.optimizer.momentum"] == 0.9
    assert flattened(json.loads(runs[1].model_dump_json()))["model.optimizer.name"] == "sgd"
    both = ["model.method=map", "split.fold=1", 'model.optimizer=["lbfgs", {name="adamw"}]']
    assert [run.model.optimizer for run in load_experiment(path, both).runs] == [
        "lbfgs",
        {"name": "adamw"},
    ]
    with pytest.raises(InputError, match=r"tiny.toml: .*sgd has no momentun; did you mean"):
        load_experiment(path, ["model.method=map", 'model.optimizer={name="sgd", momentun=0.9}'])


def test_the_documented_optimizers_are_three_runs(tmp_path):
    page = (CONFIGS.parent / "docs" / "experiments.md").read_text(encoding="utf8")
    (block,) = re.findall(r"```toml\n([^`]*optimizer = [^`]*)```", page)
    path = tmp_path / "documented.toml"
    path.write_text(f'data = "ml-small-2016"\n[split]\nkind = "sample_records"\n{block}')
    runs = load_experiment(path, []).runs
    assert [run.model.optimizer.get("momentum") for run in runs] == [0.0, 0.9, None]
    assert runs[2].model.optimizer["learning_rate"]["decay_steps"] == 500


def test_settings_alone_import_no_optax():
    code = (
        "import sys\nfrom pmf.fitting.settings import Settings\n"
        "Settings(); assert 'optax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
