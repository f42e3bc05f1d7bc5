"""The search for a prior that a fit made: every candidate's held-out RMSE, along each axis.

Not a figure of results tables: it is drawn from a model's `fit.search` alone.
"""

from math import ceil, isclose

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.figures.lines import log_ticks
from paper_figures.figures.style import BLUE, COLUMN, GREY, MUTED, VERMILLION, WIDE, legend_above
from pmf.fitting.search import Search

AXES = {
    "scale": "Scale of the factors' ridges",
    "factor": "Ridge of the factors",
    "user_bias": "Ridge of the users' biases",
    "item_bias": "Ridge of the items' biases",
    "user_exponent": "Exponent of a user's rating count",
    "regression": "Precision of the regression",
    "tau": "Precision of a rating, tau",
}
HEIGHT = 2.2  # inches of a row of panels
MOST_TICKS = 7


def plot(search: Search) -> Figure:
    """Draw a search of some candidates: a panel for each number that it varied, all in each.

    The line follows the least RMSE so far; a note says where nothing beyond the mark was tried.
    """
    table, numbers = search.table(), list(search.trials[0].value)
    names = [name for name in numbers if table[name].nunique() > 1] or numbers
    across = min(2, len(names))
    down = ceil(len(names) / across)
    figure = Figure(figsize=(COLUMN if across == 1 else WIDE, HEIGHT * down + 0.4))
    for j, name in enumerate(names):
        axes = figure.add_subplot(down, across, j + 1, sharey=figure.axes[0] if j else None)
        _draw(axes, table, name, *marked(search))
        if j % across == 0:
            axes.set_ylabel("Held-out RMSE")
    legend_above(figure, 3)
    return figure


def marked(search: Search) -> tuple[int, str]:
    """Which candidate is marked, and as what: the chosen one, where the search says which it is.

    A search for rows' priors says what it chose in other numbers than its candidates', and does not
    leave one for another that is hardly better: then it is the one of the least RMSE.
    """
    trials = range(len(search.trials))
    told = [j for j in trials if _is_same(search.trials[j].value, search.chosen)]
    least = next(j for j in trials if search.trials[j] is search.best)
    return (told[0], "chosen") if told else (least, "the least")


def _is_same(one: dict[str, float], other: dict[str, float]) -> bool:
    """To the rounding of a change of unit."""
    return one.keys() == other.keys() and all(isclose(one[x], other[x]) for x in one)


def at_edge(table: pd.DataFrame, name: str, mark: int) -> str:
    """`lowest` or `highest` where no candidate's number lies beyond that of the mark; else ""."""
    value, tried = table[name].iloc[mark], table[name]
    if tried.nunique() == 1:
        return ""
    return "lowest" if value == tried.min() else "highest" if value == tried.max() else ""


def _draw(axes: Axes, table: pd.DataFrame, name: str, mark: int, word: str) -> None:
    finite = table[np.isfinite(table["rmse"])]
    path = finite[finite["rmse"] < finite["rmse"].cummin().shift(fill_value=np.inf)]
    axes.plot(path[name], path["rmse"], color=BLUE, linewidth=0.9, label="the least so far")
    axes.plot(finite[name], finite["rmse"], "o", color=GREY, alpha=0.6, label="a candidate")
    star = {"marker": "*", "color": VERMILLION, "markersize": 10, "linestyle": "none"}
    axes.plot(table[name].iloc[mark], table["rmse"].iloc[mark], label=word, **star)
    label = AXES.get(name, name)
    if (table[name] > 0).all() and "exponent" not in name:
        values = sorted(set(table[name]))
        log_ticks(axes, values[:: ceil(len(values) / MOST_TICKS)], label, "{:.3g}")
    else:
        axes.set_xlabel(label)
    if edge := at_edge(table, name, mark):
        axes.set_title(f"{word}: the {edge} that was tried", fontsize=7.5, color=MUTED)
