"""Learning curve: scores against the share of the training ratings that is kept."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from paper_figures.figures.lines import draw_lines, ends, metrics_in, panels
from paper_figures.figures.runs import having, is_sweep, varies
from paper_figures.figures.style import legend_above

TABLE = "scores"
TITLE = "Learning curve"
CAPTION = (
    "Scores on the same held-out ratings as training ratings are taken away at random; shaded: "
    "t interval over the folds."
)


def suits(table: pd.DataFrame) -> bool:
    return varies(table, "split.keep") and not is_sweep(table)


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores: columns id, metric, value, split.keep and the runs' settings."""
    table = having(table, "scores", "id", "metric", "value", "split.keep")
    metrics = metrics_in(table, ["rmse", "log_density"])
    figure, all_axes = panels(len(metrics), 2.7)
    shares = sorted(table["split.keep"].unique())
    for axes, metric in zip(all_axes, metrics, strict=True):
        draw_lines(axes, table, metric, "split.keep")
        axes.set_xscale("log")
        axes.set_xticks(shares, [f"{share:.0%}" for share in shares])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("Training ratings kept")
    legend_above(figure, 5)
    return figure


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """RMSE with the least and the most training ratings."""
    return ends(table, "split.keep", lambda share: f"{share:.0%} of the ratings")
