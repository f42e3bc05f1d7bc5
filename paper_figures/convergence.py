"""Held-out RMSE against wall-clock seconds, one line a method."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from paper_figures.style import COLUMN, METHODS

TABLE = "trace"


def plot(table: pd.DataFrame) -> Figure:
    """Draw the trace table: columns id, model.method, seconds, metric, value.

    Gibbs shows the single sweep until burn-in ends, from then on the mean over kept draws.
    """
    figure = Figure(figsize=(COLUMN, 2.5))
    axes = figure.add_subplot()
    rmse = table[table["metric"] == "rmse"]
    ends = []
    for (method, _), run in rmse.groupby(["model.method", "id"], sort=False):
        label, colour, marker = METHODS[method]
        first = run["id"].iloc[0] == rmse.loc[rmse["model.method"] == method, "id"].iloc[0]
        axes.plot(run["seconds"], run["value"], color=colour, label=label if first else None)
        last = run.iloc[-1]
        axes.plot(last["seconds"], last["value"], marker=marker, color=colour, markersize=4)
        ends.append(last["value"])
    best, worst = min(ends), max(ends)
    # The first steps are far off; the eye belongs where the methods differ.
    room = max(worst - best, 0.02)
    axes.set_ylim(best - 0.3 * room, min(worst + 4 * room, np.nanmax(rmse["value"])))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Seconds of inference (without compilation and prior search)")
    axes.set_ylabel("Held-out RMSE (stars)")
    axes.legend()
    return figure
