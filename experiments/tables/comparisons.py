"""Paired comparisons between the arms of an experiment, from the errors of each user.

Arms are compared where the rest of the configuration is the same: `ablation` compares within ALS
and within Gibbs, `compare` at each rank. Folds are pooled and seeds averaged.
"""

from collections.abc import Iterator

import pandas as pd

from experiments.config.comparison import ComparisonConfig
from experiments.tables.summary import REPLICATES, varies_within_arms
from pmf.evaluate.compare import COLUMNS, compare_arms, pooled
from pmf.evaluate.metrics import metric_named

SEED = 0  # of the resampling
LEFT_OUT = "left out"  # how the verdict on an arm begins that could not be compared


def comparisons(users: pd.DataFrame, config: ComparisonConfig) -> pd.DataFrame:
    """The lines of `compare_arms` for each reference, and the fields that they are within.

    `users` is the table of `experiments.runs.collect.user_errors`. An arm that cannot be compared
    has a line too, whose verdict says why: it lacks a fold or a seed of its group, because a run of
    it broke, or has no such metric.
    """
    within = [
        name
        for name in map(str, users)
        if name.startswith(("data", "split.", "model.", "tuning."))
        and name not in REPLICATES
        and varies_within_arms(users, name)
    ]
    columns = [metric_named(name).column for name in config.metrics]
    parts = []
    for values, group in _groups(users, within):
        fold = group["split.fold"].astype(str) + "/" + group["split.seed"].astype(str)
        lines = group.rename(columns={"model.seed": "seed"}).assign(fold=fold)
        lines = lines.reindex(columns=["user_id", "arm", "fold", "seed", "n", *columns])
        lacks = _incomplete(lines)
        whole = pooled(lines[~lines["arm"].isin(list(lacks))].dropna(subset="user_id"))
        arms = list(lines["arm"].unique())
        lacks |= {arm: "has none here" for arm in config.references if arm not in arms}
        for reference in config.references:
            table = pd.DataFrame(columns=COLUMNS)
            if reference in set(whole["arm"]):
                table = compare_arms(whole, reference, list(config.metrics), SEED)
            rest = _left_out(table, whole, reference, arms, config.metrics, lacks)
            parts.append((pd.concat([table, rest]) if len(rest) else table).assign(**values))
    tables = pd.concat(parts)
    return tables[[*within, *COLUMNS]].astype({"n": "Int64" if tables["n"].isna().any() else int})


def _groups(users: pd.DataFrame, within: list[str]) -> Iterator[tuple[dict, pd.DataFrame]]:
    """The runs that are alike but for their arm, and what they have in common."""
    if not within:
        yield {}, users
        return
    for values, group in users.groupby(within, sort=False, dropna=False):
        yield dict(zip(within, values, strict=True)), group


def _incomplete(lines: pd.DataFrame) -> dict[str, str]:
    """The arms that lack a fold or a seed which any arm has, and how many."""
    runs = lines.drop_duplicates(["arm", "fold", "seed"])
    wanted = len(runs[["fold", "seed"]].drop_duplicates())
    made = runs.dropna(subset="user_id").groupby("arm").size()
    count = {arm: wanted - int(made.get(arm, 0)) for arm in runs["arm"]}
    return {arm: f"lacks {lost} of {wanted} runs" for arm, lost in count.items() if lost}


def _left_out(
    table: pd.DataFrame,
    whole: pd.DataFrame,
    reference: str,
    arms: list[str],
    metrics: tuple[str, ...],
    lacks: dict[str, str],
) -> pd.DataFrame:
    """A line for each metric and arm that the table of comparisons has none of, and why."""

    def why(arm: str, metric: str) -> str:
        values = whole.loc[whole["arm"] == arm, metric_named(metric).column]
        return lacks.get(arm) or ("" if values.notna().any() else f"has no {metric}")

    made = set(zip(table["metric"], table["arm"], strict=True))
    rows = [
        {
            "metric": metric,
            "arm": arm,
            "reference": reference,
            "verdict": f"{LEFT_OUT}: {why(arm, metric) or f'{reference} {why(reference, metric)}'}",
        }
        for metric in metrics
        for arm in arms
        if arm != reference and (metric, arm) not in made
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
