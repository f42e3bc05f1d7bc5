"""Configurations to grids, and what names a run. Catches: a typo that is ignored, two runs under
one name, one run under two."""

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

import pmf
from experiments.config import inputs
from experiments.config.files import CONFIGS, expand, find, load_experiment, read
from experiments.config.grid import axes_of, flattened, points_of
from experiments.config.identity import fields_of, identify
from experiments.config.schema import SplitConfig, resolve
from experiments.systems.factorization import model_settings
from pmf.data import splits
from pmf.data.splits import crossfold_records, keep_share
from pmf.errors import InputError
from tests.helpers.grids import ARMS, write


@pytest.fixture
def config(tmp_path):
    return write(tmp_path)


@pytest.fixture
def arms(tmp_path):
    return write(tmp_path, ARMS, "arms")


def test_lists_expand_to_a_grid_with_distinct_ids(config):
    points = identify(load_experiment(config, []))
    assert [(p.config.split.fold, p.config.model.method) for p in points] == [
        (1, "als"),
        (1, "gibbs"),
        (2, "als"),
        (2, "gibbs"),
    ]
    ids = [point.id for point in points]
    assert (
        len(set(ids)) == 4 and [point.id for point in identify(load_experiment(config, []))] == ids
    )
    assert identify(load_experiment(config, ["model.rank=3"]))[0].id not in ids
    assert len(load_experiment(config, ['model.method="map"', "model.rank=[2, 3]"]).runs) == 4
    assert load_experiment(config, ["model.scale=[1, 5]"]).runs[0].model.scale == (1, 5)
    experiment = load_experiment(config, ["unit=points"])  # of axes: the same runs
    assert experiment.unit == "points" and [point.id for point in identify(experiment)] == ids
    assert [point.title for point in points][:2] == ["fold=1, method=als", "fold=1, method=gibbs"]


def test_lists_expand_inside_tables():
    points = points_of(axes_of({"a": {"b": {"c": [1, 2]}, "d": 3}, "e": ["x", "y"]}, Path("t")))
    assert [flattened(point) for point in points] == [
        {"a.b.c": c, "a.d": 3, "e": e} for c in (1, 2) for e in ("x", "y")
    ]


def test_arms_are_merged_over_the_model_and_run_over_the_grid(arms):
    runs = load_experiment(arms, []).runs
    assert [(run.arm, run.model.rank, run.model.seed) for run in runs] == [
        (arm, rank, seed)
        for arm, rank in (("mean", 0), ("biases", 0), ("all", 2))
        for seed in (0, 1)
    ]
    assert [run.model.user_bias for run in runs] == [False, False, True, True, True, True]
    assert load_experiment(arms, ["arm.all.rank=[4, 8]"]).runs[-1].model.rank == 8
    assert len(load_experiment(arms, ["arm.all.rank=[4, 8]"]).runs) == 8
    assert fields_of(runs[0])["arm"] == "mean" and fields_of(runs[0])["tuning.trials"] == 3


def test_a_search_is_shared_by_seeds_and_by_nothing_else(arms):
    points = {(p.config.arm, p.config.model.seed): p for p in identify(load_experiment(arms, []))}
    assert points["mean", 0].study is None  # nothing to tune
    assert points["all", 0].study == points["all", 1].study
    studies = {points[key].study for key in (("all", 0), ("biases", 0))}
    for override in ("split.fold=2", "tuning.trials=4", "split.keep=0.5", "model.num_steps=5"):
        studies |= {point.study for point in identify(load_experiment(arms, [override]))} - {None}
    assert len(studies) == 10
    assert all(
        point.study is None
        for point in identify(
            load_experiment(
                arms,
                [
                    "arm.all.prior.tau=1.0",
                    "arm.all.prior.user_factor=1.0",
                    "arm.all.prior.item_factor=1.0",
                    "arm.all.prior.user_bias=1.0",
                    "arm.all.prior.item_bias=1.0",
                ],
            )
        )
        if point.config.arm == "all"
    )


def test_another_content_of_the_data_is_another_run(config, tmp_path):
    before = identify(load_experiment(config, []))[0].id
    file = tmp_path / "ratings.csv"
    table = pd.read_csv(file)
    for changed in (table.assign(rating=[*table["rating"][:-1], 9]), table[::-1]):
        changed.to_csv(file, index=False)
        inputs.dataset.cache_clear()
        inputs.digest.cache_clear()
        assert identify(load_experiment(config, []))[0].id != before


