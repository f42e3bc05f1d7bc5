"""The table that a person reads: one line a run."""

import pandas as pd

KEYS = ["split.fold", "model.method", "model.rank"]
COLUMNS = {
    "rmse": ("RMSE", "{:.4f}"),
    "mae": ("MAE", "{:.4f}"),
    "log_density": ("log density", "{:.4f}"),
    "crps": ("CRPS", "{:.4f}"),
    "coverage_90": ("90 % coverage", "{:.1%}"),
    "fit_seconds": ("fit s", "{:.1f}"),
    "search_seconds": ("prior search s", "{:.1f}"),
    "compile_seconds": ("compile s", "{:.1f}"),
}


def summary(scores: pd.DataFrame) -> str:
    """The final scores of each run, and their means where there are several folds, as text."""
    fields = [column for column in scores if column not in ("metric", "value")]
    wide = scores.pivot(index="id", columns="metric", values="value")
    wide = wide.join(scores[fields].drop_duplicates("id").set_index("id"))
    wide = wide.loc[scores["id"].unique()]  # in the grid's order
    varying = [x for x in fields[1:] if wide[x].nunique() > 1 and x not in KEYS]
    group = [*KEYS[1:], *varying]
    shown = KEYS if wide["split.fold"].nunique() > 1 else KEYS[1:]
    if shown is KEYS:
        means = wide.groupby(group, sort=False, dropna=False)[list(COLUMNS)].mean().reset_index()
        wide = pd.concat([wide, means.assign(**{"split.fold": "mean"})])
    table = wide[[*shown, *varying]].rename(columns=lambda name: name.split(".")[-1])
    table["method"] = table["method"].map({"als": "ALS", "map": "MAP", "gibbs": "Gibbs"})
    for name, (title, form) in COLUMNS.items():
        table[title] = wide[name].astype(float).map(form.format)
    return table.to_string(index=False)
