"""Accuracy against time: every system's RMSE and seconds, ours and other libraries'."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from paper_figures.figures.estimates import over_folds
from paper_figures.figures.labels import Label, place
from paper_figures.figures.runs import having, of_metric, representative, text, unit, who
from paper_figures.figures.style import MUTED, WIDE, looks, marked

TABLE = "scores"
TITLE = "Accuracy against time"
CAPTION = (
    "Held-out RMSE against the seconds of a fit, at equal numbers of trials for tuning; lower left "
    "is better. The line joins the systems that no other beats on both. Hollow marks: other "
    "libraries. Small marks, joined by thin lines: the same systems as they come, without tuning. "
    "Bars: t interval over the folds."
)


def suits(table: pd.DataFrame) -> bool:
    return len(table) > 0 and (table["system"] == "peer").any()


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores rmse and fit_seconds: columns id, metric, value and the runs' settings.

    A run that broke has a line without a metric, and says why in the column `error`.
    """
    table = having(table, "scores", "id", "metric", "value", "system")
    chosen = representative(table)
    points = accuracy_and_time(chosen)
    untuned = accuracy_and_time(table.drop(chosen.index)).set_index("who")
    figure = Figure(figsize=(WIDE, 3.4))
    axes = figure.add_subplot()
    all_looks, top = looks(points["who"]), highest_shown(points["rmse"])
    edge, front = top + 0.2 * (top - points["rmse"].min()), pareto(points)
    axes.plot(front["seconds"], front["rmse"], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    names = []
    for row in points.itertuples():
        name, look, above = str(row.who), marked(all_looks[str(row.who)]), row.rmse > top
        y = edge if above else row.rmse
        if name in untuned.index and not above and untuned.loc[name, "rmse"] <= top:
            start, thin = untuned.loc[name], {"linewidth": 0.7, "alpha": 0.6, "markersize": 2.5}
            along = [start["seconds"], row.seconds], [start["rmse"], y]
            axes.plot(*along, markevery=[0], **thin, **look)
        xerr = _bars(row.seconds, row.fast, row.slow)
        yerr = None if above else _bars(row.rmse, row.low, row.high)
        fat = {"linestyle": "none", "elinewidth": 0.9, "markersize": 5.5}
        axes.errorbar(row.seconds, y, xerr=xerr, yerr=yerr, **fat, **look)
        says = f"{name}, at {row.rmse:.2f} ↑" if above else name
        names.append(Label(says, float(row.seconds), float(y)))
    _finish(axes, table)
    if broken := broken_systems(table):
        axes.set_title(f"Broke, and is not shown: {', '.join(broken)}", fontsize=7.5, color=MUTED)
    place(figure, axes, names, 7.5, len(names), always=True)
    return figure


def _finish(axes: Axes, table: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.margins(0.08)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Time of a fit (s)")
    axes.set_ylabel(f"Held-out RMSE ({unit(table)})")


def highest_shown(rmse: pd.Series) -> float:
    """The highest that is drawn in its place: systems far behind are drawn above it, all at one
    height, with their value.
    """
    best, middle = rmse.min(), rmse.median()
    return float(max(rmse[rmse <= best + 4 * (middle - best) + 0.01].max(), middle))


def _bars(value: float, low: float, high: float) -> np.ndarray:
    """Lengths of an interval's two sides; a lower end stays positive, for logarithms."""
    below, above = np.nan_to_num([value - low, high - value])
    return np.array([[min(max(below, 0), 0.9 * value)], [max(above, 0)]])


def accuracy_and_time(table: pd.DataFrame) -> pd.DataFrame:
    """`who, rmse, low, high, seconds, fast, slow`: a line per system that has both."""
    named = table.assign(who=who(table))
    rmse = over_folds(of_metric(named, "rmse"), ["who"])
    time = over_folds(of_metric(named, "fit_seconds"), ["who"])
    rmse = rmse.rename(columns={"mean": "rmse"})[["who", "rmse", "low", "high"]]
    time = time.rename(columns={"mean": "seconds", "low": "fast", "high": "slow"})
    return rmse.merge(time[["who", "seconds", "fast", "slow"]], on="who")


def broken_systems(table: pd.DataFrame) -> dict[str, str]:
    """The systems of which a run broke, and the first reason."""
    error = text(table, "error")
    broken = pd.DataFrame({"who": who(table), "error": error})[error != ""]
    return dict(broken.drop_duplicates("who").itertuples(index=False))


def pareto(points: pd.DataFrame) -> pd.DataFrame:
    """The systems that none is both faster and more accurate than, by time."""
    ordered = points.sort_values(["seconds", "rmse"])
    return ordered[ordered["rmse"] <= ordered["rmse"].cummin()]


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The systems that no other beats on both, by time; and those that broke, and why."""
    front = pareto(accuracy_and_time(representative(table)))
    lines = {
        row.who: [f"{row.rmse:.4f}", f"{row.seconds:.2g}", "none is faster and as accurate"]
        for row in front.itertuples()
    }
    lines |= {
        name: ["–", "–", f"broke: {reason}"] for name, reason in broken_systems(table).items()
    }
    frame = pd.DataFrame.from_dict(lines, orient="index", columns=["RMSE", "fit (s)", ""])
    return frame.rename_axis("system")
