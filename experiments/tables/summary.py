"""The tables that a person reads: means over folds and seeds, and differences between arms."""

from collections.abc import Sequence

import pandas as pd

REPLICATES = ("split.fold", "split.seed", "model.seed")  # what a mean is taken over
METHODS = {"als": "ALS", "map": "MAP", "gibbs": "Gibbs"}
COLUMNS = {
    "rmse": ("RMSE", "{:.4f}"),
    "mae": ("MAE", "{:.4f}"),
    "log_density": ("log density", "{:.4f}"),
    "crps": ("CRPS", "{:.4f}"),
    "coverage_90": ("90 % coverage", "{:.1%}"),
    "fit_seconds": ("fit s", "{:.1f}"),
    "search_seconds": ("prior search s", "{:.1f}"),
    "sweep_seconds": ("sweep s", "{:.4f}"),
    "peak_bytes": ("peak bytes", "{:.3g}"),
    "compile_seconds": ("compile s", "{:.1f}"),
}


def summary(runs: pd.DataFrame, scores: pd.DataFrame) -> str:
    """The final scores of each setting of a grid, as text.

    A setting is what is left of a run without its fold and seeds; `runs` counts these.
    """
    columns = _columns(scores)
    wide = scores.pivot(index="id", columns="metric", values="value")
    wide = runs.merge(wide.reindex(columns=list(columns)).reset_index(), "left", "id")
    keys = _keys(runs)
    groups = wide.groupby(keys, sort=False, dropna=False)
    means = groups[list(columns)].mean().reset_index()
    table = means[keys].map(_word).rename(columns=lambda name: name.split(".")[-1])
    if "method" in table:
        table["method"] = table["method"].map(lambda name: METHODS.get(name, name))
    count = groups.size().to_numpy()
    if (count > 1).any():
        table["runs"] = count
    for name, (title, form) in columns.items():
        if means[name].notna().any():
            table[title] = means[name].map(form.format, na_action="ignore").fillna("")
    return table.to_string(index=False)


def _columns(scores: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """What is shown, with the NDCG of lists of any length before the times."""
    ranked = [name for name in dict.fromkeys(scores["metric"]) if str(name).startswith("ndcg@")]
    times = list(COLUMNS).index("fit_seconds")
    shown = list(COLUMNS.items())
    return dict([*shown[:times], *((x, (x.upper(), "{:.4f}")) for x in ranked), *shown[times:]])


def verdicts(table: pd.DataFrame, references: Sequence[str], metrics: Sequence[str]) -> str:
    """Each arm's differences to the first reference, as text; the others are in the table.

    A metric that no arm could be compared by is named.
    """
    table = table[table["reference"] == references[0]]
    missing = [name for name in metrics if name not in set(table["metric"])]
    lines = [f"no comparison by {name}: {references[0]} has none" for name in missing]
    if len(table):
        cells = table.assign(cell=table["difference"].map("{:+.4f} ".format)
                             + table["verdict"].replace({"no difference shown": "="}))  # fmt: skip
        within = [name for name in map(str, table) if "." in name]
        wide = cells.pivot(index=["arm", *within], columns="metric", values="cell")
        wide = wide.reindex(columns=[name for name in metrics if name not in missing])
        wide = wide.reindex(pd.MultiIndex.from_frame(cells[["arm", *within]].drop_duplicates())
                            if within else cells["arm"].drop_duplicates())  # fmt: skip
        shown = wide.reset_index().rename(columns=lambda name: _title(str(name)))
        lines = [shown.fillna("").to_string(index=False), *lines]
    note = f"against {references[0]}, on the same users; =: no difference shown"
    others = f"; against {', '.join(references[1:])}: comparisons.csv" if references[1:] else ""
    return "\n".join([note + others, *lines])


def _title(name: str) -> str:
    if name in COLUMNS:
        return COLUMNS[name][0]
    return name.upper() if name.startswith("ndcg@") else name.split(".")[-1]


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
