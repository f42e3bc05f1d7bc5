"""What factors add to biases, by the length of users' histories: a panel per data and split."""

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures.estimates import Interval, estimate_text, over_folds
from paper_figures.figures.runs import having, text, unit, varies, who
from paper_figures.figures.strata import draw_strata, first_number
from paper_figures.figures.style import MUTED, WIDE, legend_above
from paper_figures.figures.temporal import KINDS

TABLE = "strata"
TITLE = "Factors and biases by history"
CAPTION = (
    "RMSE less that of both biases, by the same inference on the same ratings, against the "
    "training ratings of the user; below the line factors help. In brackets the held-out ratings "
    "per run. Bars: t interval over random splits; in time there is one split, and so none."
)
REFERENCE = "both biases"
SETTING = ["data", "split.kind"]  # a panel for each


def suits(table: pd.DataFrame) -> bool:
    arms = set(text(table, "arm"))
    return {REFERENCE, "factors", "everything"} <= arms and varies(table, "split.kind")


def plot(table: pd.DataFrame) -> Figure:
    """Draw the strata: columns id, by, stratum, n, rmse, arm and the runs' settings."""
    rows = gains(having(table, "strata", "id", "by", "stratum", "n", "rmse", "arm"))
    panels = list(rows.groupby(SETTING, sort=False))
    figure = Figure(figsize=(WIDE, 2.2 * -(-len(panels) // 2)))
    grid = figure.subplots(-(-len(panels) // 2), 2, sharey=True, squeeze=False)
    for axes, ((data, kind), part) in zip(grid.flat, panels, strict=False):
        axes.axhline(0, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        draw_strata(axes, part, list(dict.fromkeys(rows["who"])), "value")
        axes.set_title(f"{data}: {KINDS[kind][0].lower()}{KINDS[kind][1:]}")
    for axes in grid[-1]:
        axes.set_xlabel("Training ratings of the user")
    figure.supylabel(f"RMSE less that of both biases ({unit(table)})", fontsize=8)
    legend_above(figure, 4)
    return figure


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """The strata of users' histories, `value` each run's RMSE less that of its reference."""
    rows = table[table["by"] == "user history"].assign(who=who(table))
    rows = rows.assign(stratum=rows["stratum"].astype(str), method=text(rows, "model.method"))
    same = [*SETTING, "split.seed", "method", "stratum"]
    reference = rows[rows["arm"] == REFERENCE][[*same, "rmse"]]
    pairs = rows[rows["arm"] != REFERENCE].merge(reference, on=same, suffixes=("", "_reference"))
    return pairs.assign(value=pairs["rmse"] - pairs["rmse_reference"])


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The differences, a column per stratum."""
    rows = gains(table)
    means = over_folds(rows, [*SETTING, "who", "stratum"])
    means["gain"] = [
        estimate_text(Interval(*row), "{:+.4f}") for row in means[list(Interval._fields)].to_numpy()
    ]
    means["split"] = means["split.kind"].map(KINDS).str.lower()
    wide = means.pivot(index=["data", "split", "who"], columns="stratum", values="gain")
    strata = sorted(map(str, wide.columns), key=first_number)
    wide = wide.fillna("–")
    return wide[strata].rename_axis(["data", "split", "system"]).rename_axis(None, axis=1)
