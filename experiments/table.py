"""The table that a person reads: one line a run."""

import pandas as pd

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
    keys = ["id", "split.fold", "model.method", "model.rank"]
    wide = scores.pivot(index=keys, columns="metric", values="value").reset_index()
    wide = wide.set_index("id").loc[scores["id"].unique()]  # in the grid's order
    if wide["split.fold"].nunique() > 1:
        means = wide.groupby(["model.method", "model.rank"], sort=False)[list(COLUMNS)].mean()
        wide = pd.concat([wide, means.reset_index().assign(**{"split.fold": "mean"})])
    shown = {"fold": wide["split.fold"], "method": wide["model.method"], "rank": wide["model.rank"]}
    if wide["split.fold"].nunique() == 1:
        del shown["fold"]
    table = pd.DataFrame(shown)
    table["method"] = table["method"].map({"als": "ALS", "map": "MAP", "gibbs": "Gibbs"})
    for name, (title, form) in COLUMNS.items():
        table[title] = wide[name].astype(float).map(form.format)
    return table.to_string(index=False)
