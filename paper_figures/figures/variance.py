"""Explained variance taken apart: what factors and biases explain each alone, and what either can.

The share of the held-out variance that an arm explains is 1 - MSE / MSE of the mean. A term's own
part is what all explain together less what the others explain without it; the rest is common
(commonality analysis: Mood, "Macro-analysis of the American educational system", Operations
Research 1969). Out of sample a part can be negative: the term then costs more than it gives.
"""

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures.estimates import UNITS, Interval, estimate_text, over_folds
from paper_figures.figures.lines import draw_dots
from paper_figures.figures.runs import having, of_metric, text
from paper_figures.figures.style import COLUMN, MUTED, legend_above
from pmf.fitting.registry import LABELS

TABLE = "scores"
TITLE = "Explained variance"
CAPTION = (
    "Shares of the held-out variance about the mean: of all terms together, and taken apart into "
    "what factors or biases alone explain and what either can; below, the same for the two biases. "
    "Bars: t interval over the folds."
)
BOTH, FACTORS = "both biases", "factors"
USER, ITEM = "user bias", "item bias"
# One term, the other, and the two together; and what the parts are called.
PAIRS = {
    ("everything", FACTORS, BOTH): ("all terms", "factors alone", "biases alone", "either"),
    (BOTH, USER, ITEM): ("both biases", "user bias alone", "item bias alone", "either bias"),
}
ARMS = ["mean", "everything", BOTH, FACTORS, USER, ITEM]


def suits(table: pd.DataFrame) -> bool:
    return "arm" in table and set(ARMS) <= set(table["arm"])


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores: columns id, metric, value, arm and the runs' settings."""
    shares = over_folds(
        parts(having(table, "scores", "id", "metric", "value", "arm")), ["part", "method"]
    )
    figure = Figure(figsize=(COLUMN, 2.9))
    axes = figure.add_subplot()
    axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    percent = shares.assign(**{name: 100 * shares[name] for name in ("mean", "low", "high")})
    draw_dots(axes, percent, "part", "method", "Share of held-out rating variance (%)")
    axes.axhline(len(shares["part"].unique()) / 2 - 0.5, color=MUTED, linewidth=0.5)
    legend_above(figure)
    return figure


def parts(table: pd.DataFrame) -> pd.DataFrame:
    """A line per method, fold and part, `value` its share of the held-out variance."""
    rows = of_metric(table, "rmse")
    rows = rows.assign(method=text(rows, "model.method").replace(LABELS))
    keys = ["method", *(name for name in UNITS if name in rows)]
    error = rows.pivot_table("value", keys, "arm") ** 2
    explained = 1 - error.div(error["mean"], axis=0)
    shares = {}
    for (whole, one, other), (total, first, second, common) in PAIRS.items():
        shares[total] = explained[whole]
        shares[first] = explained[whole] - explained[other]
        shares[second] = explained[whole] - explained[one]
        shares[common] = explained[one] + explained[other] - explained[whole]
    return pd.DataFrame(shares).melt(ignore_index=False, var_name="part").reset_index()


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Each part of the held-out variance, a column per method."""
    shares = over_folds(parts(table), ["part", "method"])
    shares["share"] = [
        estimate_text(Interval(*row), "{:.1%}") for row in shares.iloc[:, 2:].to_numpy()
    ]
    wide = shares.pivot(index="part", columns="method", values="share")
    return wide.loc[shares["part"].unique(), shares["method"].unique()]
