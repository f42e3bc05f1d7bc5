"""Predicting the future: scores of a split in time beside those of a random split."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures.estimates import Interval, estimate_text, mean_of
from paper_figures.figures.lines import draw_lines
from paper_figures.figures.runs import having, is_sweep, of_metric, varies, who
from paper_figures.figures.style import COLUMN, WIDE, legend_above

TABLE = "scores"
TITLE = "Random and temporal splits"
CAPTION = (
    "RMSE against the share of ratings held out: at random, or the latest ones of all. Shaded: t "
    "interval over repetitions; those of a split in time differ by the seed of the fit alone."
)
KINDS = {
    "sample_records": "Held out at random",
    "crossfold_records": "Held out at random",
    "split_global_time": "The latest held out",
}


def suits(table: pd.DataFrame) -> bool:
    if is_sweep(table) or not (table["split.kind"] == "split_global_time").any():
        return False
    if varies(table, "data"):
        return False  # a mean over data sets is of nothing
    return varies(table, "split.kind") or varies(table, "split.fraction")


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores: columns id, metric, value, split.kind, split.fraction, other settings."""
    table = held_out(having(table, "scores", "id", "metric", "value", "split.kind"))
    kinds = [kind for kind in dict.fromkeys(KINDS.values()) if (table["kind"] == kind).any()]
    figure = Figure(figsize=(COLUMN if len(kinds) == 1 else WIDE, 2.7))
    grid = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    shares = sorted(table["held_out"].unique())
    for axes, kind in zip(grid, kinds, strict=True):
        draw_lines(axes, table[table["kind"] == kind], "rmse", "held_out", list(who(table)))
        axes.set_xticks(shares, [f"{share:.0%}" for share in shares])
        axes.set_xlabel("Ratings held out")
        axes.set_title(kind)
    for axes in grid[1:]:
        axes.set_ylabel("")
    legend_above(figure, 5)
    return figure


def held_out(table: pd.DataFrame) -> pd.DataFrame:
    """With `kind` in words, and `held_out`, the share of the ratings in the test part."""
    folds = table["split.kind"] == "crossfold_records"
    share = table["split.fraction"].astype(float)
    if folds.any():
        share = share.where(~folds, 1 / table["split.partitions"].astype(float))
    return table.assign(kind=table["split.kind"].map(KINDS), held_out=share)


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """RMSE of as many ratings held out at random and as the latest ones, and the difference."""
    rows = held_out(of_metric(table, "rmse"))
    rows = rows.assign(who=who(rows))
    lines = {}
    for (name, share), part in rows.groupby(["who", "held_out"], sort=False):
        kinds = [part[part["kind"] == kind] for kind in dict.fromkeys(KINDS.values())]
        cells = [estimate_text(mean_of(kind)) if len(kind) else "–" for kind in kinds]
        gap = kinds[1]["value"].mean() - kinds[0]["value"].mean()
        lines[name, f"{share:.0%}"] = [
            *cells,
            estimate_text(Interval(gap, np.nan, np.nan, 1), "{:+.4f}"),
        ]
    columns = [
        *(f"RMSE, {kind[0].lower()}{kind[1:]}" for kind in dict.fromkeys(KINDS.values())),
        "second minus first",
    ]
    index = pd.MultiIndex.from_tuples(lines, names=["system", "held out"])
    return pd.DataFrame(list(lines.values()), index, columns)
