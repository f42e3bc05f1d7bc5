"""Held-out RMSE against wall-clock seconds, one line per system and fold."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from paper_figures.figures.runs import having, is_plain, of_metric, representative, unit, who
from paper_figures.figures.style import COLUMN, Look, legend_above, looks, marked

TABLE = "trace"
TITLE = "Convergence"
CAPTION = (
    "Held-out RMSE against the seconds of inference alone, without compilation and search; one "
    "line per fold. A thin line is a sampler's single draw during burn-in; after it, the mean over "
    "the draws kept so far."
)


def suits(table: pd.DataFrame) -> bool:
    return is_plain(table) and (table["metric"] == "rmse").any()


def plot(table: pd.DataFrame) -> Figure:
    """Draw the trace: columns id, step, seconds, metric, value and the runs' settings.

    Of several seeds the first is drawn, of several ranks each system's middle one.
    """
    table = having(table, "trace", "id", "step", "seconds", "metric", "value", "model.burn_in")
    rmse = of_metric(representative(table), "rmse")
    if "model.seed" in rmse:
        rmse = rmse[rmse["model.seed"].isna() | (rmse["model.seed"] == rmse["model.seed"].min())]
    having(rmse, "trace, metric rmse")
    figure = Figure(figsize=(COLUMN, 2.7))
    axes = figure.add_subplot()
    all_looks, labelled = looks(who(rmse)), set()
    runs = rmse.assign(who=who(rmse)).groupby(["who", "id"], sort=False)
    for (name, _), run in runs:
        _draw(axes, run, all_looks[name], "" if name in labelled else name)
        labelled.add(name)
    axes.set_ylim(*_limits(runs["value"].last().to_numpy(), rmse["value"].max()))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Wall-clock time of inference (s)")
    axes.set_ylabel(f"Held-out RMSE ({unit(table)})")
    legend_above(figure, 3)
    return figure


def _draw(axes: Axes, run: pd.DataFrame, look: Look, name: str) -> None:
    """One run's line, a sampler's burn-in a thin one; without a name it is not in the legend."""
    is_gibbs = run["model.method"].iloc[0] == "gibbs"
    burn_in = run["model.burn_in"].fillna(0).iloc[0] if is_gibbs else 0
    early, late = run[run["step"] <= burn_in], run[run["step"] > burn_in]
    if len(early):
        thin = {"color": look.colour, "linewidth": 0.6, "alpha": 0.6}
        label = f"{name}, single draws" if name else None
        axes.plot(early["seconds"], early["value"], label=label, **thin)
    fat = {"linestyle": look.dash, "markevery": [-1], "markersize": 4.5, **marked(look)}
    axes.plot(late["seconds"], late["value"], label=name or None, **fat)


def _limits(ends: np.ndarray, highest: float) -> tuple[float, float]:
    """The first steps are far off; the eye belongs where the systems differ."""
    best, worst = ends.min(), ends.max()
    span = max(worst - best, 0.02)
    return best - 0.3 * span, max(min(worst + 4 * span, 1.01 * highest), worst + 0.3 * span)
