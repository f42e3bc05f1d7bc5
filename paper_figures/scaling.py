"""Time and memory of a sweep against ratings, rank and threads, with fitted exponents."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from paper_figures.estimates import Power, over_folds, power_law
from paper_figures.runs import METHODS, having, is_sweep, varies
from paper_figures.style import COLUMN, MUTED, WIDE, looks, marked

TABLE = "scores"
TITLE = "Scaling"
CAPTION = (
    "Seconds and memory of one sweep against the number of ratings, the rank and the threads, the "
    "others held at one value; both axes logarithmic. The exponent is that of the fitted power "
    "law, with its t interval. Dotted: a time that halves where threads double."
)
SETTINGS = {"model.ratings": "Ratings", "model.rank": "Rank (factors)", "model.threads": "Threads"}
METRICS = {
    "sweep_seconds": ("Time of a sweep (s)", 1.0),
    "peak_bytes": ("Peak memory (GB)", 1e-9),
}
PANELS = [("sweep_seconds", x) for x in SETTINGS] + [
    ("peak_bytes", "model.ratings"),
    ("peak_bytes", "model.rank"),
]


def suits(table: pd.DataFrame) -> bool:
    return is_sweep(table) and any(_has(table, *panel) for panel in PANELS)


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores sweep_seconds and peak_bytes against model.ratings, .rank and .threads."""
    table = having(table, "scores", "id", "metric", "value", "system", "model.method",
                   *SETTINGS)  # fmt: skip
    drawn = [panel for panel in PANELS if _has(table, *panel)]
    having(pd.DataFrame(drawn), "scores: sweeps of several sizes")
    across = len(drawn) if len(drawn) < 3 else 2 if len(drawn) == 4 else 3
    down = -(-len(drawn) // across)
    figure = Figure(figsize=(WIDE if across > 1 else COLUMN, 2.3 * down + 0.2))
    grid = figure.subplots(down, across, squeeze=False)
    for axes, (metric, x) in zip(grid.flat, drawn, strict=False):
        _panel(axes, table, metric, x)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    return figure


def _has(table: pd.DataFrame, metric: str, x: str) -> bool:
    return varies(table[table["metric"] == metric], x)


def _panel(axes: Axes, table: pd.DataFrame, metric: str, x: str) -> None:
    label, unit = METRICS[metric]
    all_looks = looks(method(table))
    for name, points in slices(table, metric, x).items():
        found, look = power_law(points[x].to_numpy(), points["mean"].to_numpy()), all_looks[name]
        errors = np.nan_to_num([points["mean"] - points["low"], points["high"] - points["mean"]])
        says = f"{name}: exponent {exponent(found)}" if found else name
        axes.errorbar(points[x], points["mean"] * unit, yerr=np.maximum(errors, 0) * unit,
                      linestyle="none", elinewidth=1, label=says, **marked(look))  # fmt: skip
        if found:
            fitted = found.scale * points[x] ** found.exponent * unit
            axes.plot(points[x], fitted, color=look.colour, linestyle=look.dash, linewidth=1)
        if x == "model.threads":
            ideal = points["mean"].iloc[0] * points[x].iloc[0] / points[x] * unit
            axes.plot(points[x], ideal, color=MUTED, linestyle=":", linewidth=0.9)
    axes.set(xscale="log", yscale="log", xlabel=SETTINGS[x], ylabel=label)
    ticks = sorted(table[x].dropna().unique())
    axes.set_xticks(ticks, [rounded(tick) for tick in ticks], minor=False)
    axes.xaxis.set_minor_formatter(NullFormatter())
    _readable(axes)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2, fontsize=7)


def _readable(axes: Axes) -> None:
    """Plain numbers at 1, 2 and 5 of each decade where the axis is short, else at powers of ten."""
    low, high = axes.get_ylim()
    if np.log10(high / low) < 2:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def slices(table: pd.DataFrame, metric: str, x: str) -> dict[str, pd.DataFrame]:
    """For each system the metric along `x` (columns x, mean, low, high), all else held fixed.

    Of the settings to hold, those with the most values of `x` are taken, and the largest of these.
    """
    rows = table[(table["metric"] == metric) & table[x].notna()]
    others = [name for name in SETTINGS if name != x]
    found = {}
    for name, part in rows.groupby(method(rows), sort=False):
        at = over_folds(part, [*others, x])
        sizes = at.groupby(others, dropna=False)[x].nunique()
        if sizes.max() < 2:
            continue
        held = sorted(sizes[sizes == sizes.max()].index)[-1]
        here = (at[others].fillna(-1) == pd.Series(held, others).fillna(-1)).all(axis=1)
        found[str(name)] = at[here].sort_values(x)
    return found


def method(table: pd.DataFrame) -> pd.Series:
    """The method of each sweep in words, whatever its arm is called."""
    return table["model.method"].map(lambda name: METHODS.get(name, str(name)))


def rounded(size: float) -> str:
    """A size in a few characters: 64, 300k, 25M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{letter}"
    return f"{size:g}"


def exponent(found: Power) -> str:
    """The exponent with its half-width."""
    known = f" ± {found.error:.2f}" if found.error == found.error else ""
    return f"{found.exponent:.2f}{known}".replace("-", "−")
