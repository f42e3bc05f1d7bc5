"""Arms of an experiment against one another. Catches: arms compared across ranks, seeds counted as
more people, an arm with a broken fold that enters or that hides the others."""

import numpy as np
import pandas as pd
import pytest

from experiments.config.comparison import ComparisonConfig
from experiments.config.files import load_experiment
from experiments.tables.comparisons import comparisons
from pmf.errors import InputError
from pmf.evaluate.compare import compare_arms, pooled

RMSE = ComparisonConfig(references=("a",), metrics=("rmse",))


def users(arms=("a", "b", "c"), ranks=(2, 4), folds=(1, 2), seeds=(0, 1)) -> pd.DataFrame:
    """Errors of 30 users: b is worse than a at rank 2 and better at rank 4; c is like a."""
    rng = np.random.default_rng(0)
    rows = []
    for arm in arms:
        for rank in ranks:
            for fold in folds:
                for seed in seeds:
                    shift = {"b": 0.5 if rank == 2 else -0.5}.get(arm, 0.0)
                    error = (1 + shift + 0.1 * rng.normal(size=30)) ** 2
                    part = pd.DataFrame({"user_id": range(30), "n": 4, "squared_error": 4 * error})
                    fields = {"arm": arm, "model.rank": rank, "split.fold": fold, "split.seed": 0}
                    rows.append(part.assign(**fields, **{"model.seed": seed}))
    return pd.concat(rows, ignore_index=True)


def test_arms_are_compared_within_the_rest_of_the_grid():
    verdicts = comparisons(users(), RMSE).set_index(["model.rank", "arm"])["verdict"]
    assert verdicts[2, "b"] == "worse" and verdicts[4, "b"] == "better"
    assert verdicts[2, "c"] == verdicts[4, "c"] == "no difference shown"
    assert len(verdicts) == 4


def test_folds_are_pooled_and_seeds_averaged():
    table = users(ranks=(2,))
    lines = table.rename(columns={"split.fold": "fold", "model.seed": "seed"})
    lines = pooled(lines[["user_id", "arm", "fold", "seed", "n", "squared_error"]])
    expected = compare_arms(lines, "a", ["rmse"], 0)
    assert set(lines["n"]) == {8.0}
    pd.testing.assert_frame_equal(comparisons(table, RMSE), expected)


def test_splits_of_several_seeds_are_several_splits():
    """Their test ratings are others, so numbers add up, and who is in both counts twice."""
    one = users(ranks=(2,), folds=(1,), seeds=(0,))
    other = one[one["user_id"] < 10].assign(**{"split.seed": 1})
    more = pd.concat([one, other])
    sums = more.groupby(["user_id", "arm"])[["n", "squared_error"]].sum().reset_index()
    assert set(sums["n"]) == {4, 8}
    expected = compare_arms(sums, "a", ["rmse"], 0)
    pd.testing.assert_frame_equal(comparisons(more, RMSE), expected)


def test_an_arm_with_a_missing_run_is_left_out():
    table = users(ranks=(2,))
    broken = (table["arm"] == "b") & (table["split.fold"] == 2)
    table_of_arms = comparisons(table[~broken], RMSE).set_index("arm")
    assert table_of_arms["verdict"].to_dict() == {
        "b": "left out: lacks 2 of 4 runs",
        "c": "no difference shown",
    }
    assert (
        table_of_arms["n"].isna().to_dict()
        == table_of_arms["p"].isna().to_dict()
        == {"b": True, "c": False}
    )


def test_where_the_reference_is_missing_nobody_is_left_out_in_silence():
    table = users()
    no_fold = (table["arm"] == "a") & (table["split.fold"] == 2) & (table["model.rank"] == 2)
    verdicts = comparisons(table[~no_fold], RMSE).set_index(["model.rank", "arm"])["verdict"]
    assert verdicts[2, "b"] == verdicts[2, "c"] == "left out: a lacks 2 of 4 runs"
    assert verdicts[4, "b"] == "better"
    no_rank = (table["arm"] == "a") & (table["model.rank"] == 2)
    verdicts = comparisons(table[~no_rank], RMSE).set_index(["model.rank", "arm"])["verdict"]
    assert verdicts[2, "b"] == "left out: a has none here" and verdicts[4, "b"] == "better"


