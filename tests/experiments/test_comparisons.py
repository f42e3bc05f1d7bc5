"""Arms of an experiment against one another. Catches: arms compared across ranks, seeds counted as
more people, an arm with a broken fold that enters or that hides the others."""

import numpy as np
import pandas as pd
import pytest

from experiments.config.schema import ComparisonConfig, load
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
    found = comparisons(users(), RMSE).set_index(["model.rank", "arm"])["verdict"]
    assert found[2, "b"] == "worse" and found[4, "b"] == "better"
    assert found[2, "c"] == found[4, "c"] == "no difference shown"
    assert len(found) == 4


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
    assert set(comparisons(table[~broken], RMSE)["arm"]) == {"c"}


def test_every_reference_has_its_lines():
    both = ComparisonConfig(references=("a", "b"), metrics=("rmse",))
    found = comparisons(users(ranks=(2,)), both)
    assert sorted(zip(found["reference"], found["arm"], strict=True)) == [
        ("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('references = ["ASL"]', "comparison.references: 'ASL': did you mean ALS"),
        ("references = []", "comparison.references"),
        ('references = ["ALS"]\nmetrics = ["rsme"]', "metric 'rsme': not one of"),
        ('reference = "ALS"', "did you mean references"),
    ],
)
def test_a_wrong_comparison_names_the_file_and_the_key(tmp_path, section, message):
    path = tmp_path / "arms.toml"
    head = 'data = "ml-small-2016"\n[split]\nkind = "last_n"\n'
    path.write_text(f'{head}[comparison]\n{section}\n[arm.ALS]\nmethod = "als"\n')
    with pytest.raises(InputError, match=message) as error:
        load(path, [])
    assert str(path) in str(error.value)
