"""What each arm recovers of the truth behind generated ratings, part by part."""

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures.estimates import Interval, estimate_text, over_folds
from paper_figures.figures.lines import draw_dots
from paper_figures.figures.runs import having, who
from paper_figures.figures.style import COLUMN, MUTED, legend_above

TABLE = "scores"
TITLE = "Recovered parts of the truth"
CAPTION = (
    "Share of the variance of each true part of a rating's mean, over test pairs, that a fit "
    "recovers. Users' and items' effects count as such whether they come as biases or by way of "
    "factors. Below 0: worse than no estimate. Bars: t interval over splits."
)
PARTS = {
    "recovered_user": "Users' effects",
    "recovered_item": "Items' effects",
    "recovered_interaction": "Interactions",
}


def suits(table: pd.DataFrame) -> bool:
    return "metric" in table and table["metric"].isin(list(PARTS)).any()


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores: columns id, metric, value, arm and the runs' settings."""
    shares = recovered(having(table, "scores", "id", "metric", "value"))
    figure = Figure(figsize=(COLUMN, 1.1 + 0.3 * shares["who"].nunique()))
    axes = figure.add_subplot()
    axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    percent = shares.assign(**{name: 100 * shares[name] for name in ("mean", "low", "high")})
    draw_dots(axes, percent, "who", "part", "Recovered share of a rating's true part (%)")
    legend_above(figure)
    return figure


def recovered(table: pd.DataFrame) -> pd.DataFrame:
    """`who, part, mean, low, high, n`: each part's recovered share of each system."""
    rows = table[table["metric"].isin(list(PARTS))]
    return over_folds(rows.assign(who=who(rows), part=rows["metric"].map(PARTS)), ["who", "part"])


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Each part's recovered share, a column per part."""
    shares = recovered(table)
    shares["share"] = [
        estimate_text(Interval(*row), "{:.1%}") for row in shares[list(Interval._fields)].to_numpy()
    ]
    wide = shares.pivot(index="who", columns="part", values="share")
    return wide.loc[shares["who"].unique(), list(PARTS.values())].rename_axis("system")
