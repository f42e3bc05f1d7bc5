"""New users: scores against the number of ratings that each has given."""

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures.lines import draw_lines, ends, metrics_in, panels
from paper_figures.figures.runs import having, is_sweep, varies
from paper_figures.figures.style import legend_above

TABLE = "scores"
TITLE = "Cold start"
CAPTION = (
    "Scores for users of whom so many ratings are known in training, and all others held out; "
    "shaded: t interval over the folds."
)


def suits(table: pd.DataFrame) -> bool:
    return varies(table, "split.given") and not is_sweep(table)


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores: columns id, metric, value, split.given and the runs' settings."""
    table = having(table, "scores", "id", "metric", "value", "split.kind", "split.given")
    table = table[table["split.kind"] == "sample_users"]
    metrics = metrics_in(having(table, "scores, split.kind sample_users"), ["rmse", "log_density"])
    figure, all_axes = panels(len(metrics), 2.7)
    counts = sorted(table["split.given"].unique())
    for axes, metric in zip(all_axes, metrics, strict=True):
        draw_lines(axes, table, metric, "split.given")
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        axes.set_xticks(counts, [f"{number:g}" for number in counts], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlim(left=min(counts) - 0.1)
        axes.set_xlabel("Ratings known of a new user")
    legend_above(figure, 5)
    return figure


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """RMSE with the fewest and the most ratings of a new user."""
    users = table[table["split.kind"] == "sample_users"]
    return ends(users, "split.given", lambda n: f"{n:g} rating{'' if n == 1 else 's'}")
