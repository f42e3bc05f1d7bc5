"""Small systems with ties and gaps, and what trec_eval says of them, from raw ids alone."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytrec_eval

from pmf.data.ids import Ids

RELEVANT = 4
TREC = {  # ours: trec_eval's
    "ndcg@{k}": "ndcg_cut_{k}",
    "recall@{k}": "recall_{k}",
    "precision@{k}": "P_{k}",
    "hit_rate@{k}": "success_{k}",
    "map": "map",
    "mrr": "recip_rank",
}


class Case(NamedTuple):
    """A system as a table of scores, and the ratings to judge it by."""

    table: np.ndarray  # (users + 1, items)
    users: Ids
    items: Ids
    train: pd.DataFrame
    test: pd.DataFrame
    k: int


def random_case(seed: int, num_users=7, num_items=12, levels=4, density=0.4, k=5) -> Case:
    """Few levels make ties. Some test users and items are unknown to the system; some users have
    no relevant item, and some so many training items that fewer than k candidates remain."""
    rng = np.random.default_rng(seed)
    table = rng.integers(-levels, levels + 1, (num_users + 1, num_items)) / np.float32(8)
    table[rng.random(table.shape) < 0.1] = -0.0
    users = np.array([f"u{x}" for x in range(num_users)], object)
    items = rng.choice(3 * num_items, num_items, replace=False)  # 9 comes after 10 as text
    trained = rng.random((num_users, num_items)) < density * rng.choice([0, 1, 2.4], (num_users, 1))
    trained[rng.integers(num_users), rng.integers(num_items)] = True
    user, item = np.nonzero(trained)
    train = pd.DataFrame({"user_id": users[user], "item_id": items[item]})
    everyone, everything = [*users, "new1", "new2"], [*items, 9991, 9992]
    free = np.pad(~trained, (0, 2), constant_values=True) & (rng.random((num_users + 2, 1)) < 0.9)
    user, item = np.nonzero(free & (rng.random(free.shape) < 0.5))
    test = pd.DataFrame(
        {
            "user_id": [everyone[j] for j in user],
            "item_id": [everything[j] for j in item],
            "rating": rng.integers(1, 6, len(user)),
        }
    ).sample(frac=1, random_state=seed)
    test.loc[test["user_id"] == "u0", "rating"] = 2
    return Case(table, Ids(users), Ids(items), train, test, k)


def evaluated(run: dict, relevant: pd.DataFrame, gain: str, measures: set[str]) -> pd.DataFrame:
    """trec_eval's values, a row for each user of `relevant`; 0 where nothing was retrieved."""
    qrel = {
        user: {str(i): int(g) for i, g in zip(part["item_id"], part[gain], strict=True)}
        for user, part in relevant.groupby("user_id")
    }
    measured = pytrec_eval.RelevanceEvaluator(qrel, measures).evaluate({u: run[u] for u in qrel})
    return pd.DataFrame.from_dict(measured, orient="index").reindex(list(qrel), fill_value=0.0)


def trec(case: Case) -> pd.DataFrame:
    """Each user's metrics by trec_eval, from raw ids: nothing is shared with the code."""
    rows = {user: j for j, user in enumerate(case.users.values)}
    done = set(zip(case.train["user_id"], case.train["item_id"], strict=True))
    run = {
        user: {
            str(item): float(case.table[rows.get(user, len(rows)), j])
            for j, item in enumerate(case.items.values)
            if (user, item) not in done
        }
        for user in case.test["user_id"].unique()
    }
    relevant = case.test[case.test["rating"] >= RELEVANT].assign(one=1)
    relevant["gain"] = relevant["rating"] - RELEVANT + 1
    k = case.k
    measures = {f"{name}.{k}" for name in ("ndcg_cut", "recall", "P", "success")}
    binary = evaluated(run, relevant, "one", measures | {"map", "recip_rank"})
    table = binary.rename(columns={t.format(k=k): name.format(k=k) for name, t in TREC.items()})
    graded = evaluated(run, relevant, "gain", {f"ndcg_cut.{k}"})
    table[f"graded_ndcg@{k}"] = graded[f"ndcg_cut_{k}"]
    lists = {u: sorted(run[u], key=lambda i, u=u: (run[u][i], i))[::-1][:k] for u in table.index}
    return table.assign(list=pd.Series(lists))


def listed(case: Case, lists: pd.Series) -> tuple[pd.DataFrame, float]:
    """Each user's novelty and popularity, and the coverage, counted from the raw ids."""
    count = case.train["item_id"].astype(str).value_counts()
    chance = (count / case.train["user_id"].nunique()).to_dict()
    floor = 1 / case.train["user_id"].nunique()
    rows = [
        (
            np.mean([-np.log2(chance.get(i, floor)) for i in items]) if items else np.nan,
            np.mean([count.get(i, 0) for i in items]) if items else np.nan,
        )
        for items in lists
    ]
    names = [f"novelty@{case.k}", f"popularity@{case.k}"]
    coverage = len({i for items in lists for i in items}) / len(case.items)
    return pd.DataFrame(rows, index=lists.index, columns=names), coverage