def test_what_a_run_folder_says_is_the_configuration(arms):
    for run in load_experiment(arms, ["arm.all.prior=auto", "model.seed=1"]).runs:
        assert resolve(run.model_dump(mode="json"), "config.json") == run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.rnak=3", "arms.toml: model.rnak: unknown setting; did you mean rank?"),
        ("arm.all.rnak=3", "arms.toml: arm.all.rnak: unknown setting; did you mean rank?"),
        ("arm.biases.rank=deep", "arms.toml: arm.biases.rank: Input should be a valid integer"),
        ("arm.all=3", "arms.toml: arm.all: an arm is a section, as [arm.all]"),
        ("splt.seed=3", "arms.toml: splt: unknown key; did you mean split?"),
        ("system=pmff", "arms.toml: system='pmff': did you mean pmf?"),
        ("tuning.trails=3", "arms.toml: tuning.trails: unknown setting; did you mean trials?"),
        ("tuning.trials=-1", "tuning.trials: Input should be greater than or equal to 0"),
        ("split.keep=1.5", "split.keep: Input should be less than or equal to 1"),
        ("model.num_steps=deep", "arms.toml: model.num_steps: Input should be a valid integer"),
        ("split.kind=random", "split.kind: Input should be"),
        ("model.rank=[]", "model.rank: an empty list leaves no run"),
        ("model.seed=[1, 1]", "arms.toml: a list names the same value twice"),
        ("split=3", "arms.toml: split: a section is needed, as [split]"),
        ("model.rank", "say section.key=value"),
        ("data.x=3", "data is not a section"),
        ("unit=3", "arms.toml: unit=3: a word for axes"),
    ],
)
def test_mistakes_name_the_file_and_the_key(arms, override, message):
    with pytest.raises(InputError) as raised:
        load_experiment(arms, [override])
    assert message in str(raised.value)


HEAD = 'data = "x.csv"\n'
GRID = "[model]\nmethod = ['als', 'gibbs']\ntau = 'learn'\n"
ONLY_ALS = "[arm.one]\nmethod = 'als'\n[arm.two]\nmethod = 'map'\n"


def test_in_a_grid_over_methods_those_that_have_a_setting_take_it(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(f"{HEAD}[split]\nkind = 'last_n'\n{GRID}")
    als, gibbs = (model_settings(run.model).inference for run in load_experiment(path, []).runs)
    assert (als, gibbs) == (pmf.ALS(), pmf.Gibbs(tau="learn"))
    assert [run.model.tau for run in load_experiment(path, []).runs] == [
        "learn",
        "learn",
    ]  # as was said
    alone = load_experiment(
        path, ["model.method=als"]
    ).runs  # what the file says beyond that is no mistake
    assert [model_settings(run.model).inference for run in alone] == [pmf.ALS()]


@pytest.mark.parametrize(
    ("toml", "overrides", "message"),
    [
        (GRID + "patience = 3\nlearning_rate = 1.0", [], "model.learning_rate: a setting of MAP"),
        ("[model]\nburn_in = 7", [], "grid.toml: model.burn_in: a setting of Gibbs, not of ALS"),
        (ONLY_ALS + "tau = 2.0", [], "grid.toml: arm.two.tau: a setting of Gibbs, not of MAP"),
        ("[model]\ntau = 2.0\n" + ONLY_ALS, [], "model.tau: a setting of Gibbs, not of ALS"),
        (GRID, ["model.method=als", "model.thin=3"], "model.thin: a setting of Gibbs, not of ALS"),
    ],
)
def test_a_setting_that_no_method_has_is_refused(toml, overrides, message, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(HEAD + toml)
    with pytest.raises(InputError) as raised:
        load_experiment(path, overrides)
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (f"{HEAD}[model]\nrank = {'9' * 5000}", "cannot be read (Exceeds the limit"),
        (f"{HEAD}[model]\nrank = {'9' * 4000}", "model.rank: a whole number of more than 64 bits"),
        (f"{HEAD}[model]\nseed = [1, {2**63}]", "model.seed.1: a whole number of more than 64"),
        (f"{HEAD}[model]\nrank = {'[' * 10000}", "brackets are nested too deeply"),
        (f"{HEAD}[model]\nrank = {'[' * 40}{']' * 40}", "nested too deeply"),
        (f"{HEAD}[model]\n{'.'.join('a' * 300)} = 1", "nested too deeply"),
        (f"{HEAD}system = {{a = 1}}", "system={'a': 1}: a name in quotes is needed"),
        (f"{HEAD}system = 3", "system=3: a name in quotes is needed"),
        (f"{HEAD}system = ['pmf', [1]]", "system=[1]: a name in quotes is needed"),
        ('data = {a = 1}\nsplit = {kind = "last_n"}', "data: Input should be a valid string"),
        ("data = 'a\x00b'", "cannot be read"),
        ('data = "a\\u0000b"', "has letters that cannot be printed"),
        (f"{HEAD}about = 3", "about: a line of text is needed"),
        (f'{HEAD}[arm.""]\nrank = 1', "arm '': a name is needed"),
        (f'{HEAD}[arm." "]\nrank = 1', "arm ' ': a name is needed"),
        (f'{HEAD}[arm."$$"]\nrank = 1', "arm '$$': a name that does not begin with"),
        (f'{HEAD}[arm.".."]\nrank = 1', "arm '..': a name that does not begin with"),
        (f'{HEAD}[arm."_x"]\nrank = 1', "arm '_x': a name that does not begin with"),
        (f'{HEAD}[arm."a/b"]\nrank = 1', "arm 'a/b': a name without separators"),
        (f"{HEAD}[arm.'a\\b']\nrank = 1", "a name without separators"),
        (f'{HEAD}[arm."a\\u0007"]\nrank = 1', "a name without separators"),
        (f"{HEAD}[arm.{'a' * 101}]\nrank = 1", "a name of more than 100 letters"),
        (f"{HEAD}[arm]\na = 3", "arm.a: an arm is a section"),
    ],
)
def test_hostile_files_are_refused_in_one_line_that_names_them(toml, message, tmp_path):
    path = tmp_path / "hostile.toml"
    path.write_text(toml)
    with pytest.raises(InputError) as raised:
        load_experiment(path, [])
    assert message in str(raised.value) and str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400 + len(str(path))


