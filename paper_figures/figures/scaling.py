"""Time and memory of a sweep against ratings, rank and threads, with the laws they grow by."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from paper_figures.figures.estimates import Line, Power, over_folds, power_law, straight_line
from paper_figures.figures.runs import having, is_sweep, varies
from paper_figures.figures.style import COLUMN, MUTED, WIDE, looks, marked
from pmf.fitting.registry import LABELS

TABLE = "scores"
TITLE = "Scaling"
CAPTION = (
    "Seconds and memory of one sweep against the number of ratings, the rank and the threads, the "
    "others held at one value; times on logarithmic axes. Time is fitted by a power law, whose "
    "exponent is given, memory by what it is without any and what each one adds, with t "
    "intervals. Dotted: a time that halves where threads double."
)


class Setting(NamedTuple):
    label: str
    one: str  # of them


class Metric(NamedTuple):
    label: str
    unit: str
    size: float  # of the values that are one unit
    law: Callable[[np.ndarray, np.ndarray], Power | Line | None]


SETTINGS = {
    "model.ratings": Setting("Ratings", "rating"),
    "model.rank": Setting("Rank (factors)", "factor"),
    "model.threads": Setting("Threads", "thread"),
}
METRICS = {
    "sweep_seconds": Metric("Time of a sweep", "s", 1.0, power_law),
    "peak_bytes": Metric("Peak memory", "GB", 1e9, straight_line),
}
BYTES = ((1e0, "bytes"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"))
PANELS = [("sweep_seconds", x) for x in SETTINGS] + [
    ("peak_bytes", "model.ratings"),
    ("peak_bytes", "model.rank"),
]


def suits(table: pd.DataFrame) -> bool:
    return is_sweep(table) and any(_has(table, *panel) for panel in PANELS)


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores sweep_seconds and peak_bytes against model.ratings, .rank and .threads."""
    table = having(table, "scores", "id", "metric", "value", "system", "model.method", *SETTINGS)
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
    label, unit, size, _ = METRICS[metric]
    all_looks = looks(method(table))
    for name, points in slices(table, metric, x).items():
        growth, look = law(points, metric, x), all_looks[name]
        says = in_words(name, growth, x).replace(" and ", " and\n")
        errors = np.nan_to_num([points["mean"] - points["low"], points["high"] - points["mean"]])
        axes.errorbar(
            points[x],
            points["mean"] / size,
            yerr=np.maximum(errors, 0) / size,
            linestyle="none",
            elinewidth=1,
            label=says,
            **marked(look),
        )
        if growth:
            along = np.geomspace(points[x].min(), points[x].max())
            axes.plot(
                along, growth.at(along) / size, color=look.colour, linestyle=look.dash, linewidth=1
            )
        if x == "model.threads":
            ideal = points["mean"].iloc[0] * points[x].iloc[0] / points[x] / size
            axes.plot(points[x], ideal, color=MUTED, linestyle=":", linewidth=0.9)
    axes.set(xscale="log", xlabel=SETTINGS[x].label, ylabel=f"{label} ({unit})")
    ticks = sorted(table[x].dropna().unique())
    axes.set_xticks(ticks, [rounded(tick) for tick in ticks], minor=False)
    axes.xaxis.set_minor_formatter(NullFormatter())
    if METRICS[metric].law is power_law:
        axes.set_yscale("log")
        _readable(axes)
    else:
        axes.set_ylim(bottom=0)
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
    slices_by_name = {}
    for name, part in rows.groupby(method(rows), sort=False):
        at = over_folds(part, [*others, x])
        sizes = at.groupby(others, dropna=False)[x].nunique()
        if sizes.max() < 2:
            continue
        others_held = sorted(sizes[sizes == sizes.max()].index)[-1]
        here = (at[others].fillna(-1) == pd.Series(others_held, others).fillna(-1)).all(axis=1)
        slices_by_name[str(name)] = at[here].sort_values(x)
    return slices_by_name


def law(points: pd.DataFrame, metric: str, x: str) -> Power | Line | None:
    """The metric's law of growth, fitted to one of the `slices`."""
    return METRICS[metric].law(points[x].to_numpy(np.float64), points["mean"].to_numpy())


def method(table: pd.DataFrame) -> pd.Series:
    """The method of each sweep in words, whatever its arm is called."""
    return table["model.method"].map(lambda name: LABELS.get(name, str(name)))


def rounded(size: float) -> str:
    """A size in a few characters: 64, 300k, 25M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{letter}"
    return f"{size:g}"


def in_words(name: str, growth: Power | Line | None, x: str) -> str:
    """A system with its law: the exponent, or the fixed bytes and those that each of `x` adds."""
    if growth is None:
        return name
    if isinstance(growth, Power):
        return f"{name}: exponent {_with_error(growth.exponent, growth.error, 2)}"
    size, unit = max((z for z in BYTES if z[0] <= max(abs(growth.slope), 1)), key=lambda z: z[0])
    digits = 0 if growth.slope >= 100 * size else 1
    each = _with_error(growth.slope / size, growth.error / size, digits)
    return f"{name}: {growth.start / 1e9:.2f} GB and {each} {unit} per {SETTINGS[x].one}"


def _with_error(value: float, error: float, digits: int) -> str:
    known = f" ± {error:.{digits}f}" if error == error else ""
    return f"{value:.{digits}f}{known}".replace("-", "−")


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The law of each panel, a line per system."""
    lines = {
        (METRICS[metric].label, SETTINGS[x].label, name): in_words(name, law(points, metric, x), x)
        for metric, x in PANELS
        if _has(table, metric, x)
        for name, points in slices(table, metric, x).items()
    }
    cells = [text.partition(": ")[2] or "–" for text in lines.values()]
    index = pd.MultiIndex.from_tuples(lines, names=["of", "against", "system"])
    return pd.DataFrame({"law": cells}, index)
