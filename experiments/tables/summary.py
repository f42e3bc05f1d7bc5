"""The tables that a person reads: means over folds and seeds, and differences between arms."""

from collections.abc import Sequence

import pandas as pd

from paper_figures.figures.runs import settings_in
from pmf.evaluate.metrics import heading, metric_named, shown_of
from pmf.fitting.registry import LABELS

REPLICATES = ("split.fold", "split.seed", "model.seed")  # what a mean is taken over


def summary(runs: pd.DataFrame, scores: pd.DataFrame) -> str:
    """The final scores of each setting of a grid, as text.

    A setting is what is left of a run without its fold and seeds; `runs` counts these.
    """
    columns = shown_of(scores["metric"])
    wide = scores.pivot(index="id", columns="metric", values="value")
    wide = runs.merge(wide.reindex(columns=columns).reset_index(), "left", "id")
    keys = _keys(runs)
    groups = wide.groupby(keys, sort=False, dropna=False)
    means = groups[columns].mean().reset_index()
    table = means[keys].map(_word).rename(columns=lambda name: name.split(".")[-1])
    if "method" in table:
        table["method"] = table["method"].map(lambda name: LABELS.get(name, name))
    count = groups.size().to_numpy()
    if (count > 1).any():
        table["runs"] = count
    for name in columns:
        if means[name].notna().any():
            form = metric_named(name).form
            table[heading(name)] = means[name].map(form.format, na_action="ignore").fillna("")
    return table.to_string(index=False)


def verdicts(table: pd.DataFrame, references: Sequence[str], metrics: Sequence[str]) -> str:
    """Each arm's differences to the first reference, as text; the others are in the table.

    Arms that could not be compared are named, and why.
    """
    table = table[table["reference"] == references[0]]
    compared, lines = table.dropna(subset="difference"), []
    within = settings_in(table)
    if len(compared):
        cells = compared.assign(
            cell=compared["difference"].map("{:+.4f} ".format)
            + compared["verdict"].replace({"no difference shown": "="})
        )
        wide = cells.pivot(index=["arm", *within], columns="metric", values="cell")
        wide = wide.reindex(columns=[name for name in metrics if name in wide])
        wide = wide.reindex(
            pd.MultiIndex.from_frame(cells[["arm", *within]].drop_duplicates())
            if within
            else cells["arm"].drop_duplicates()
        )
        shown = wide.reset_index().rename(columns=lambda name: _title(str(name), metrics))
        lines = [shown.fillna("").to_string(index=False)]
    others = f"; against {', '.join(references[1:])}: comparisons.csv" if references[1:] else ""
    note = f"against {references[0]}, on the same users; =: no difference shown{others}"
    return "\n".join([note, *lines, *_untold(table[table["difference"].isna()], within)])


def _untold(table: pd.DataFrame, within: list[str]) -> list[str]:
    """A line for each arm and reason that there is no comparison of it."""
    rows = table.groupby(["arm", "verdict"], sort=False)
    return [
        f"{arm} by {', '.join(part['metric'].unique())}: {verdict}"
        + (f" ({len(part[within].drop_duplicates())} settings)" if within else "")
        for (arm, verdict), part in rows
    ]


def _title(name: str, metrics: Sequence[str]) -> str:
    return heading(name) if name in metrics else name.split(".")[-1]


def _keys(runs: pd.DataFrame) -> list[str]:
    """The arm where there are any, the method, the rank, and what else varies."""
    always = [name for name in ("model.method", "model.rank") if name in runs]
    varying = [
        name
        for name in map(str, runs)
        if name.startswith(("data", "system", "split.", "model.", "tuning."))
        and name not in (*REPLICATES, *always)
        and runs[name].astype(str).nunique() > 1
    ]
    if "arm" in runs and runs["arm"].nunique() > 1:
        varying = [name for name in varying if varies_within_arms(runs, name)]
        return ["arm", *always, *varying]
    return [*always, *varying]


def _word(value: object) -> str:
    """A setting as a word; none where a system has no such setting."""
    if isinstance(value, float):
        return f"{value:g}" if value == value else ""
    return str(value)


def varies_within_arms(runs: pd.DataFrame, name: str) -> bool:
    """Whether a field differs between runs of one arm."""
    return runs.groupby("arm")[name].agg(lambda x: x.astype(str).nunique()).max() > 1
