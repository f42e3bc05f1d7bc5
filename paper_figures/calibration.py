"""Nominal against actual coverage of central prediction intervals, one line a method."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from paper_figures.style import COLUMN, METHODS

TABLE = "calibration"


def plot(table: pd.DataFrame) -> Figure:
    """Draw the calibration table: columns id, model.method, nominal, actual."""
    figure = Figure(figsize=(COLUMN, 3.1))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(
        "calibrated", (0.17, 0.17), (4, -9), textcoords="offset points", color="#777777", size=7
    )
    for method, runs in table.groupby("model.method", sort=False):
        look = METHODS[method]
        by_level = runs.groupby("nominal")["actual"]
        mean, low, high = by_level.mean(), by_level.min(), by_level.max()
        axes.plot(mean.index, mean, color=look.colour, linestyle=look.dash, marker=look.marker,
                  markersize=3, label=look.label)  # fmt: skip
        axes.fill_between(mean.index, low, high, color=look.colour, alpha=0.2, linewidth=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.set_ticks(np.linspace(0, 1, 6))
    axes.set_xlabel("Nominal coverage of the interval")
    axes.set_ylabel("Held-out ratings inside it")
    axes.legend(loc="upper left")
    return figure
