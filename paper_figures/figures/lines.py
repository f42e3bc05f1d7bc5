"""A metric against a setting, one line per system, with intervals: what many figures share."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from paper_figures.figures.estimates import estimate_text, mean_of, over_folds, paired
from paper_figures.figures.runs import of_metric, unit, who
from paper_figures.figures.style import COLUMN, WIDE, looks, marked
from pmf.evaluate.metrics import label, metric_named


def metric_label(metric: str, table: pd.DataFrame) -> str:
    """An axis label, in the unit of the table's ratings."""
    before = "Held-out " if metric_named(metric).is_of_ratings else ""
    return before + label(metric, unit(table))


def metrics_in(table: pd.DataFrame, wanted: Sequence[str]) -> list[str]:
    """Those of the metrics that the table has."""
    return [metric for metric in wanted if (table["metric"] == metric).any()]


def panels(count: int, height: float = 2.5) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels side by side: of one column's width, or of both."""
    width = COLUMN if count == 1 else WIDE
    figure = Figure(figsize=(width, height))
    return figure, [figure.add_subplot(1, count, j + 1) for j in range(count)]


def draw_lines(
    axes: Axes, table: pd.DataFrame, metric: str, x: str, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Each system's mean of a metric against the column `x`, with its interval; what was drawn."""
    rows = of_metric(table, metric)
    rows = rows.assign(who=who(table).loc[rows.index]).dropna(subset=[x])
    means = over_folds(rows, ["who", x])
    all_looks = looks(names if names is not None else who(table))
    for name, part in means.groupby("who", sort=False):
        part, look = part.sort_values(x), all_looks[str(name)]
        axes.plot(part[x], part["mean"], linestyle=look.dash, label=name, **marked(look))
        axes.fill_between(
            part[x], part["low"], part["high"], color=look.colour, alpha=0.18, linewidth=0
        )
    axes.set_ylabel(metric_label(metric, table))
    return means


def ends(table: pd.DataFrame, setting: str, word: Callable[[float], str]) -> pd.DataFrame:
    """Each system's RMSE at the least and the greatest value of a setting, and how they differ."""
    rows = of_metric(table, "rmse")
    names, edges = who(rows), (rows[setting].min(), rows[setting].max())
    lines = {}
    for name, part in rows.groupby(names, sort=False):
        low, high = (part[part[setting] == edge] for edge in edges)
        if len(low) and len(high):
            gain = estimate_text(paired(low, high), "{:+.4f}")
            lines[name] = [estimate_text(mean_of(low)), estimate_text(mean_of(high)), gain]
    columns = [*(f"RMSE with {word(edge)}" for edge in edges), "first minus second"]
    frame = pd.DataFrame.from_dict(lines, orient="index", columns=columns)
    return frame.rename_axis("system")


def log_ticks(axes: Axes, values: Sequence[float], label: str, form: str = "{:g}") -> None:
    """A logarithmic x axis that has its ticks at the values."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(values))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form.format(value)))
    axes.set_xlabel(label)


def draw_dots(axes: Axes, means: pd.DataFrame, row: str, series: str, label: str) -> None:
    """Means with horizontal intervals: a line a `row`, first on top, a mark a `series` within it.

    `means` has the columns `mean, low, high` besides.
    """
    rows, names = list(dict.fromkeys(means[row])), list(dict.fromkeys(means[series]))
    alone = means.groupby(row)[series].nunique().max() == 1  # then each mark is on its own line
    all_looks, step = looks(names), 0 if alone else 0.5 / len(names)
    for j, name in enumerate(names):
        part = means[means[series] == name].drop_duplicates(row).set_index(row).reindex(rows)
        offset = (j - (len(names) - 1) / 2) * step
        errors = np.nan_to_num([part["mean"] - part["low"], part["high"] - part["mean"]])
        axes.errorbar(
            part["mean"],
            np.arange(len(rows)) + offset,
            xerr=np.maximum(errors, 0),
            linestyle="none",
            elinewidth=1.1,
            label=name,
            markersize=4.2,
            **marked(all_looks[name]),
        )
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(label)
