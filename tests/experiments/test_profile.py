"""The profile of a data set. Catches: counts that are not the ratings', shares that are not sums of
them, and runs whose versions are not told."""

import numpy as np
import pandas as pd

from experiments.tables.outputs import made
from experiments.tables.profile import MOST_ROWS, MOST_VALUES, profile
from paper_figures.figures.long_tails import counts, numbers, top_share


def ratings() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "user_id": rng.geometric(0.05, 3000),
            "item_id": rng.geometric(0.01, 3000),
            "rating": rng.integers(1, 6, 3000),
        }
    )


def test_counts_and_shares_are_those_of_the_ratings():
    frame = ratings()
    table = profile(frame)
    for side in ("user", "item"):
        rows = table[table["of"] == side]
        truth = sorted(np.sum(frame[f"{side}_id"] == x) for x in set(frame[f"{side}_id"]))[::-1]
        assert len(rows) <= MOST_ROWS and rows["at"].iloc[-1] == len(truth)
        assert list(rows["count"]) == [truth[int(j) - 1] for j in rows["at"]]
        sums = [sum(truth[: int(j)]) / len(frame) for j in rows["at"]]
        np.testing.assert_allclose(rows["share"], sums)
    values = table[table["of"] == "rating"].set_index("at")["count"]
    assert values.to_dict() == frame["rating"].value_counts().to_dict()


def test_many_values_are_put_into_intervals():
    frame = ratings().assign(rating=np.linspace(0, 10, 3000))
    values = profile(frame).query("of == 'rating'")
    assert len(values) == MOST_VALUES and values["count"].sum() == 3000
    np.testing.assert_allclose(values["at"].iloc[[0, -1]], [0.25, 9.75])


def test_a_report_tells_the_counts_and_the_most_rated_tenth():
    frame = ratings()
    table = profile(frame).assign(data="mine")
    users, items = frame["user_id"].nunique(), frame["item_id"].nunique()
    assert counts(table) == {"user": users, "item": items}
    told = numbers(table)["number"]
    assert told["ratings"] == "3,000" and told["users"] == f"{users}"
    assert told["rated pairs"] == f"{3000 / users / items:.2%}"
    by_count = frame["item_id"].value_counts().to_numpy()
    truth = by_count[: round(items / 10)].sum() / 3000
    assert abs(top_share(table, "item") - truth) < 0.01


def test_runs_of_the_same_surroundings_are_told_together():
    old = {
        "python": "3.11",
        "versions": {"jax": "1"},
        "machine": "a",
        "cores": 2,
        "git_commit": "f",
    }
    runs = [
        old | {"finished": "2026-01-03", "id": "x"},
        old | {"finished": "2026-01-01", "id": "y"},
        old | {"cores": 4, "finished": "2026-01-02", "id": "z"},
    ]
    first, second = made(runs)
    assert first == old | {"runs": 2, "finished": ["2026-01-01", "2026-01-03"]}
    assert second["cores"] == 4 and second["finished"] == ["2026-01-02"] * 2