@pytest.mark.parametrize("name", ["...toml", ".toml", "..toml", "_x.toml", "a\\b.toml", "$$.toml"])
def test_a_configuration_has_a_name_that_a_folder_can_have(name, tmp_path):
    path = tmp_path / name
    path.write_text('data = "x.csv"')
    with pytest.raises(InputError, match="the name '"):
        load_experiment(path, [])


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 10_000, "[" * 40 + "]" * 40])
def test_hostile_overrides_are_refused_in_one_line(arms, value):
    with pytest.raises(InputError) as raised:
        load_experiment(arms, [f"model.rank={value}"])
    assert "model.rank" in str(raised.value) and len(str(raised.value)) < 300


def test_a_grid_is_counted_without_being_made(arms):
    """10^12 points: making them would never end."""
    thousand = f"[{', '.join(map(str, range(1000)))}]"
    many = [f"model.{name}={thousand}" for name in ("rank", "seed", "num_steps", "patience")]
    many[2:] = [one.replace("[0, ", "[1000, ") for one in many[2:]]
    grid = read(arms, many)
    assert grid.count == 1000**3 + 1000**3 + 1000**4  # two arms have a rank of their own
    with pytest.raises(InputError, match=r"runs; an experiment has at most 10,000"):
        expand(grid)
    with pytest.raises(InputError, match="model.rank: Input should be a valid integer"):
        load_experiment(arms, [*many[1:], f"model.rank={thousand[:-1]}, 'deep']"])


@pytest.mark.parametrize(
    ("ranking", "metric", "message"),
    [
        ("", "ndcg@10", "comparison.metrics: ndcg@10: it needs the section [ranking]"),
        ("[ranking]\nk = 5", "ndcg@10", "comparison.metrics: ndcg@10: [ranking] gives ndcg@5"),
        ("[ranking]", "ndcg", "comparison.metrics: ndcg: [ranking] gives ndcg@10"),
        ("[ranking]", "map@10", "comparison.metrics: map@10: [ranking] gives map"),
        ("[ranking]", "ndcg@ten", "comparison.metrics: ndcg@ten: [ranking] gives ndcg@10"),
        (
            "",
            "crps@10",
            "metric 'crps@10': a score of ratings has no @10",
        ),
    ],
)
def test_a_metric_that_no_run_would_have_is_refused(ranking, metric, message, tmp_path):
    path, about = tmp_path / "arms.toml", '[comparison]\nreferences = ["a"]\nmetrics = '
    arm, split = "\n[arm.a]\n[arm.b]\nrank = 3\n", 'split = {kind = "last_n"}\n'
    path.write_text(f'{HEAD}{ranking}\n{about}["{metric}"]{arm}')
    with pytest.raises(InputError) as raised:
        load_experiment(path, [])
    assert message in str(raised.value)
    path.write_text(f'{HEAD}{split}[ranking]\nk = [5, 10]\n{about}["ndcg@10", "map", "crps"]{arm}')
    assert len(load_experiment(path, []).runs) == 4


