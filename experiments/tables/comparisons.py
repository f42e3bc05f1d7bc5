"""Paired comparisons between the arms of an experiment, from the errors of each user.

Arms are compared where the rest of the configuration is the same: `ablation` compares within ALS
and within Gibbs, `compare` at each rank. Folds are pooled and seeds averaged.
"""

import pandas as pd

from experiments.config.schema import ComparisonConfig
from experiments.tables.summary import REPLICATES, varies_within_arms
from pmf.evaluate.compare import COLUMNS, compare_arms, metric_named, pooled

SEED = 0  # of the resampling


def comparisons(users: pd.DataFrame, config: ComparisonConfig) -> pd.DataFrame:
    """The lines of `compare_arms` for each reference, and the fields that they are within.

    `users` is the table of `experiments.runs.collect.user_errors`. An arm that lacks a fold or a
    seed of its group, because a run of it broke, is left out there.
    """
    within = [
        name
        for name in map(str, users)
        if name.startswith(("data", "split.", "model.", "tuning."))
        and name not in REPLICATES
        and varies_within_arms(users, name)
    ]
    columns = [c for c in map(lambda m: metric_named(m).column, config.metrics) if c in users]
    parts = []
    for values, group in _groups(users, within):
        fold = group["split.fold"].astype(str) + "/" + group["split.seed"].astype(str)
        lines = group.rename(columns={"model.seed": "seed"}).assign(fold=fold)
        lines = lines.reindex(columns=["user_id", "arm", "fold", "seed", "n", *columns])
        whole = pooled(_complete(lines))
        for reference in config.references:
            if reference in set(whole["arm"]):
                table = compare_arms(whole, reference, list(config.metrics), SEED)
                parts.append(table.assign(**values))
    found = pd.concat(parts) if parts else pd.DataFrame(columns=COLUMNS)
    return found[[*within, *COLUMNS]] if parts else found


def _groups(users: pd.DataFrame, within: list[str]):
    if not within:
        return [({}, users)]
    groups = users.groupby(within, sort=False, dropna=False)
    return [(dict(zip(within, values, strict=True)), group) for values, group in groups]


def _complete(lines: pd.DataFrame) -> pd.DataFrame:
    """The lines of the arms that have every fold and seed which any arm has."""
    made = lines[["arm", "fold", "seed"]].drop_duplicates().groupby("arm").size()
    return lines[lines["arm"].isin(made.index[made == made.max()])]
