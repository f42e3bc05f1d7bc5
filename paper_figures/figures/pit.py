"""Histograms of the probability integral transform: flat where predictions are calibrated."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.figures.estimates import over_folds
from paper_figures.figures.runs import having, is_plain, representative, who
from paper_figures.figures.style import COLUMN, MUTED, WIDE, Look, looks

TABLE = "pit"
TITLE = "Probability integral transform"
CAPTION = (
    "Where held-out ratings fall within their predictive distributions; the dashed line is that of "
    "a calibrated system. A hump in the middle: too wide; high ends: too narrow; a slope: biased. "
    "Whiskers: t interval over the folds."
)


def suits(table: pd.DataFrame) -> bool:
    return is_plain(table)


def plot(table: pd.DataFrame) -> Figure:
    """Draw the PIT table (id, low, high, share and the runs' settings): a panel per system."""
    table = representative(having(table, "pit", "id", "low", "high", "share"))
    density = table["share"] / (table["high"] - table["low"])
    rows = table.assign(who=who(table), density=density, begin=table["low"], end=table["high"])
    densities = over_folds(rows, ["who", "begin", "end"], "density")
    names = list(dict.fromkeys(densities["who"]))
    across = len(names) if len(names) <= 4 else -(-len(names) // 2)
    down = -(-len(names) // across)
    crowded = across * max(map(len, names)) > 36  # titles would run into one another
    figure = Figure(figsize=(WIDE if across > 3 or crowded else COLUMN, 0.4 + 1.5 * down))
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        _histogram(axes, densities[densities["who"] == name], looks(names)[name])
        axes.set_title(name, fontsize=7.5)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes in grid.flat[len(names) - across : len(names)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("Predicted probability of a lower rating", fontsize=8)
    figure.supylabel("Density of held-out ratings", fontsize=8)
    return figure


def _histogram(axes: Axes, bins: pd.DataFrame, look: Look) -> None:
    width = bins["end"] - bins["begin"]
    axes.bar(
        bins["begin"],
        bins["mean"],
        width,
        align="edge",
        color=look.colour,
        alpha=0.45,
        edgecolor=look.colour,
        linewidth=0.5,
    )
    errors = np.nan_to_num([bins["mean"] - bins["low"], bins["high"] - bins["mean"]])
    axes.errorbar(
        bins["begin"] + width / 2,
        bins["mean"],
        yerr=errors,
        linestyle="none",
        elinewidth=0.7,
        color="#333333",
    )
    axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set(xlim=(0, 1), ylim=(0, None))
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    axes.grid(axis="x", visible=False)