def test_an_arm_without_the_metric_is_said_to_have_none():
    table = users(ranks=(2,)).assign(log_density=-1.0)
    table.loc[table["arm"] == "b", "log_density"] = np.nan
    config = ComparisonConfig(references=("a",), metrics=("log_density",))
    verdicts = comparisons(table, config).set_index("arm")["verdict"]
    assert verdicts.to_dict() == {"b": "left out: has no log_density", "c": "no difference shown"}
    config = ComparisonConfig(references=("b",), metrics=("log_density",))
    assert set(comparisons(table, config)["verdict"]) == {"left out: b has no log_density"}


def test_every_reference_has_its_lines():
    both = ComparisonConfig(references=("a", "b"), metrics=("rmse",))
    lines = comparisons(users(ranks=(2,)), both)
    assert sorted(zip(lines["reference"], lines["arm"], strict=True)) == [
        ("a", "b"),
        ("a", "c"),
        ("b", "a"),
        ("b", "c"),
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('references = ["ASL"]', "comparison.references: 'ASL': did you mean ALS"),
        ("references = []", "comparison.references"),
        ('references = ["ALS"]\nmetrics = ["rsme"]', "metric 'rsme': not one of"),
        ('references = ["ALS"]\nmetrics = ["coverage_90"]', "neither better nor worse"),
        ('references = ["ALS"]\nmetrics = ["mae", "rmse", "mae"]', "mae is there twice"),
        ('references = ["ALS"]', "there is no arm but ALS"),
        ('reference = "ALS"', "did you mean references"),
    ],
)
def test_a_wrong_comparison_names_the_file_and_the_key(tmp_path, section, message):
    path = tmp_path / "arms.toml"
    head = 'data = "ml-small-2016"\n[split]\nkind = "last_n"\n'
    path.write_text(f'{head}[comparison]\n{section}\n[arm.ALS]\nmethod = "als"\n')
    with pytest.raises(InputError, match=message) as error:
        load_experiment(path, [])
    assert str(path) in str(error.value)


HELD = """
data = "ml-small-2016"
split = {kind = "last_n"}
[ranking]
[arm.ours]
method = "als"
[arm.theirs]
system = "peer"
rival = "cmfrec"
[comparison]
"""


@pytest.mark.parametrize(
    ("references", "metrics", "message"),
    [
        (["theirs"], ["rmse", "crps"], "crps: the reference theirs predicts without a variance"),
        (["ours", "theirs"], ["ndcg@10"], "ndcg@10: the reference theirs does not rank items"),
        (["ours"], ["ndcg@10", "crps"], None),
        (["theirs"], ["user_rmse", "mae"], None),
    ],
)
def test_a_reference_that_would_lack_the_metric_is_refused_before_the_runs(
    tmp_path, references, metrics, message
):
    path = tmp_path / "arms.toml"
    path.write_text(f"{HELD}references = {references}\nmetrics = {metrics}\n")
    if message is None:
        assert len(load_experiment(path, []).runs) == 2
        return
    with pytest.raises(InputError, match=message):
        load_experiment(path, [])


def test_a_ranking_that_no_system_makes_is_refused(tmp_path):
    path = tmp_path / "arms.toml"
    head = HELD.split("[arm.ours]")[0] + '[model]\nmethod = "gibbs"\nstore_draws = '
    path.write_text(f"{head}false\n")
    with pytest.raises(InputError, match="ranking: none of the systems ranks items"):
        load_experiment(path, [])
    path.write_text(f"{head}[true, false]\n")
    assert len(load_experiment(path, []).runs) == 2
