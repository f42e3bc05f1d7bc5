"""Nominal against actual coverage of central prediction intervals, one line per system."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from paper_figures.figures.estimates import over_folds
from paper_figures.figures.runs import having, is_plain, representative, who
from paper_figures.figures.style import COLUMN, MUTED, legend_above, looks, marked

WIDEST, NARROWEST = 3.0, 1.2  # lines: what lies below shows on both sides of what lies on it
EVERY = 3  # levels from mark to mark, each system's at others than the next one's

TABLE = "calibration"
TITLE = "Calibration"
CAPTION = (
    "How often central prediction intervals hold the rating. On the dashed line an interval holds "
    "what it says; below it the system is overconfident, above it too careful. Shaded: t interval "
    "over the folds."
)


def suits(table: pd.DataFrame) -> bool:
    return is_plain(table)


def plot(table: pd.DataFrame) -> Figure:
    """Draw the calibration table: columns id, nominal, actual and the runs' settings."""
    table = representative(having(table, "calibration", "id", "nominal", "actual"))
    figure = Figure(figsize=(COLUMN, 3.5))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), label="calibrated")
    all_looks = looks(who(table))
    curves = over_folds(table.assign(who=who(table)), ["who", "nominal"], "actual")
    widths = np.linspace(WIDEST, NARROWEST, len(all_looks))
    for j, (name, part) in enumerate(curves.groupby("who", sort=False)):
        look = all_looks[str(name)]
        axes.plot(
            part["nominal"],
            part["mean"],
            linestyle=look.dash,
            label=name,
            linewidth=widths[j],
            markevery=(j % EVERY, EVERY),
            **marked(look),
        )
        axes.fill_between(
            part["nominal"], part["low"], part["high"], color=look.colour, alpha=0.2, linewidth=0
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.set_ticks(np.linspace(0, 1, 6))
    axes.set_xlabel("Nominal coverage of the interval")
    axes.set_ylabel("Held-out ratings inside it")
    legend_above(figure)
    return figure
