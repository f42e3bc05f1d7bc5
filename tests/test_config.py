"""Configurations to grids, and what names a run. Catches: a typo that is ignored, two runs under
one name, one run under two."""

from pathlib import Path

import pandas as pd
import pytest
from grids import ARMS, write

from experiments import inputs
from experiments.config import CONFIGS, find, load, resolve
from experiments.grid import flattened, points_of
from experiments.identity import fields_of, identify
from pmf.data.splits import crossfold_records, keep_share
from pmf.errors import InputError


@pytest.fixture
def config(tmp_path):
    return write(tmp_path)


@pytest.fixture
def arms(tmp_path):
    return write(tmp_path, ARMS, "arms")


def test_lists_expand_to_a_grid_with_distinct_ids(config):
    points = identify(load(config, []))
    assert [(p.config.split.fold, p.config.model.method) for p in points] == [
        (1, "als"), (1, "gibbs"), (2, "als"), (2, "gibbs"),
    ]  # fmt: skip
    ids = [point.id for point in points]
    assert len(set(ids)) == 4 and [point.id for point in identify(load(config, []))] == ids
    assert identify(load(config, ["model.rank=3"]))[0].id not in ids
    assert len(load(config, ['model.method="map"', "model.rank=[2, 3]"]).runs) == 4
    assert load(config, ["model.scale=[1, 5]"]).runs[0].model.scale == (1, 5)
    assert [point.title for point in points][:2] == ["fold=1, method=als", "fold=1, method=gibbs"]


def test_lists_expand_inside_tables():
    points = points_of({"a": {"b": {"c": [1, 2]}, "d": 3}, "e": ["x", "y"]}, Path("t"))
    assert [flattened(point) for point in points] == [
        {"a.b.c": c, "a.d": 3, "e": e} for c in (1, 2) for e in ("x", "y")
    ]


def test_arms_are_merged_over_the_model_and_run_over_the_grid(arms):
    runs = load(arms, []).runs
    assert [(run.arm, run.model.rank, run.model.seed) for run in runs] == [
        (arm, rank, seed) for arm, rank in (("mean", 0), ("biases", 0), ("all", 2))
        for seed in (0, 1)
    ]  # fmt: skip
    assert [run.model.user_bias for run in runs] == [False, False, True, True, True, True]
    assert load(arms, ["arm.all.rank=[4, 8]"]).runs[-1].model.rank == 8
    assert len(load(arms, ["arm.all.rank=[4, 8]"]).runs) == 8
    assert fields_of(runs[0])["arm"] == "mean" and fields_of(runs[0])["tuning.trials"] == 3


def test_a_search_is_shared_by_seeds_and_by_nothing_else(arms):
    points = {(p.config.arm, p.config.model.seed): p for p in identify(load(arms, []))}
    assert points["mean", 0].study is None  # nothing to tune
    assert points["all", 0].study == points["all", 1].study
    studies = {points[key].study for key in (("all", 0), ("biases", 0))}
    for override in ("split.fold=2", "tuning.trials=4", "split.keep=0.5", "model.num_steps=5"):
        studies |= {point.study for point in identify(load(arms, [override]))} - {None}
    assert len(studies) == 10
    assert all(point.study is None for point in identify(load(arms, ["arm.all.prior.tau=1.0",
        "arm.all.prior.user_factor=1.0", "arm.all.prior.item_factor=1.0",
        "arm.all.prior.user_bias=1.0", "arm.all.prior.item_bias=1.0"]))
        if point.config.arm == "all")  # fmt: skip


def test_another_content_of_the_data_is_another_run(config, tmp_path):
    before = identify(load(config, []))[0].id
    file = tmp_path / "ratings.csv"
    table = pd.read_csv(file)
    for changed in (table.assign(rating=[*table["rating"][:-1], 9]), table[::-1]):
        changed.to_csv(file, index=False)
        inputs.dataset.cache_clear()
        inputs.digest.cache_clear()
        assert identify(load(config, []))[0].id != before


def test_what_a_run_folder_says_is_the_configuration(arms):
    for run in load(arms, ["arm.all.prior=auto", "model.seed=1"]).runs:
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
    ],
)
def test_mistakes_name_the_file_and_the_key(arms, override, message):
    with pytest.raises(InputError) as raised:
        load(arms, [override])
    assert message in str(raised.value)


def test_a_configuration_is_found_by_its_name():
    assert find(Path("quickstart")).samefile(CONFIGS / "quickstart.toml")
    with pytest.raises(InputError, match="did you mean configs/quickstart.toml"):
        find(Path("configs/quikstart.toml"))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_is_whole(path):
    experiment = load(path, [])
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
