"""Held-out scores against the number of factors, one line per system."""

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures.lines import draw_lines, log_ticks, metrics_in, panels
from paper_figures.figures.runs import having, is_sweep, varying
from paper_figures.figures.style import legend_above

TABLE = "scores"
TITLE = "Rank"
CAPTION = (
    "Means over folds and seeds against the number of factors; shaded: t interval over the folds."
)


def suits(table: pd.DataFrame) -> bool:
    return "model.rank" in varying(table) and not is_sweep(table)


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores: columns id, metric, value, model.rank and the runs' settings."""
    table = having(table, "scores", "id", "metric", "value", "model.rank")
    metrics = metrics_in(table, ["rmse", "log_density", "ndcg@10"])
    figure, all_axes = panels(len(metrics), 2.7)
    for axes, metric in zip(all_axes, metrics, strict=True):
        draw_lines(axes, table[table["model.rank"] > 0], metric, "model.rank")
        ranks = table["model.rank"].dropna().unique()
        log_ticks(axes, [rank for rank in ranks if rank > 0], "Rank (factors)")
    legend_above(figure, 5)
    return figure
