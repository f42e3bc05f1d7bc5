"""Held-out RMSE against wall-clock seconds, one line a method."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from paper_figures.style import COLUMN, METHODS

TABLE = "trace"


def plot(table: pd.DataFrame) -> Figure:
    """Draw the trace table: columns id, model.method, model.burn_in, step, seconds, metric, value.

    Seconds are those of inference, without compilation and prior search. Gibbs shows the single
    sweep until burn-in ends (thin), from then on the mean over kept draws.
    """
    figure = Figure(figsize=(COLUMN, 2.5))
    axes = figure.add_subplot()
    rmse = table[table["metric"] == "rmse"]
    labelled, ends = set(), []
    for (method, _), run in rmse.groupby(["model.method", "id"], sort=False):
        look = METHODS[method]
        burn_in = run["model.burn_in"].iloc[0] if method == "gibbs" else 0
        early, late = run[run["step"] <= burn_in], run[run["step"] > burn_in]
        axes.plot(early["seconds"], early["value"], color=look.colour, linewidth=0.6, alpha=0.6)
        if len(early):
            spot = early.iloc[-1]
            axes.annotate("burn-in", (spot["seconds"], spot["value"]), (4, -2), size=7,
                          textcoords="offset points", color=look.colour)  # fmt: skip
        label = None if method in labelled else look.label
        axes.plot(late["seconds"], late["value"], color=look.colour, linestyle=look.dash,
                  marker=look.marker, markevery=[-1], markersize=4.5, label=label)  # fmt: skip
        labelled.add(method)
        ends.append(late["value"].iloc[-1])
    best, worst = min(ends), max(ends)
    # The first steps are far off; the eye belongs where the methods differ.
    room = max(worst - best, 0.02)
    axes.set_ylim(best - 0.3 * room, min(worst + 4 * room, 1.01 * rmse["value"].max()))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Wall-clock time of inference (s)")
    axes.set_ylabel("Held-out RMSE (stars)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.2)
    return figure