def test_a_configuration_is_found_by_its_name():
    assert find(Path("quickstart")).samefile(CONFIGS / "quickstart.toml")
    with pytest.raises(InputError, match="did you mean quickstart"):
        find(Path("configs/quikstart.toml"))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_is_whole(path):
    experiment = load_experiment(path, [])
    assert len(experiment.runs) == len({run.model_dump_json() for run in experiment.runs})


def test_kept_shares_are_nested_and_leave_the_test_part():
    n = 200
    frame = pd.DataFrame({"user_id": range(n), "item_id": 0, "rating": 1.0})
    whole = crossfold_records(frame, 4, seed=3)[0]
    parts = [keep_share(whole, share, seed=3) for share in (0.1, 0.5, 1.0)]
    assert [len(part.train) for part in parts] == [15, 75, 150]
    ids = [set(part.train["user_id"]) for part in parts]
    assert ids[0] < ids[1] < ids[2] == set(whole.train["user_id"])
    assert all(part.test.equals(whole.test) for part in parts)
    assert parts[2].hash == whole.hash != parts[1].hash
    with pytest.raises(InputError, match="leaves none"):
        keep_share(whole, 0.001, seed=3)


# --- splits ---------------------------------------------------------------------------------------

RATED = pd.DataFrame(
    {
        "user_id": np.arange(60) % 6,
        "item_id": np.arange(60) // 6,
        "rating": 3.0,
        "timestamp": 1_420_000_000 + 5000 * np.random.default_rng(0).permutation(60),
    }
)
SPLITS = {
    "sample_records": (0.3, 5),
    "sample_n": (2, 5),
    "sample_fraction": (0.3, 5),
    "last_n": (2,),
    "last_fraction": (0.3,),
    "split_global_time": (0.3,),
    "split_at_time": ("2015-01-01",),
    "sample_users": (3, 4, 5),
    "sample_items": (0.3, 5),
}


@pytest.mark.parametrize("kind", get_args(SplitConfig.model_fields["kind"].annotation))
def test_a_kind_of_split_is_the_function_of_that_name(kind, tmp_path):
    settings = {"fraction": 0.3, "seed": 5, "n": 2, "users": 3, "given": 4, "at": "2015-01-01"}
    if kind == "assigned_folds":
        folds = RATED[["user_id", "item_id"]].assign(fold=np.arange(60) % 4)
        folds.to_csv(tmp_path / "folds.csv", index=False)
        settings |= {"file": str(tmp_path / "folds.csv"), "fold": 2}
        truth = splits.assigned_folds(RATED, folds)[1]
    elif kind == "crossfold_records":
        settings |= {"partitions": 4, "fold": 3}
        truth = splits.crossfold_records(RATED, 4, 5)[2]
    else:
        truth = getattr(splits, kind)(RATED, *SPLITS[kind])
    split = inputs.split_data(RATED, SplitConfig(kind=kind, **settings))
    assert split.hash == truth.hash


def test_a_date_may_be_given_as_toml_has_it(tmp_path):
    path = tmp_path / "dates.toml"
    dates = '["2015-01-01", 2016-01-01, 1420070400]'
    path.write_text(f'data = "x.csv"\nsplit = {{kind = "split_at_time", at = {dates}}}\n')
    assert [run.split.at for run in load_experiment(path, []).runs] == [
        "2015-01-01",
        "2016-01-01",
        "1420070400",
    ]
    for at, shown in (('"1/1/2015"', "1/1/2015"), ('""', ""), ("true", "True")):
        path.write_text(f'data = "x.csv"\nsplit = {{kind = "split_at_time", at = {at}}}\n')
        with pytest.raises(InputError, match=f"at='{shown}': no time; say 2004-12-31"):
            load_experiment(path, [])
