"""RMSE by how much is known: a user's history and an item's popularity."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.figures.estimates import over_folds
from paper_figures.figures.runs import having, is_plain, representative, unit, who
from paper_figures.figures.style import WIDE, legend_above, looks, marked

TABLE = "strata"
TITLE = "Known and unknown"
CAPTION = (
    "RMSE by the training ratings of the user (left) and of the item (right), with the number of "
    "held-out ratings per run in brackets. Bars: t interval over the folds."
)
SIDES = {
    "user history": "Training ratings of the user",
    "item popularity": "Training ratings of the item",
}


def suits(table: pd.DataFrame) -> bool:
    return is_plain(table)


def plot(table: pd.DataFrame) -> Figure:
    """Draw the strata: columns id, by, stratum, n, rmse and the runs' settings."""
    table = representative(having(table, "strata", "id", "by", "stratum", "n", "rmse"))
    figure = Figure(figsize=(WIDE, 2.8))
    grid = figure.subplots(1, 2, sharey=True)
    for axes, (by, label) in zip(grid, SIDES.items(), strict=True):
        draw_strata(axes, table[table["by"] == by].assign(who=who(table)), list(who(table)), "rmse")
        axes.set_xlabel(label)
    grid[0].set_ylabel(f"Held-out RMSE ({unit(table)})")
    legend_above(figure, 5)
    return figure


def draw_strata(axes: Axes, rows: pd.DataFrame, names: list[str], value: str) -> None:
    """Each system's mean of a column against the strata, with its interval and their counts."""
    strata = sorted(rows["stratum"].astype(str).unique(), key=first_number)
    place = {stratum: j for j, stratum in enumerate(strata)}
    means = over_folds(rows.assign(stratum=rows["stratum"].astype(str)), ["who", "stratum"], value)
    systems = list(dict.fromkeys(means["who"]))
    for j, name in enumerate(systems):
        part = means[means["who"] == name]
        part = part.assign(x=part["stratum"].map(place)).sort_values("x")
        look = looks(names)[name]
        offset = (j - (len(systems) - 1) / 2) * 0.07
        errors = np.nan_to_num([part["mean"] - part["low"], part["high"] - part["mean"]])
        axes.errorbar(
            part["x"] + offset,
            part["mean"],
            yerr=errors,
            linestyle=look.dash,
            linewidth=1,
            elinewidth=1,
            label=name,
            **marked(look),
        )
    count = rows.groupby("stratum")["n"].mean()
    ticks = [f"{stratum}\n({short(count[stratum])})" for stratum in strata]
    axes.set_xticks(range(len(strata)), ticks)
    axes.set_xlim(-0.5, len(strata) - 0.5)
    axes.grid(axis="x", visible=False)


def first_number(stratum: str) -> int:
    """5 of "5-19", 500 of "500+"."""
    return int(stratum.rstrip("+").split("-")[0])


def short(count: float) -> str:
    """A count in three or four characters: 987, 1.2k, 12k."""
    if count < 1000:
        return f"{count:.0f}"
    return f"{count / 1000:.1f}k" if count < 9950 else f"{count / 1000:.0f}k"
