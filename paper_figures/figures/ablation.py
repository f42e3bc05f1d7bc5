"""What each arm loses or gains against the reference: a dot plot of paired differences."""

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures.lines import draw_dots
from paper_figures.figures.runs import having, settings_in, text, unit, varies
from paper_figures.figures.style import COLUMN, MUTED, WIDE, legend_above
from pmf.evaluate.metrics import label, order_of
from pmf.fitting.registry import LABELS

TABLE = "comparisons"
TITLE = "Difference to the reference"
CAPTION = (
    "Paired difference of each arm to the reference on the same users, with its bootstrap "
    "interval. An interval that leaves out the line is more than chance; for errors, right of the "
    "line is worse, for the other scores better."
)
ACROSS = 3  # panels


def suits(table: pd.DataFrame) -> bool:
    return "verdict" in table and table["difference"].notna().any()


def plot(table: pd.DataFrame) -> Figure:
    """Draw the comparisons to the first reference: columns metric, arm, reference, difference, low,
    high.

    Settings that the comparisons were made apart for (`model.method`, `model.rank`, ...) are
    columns besides; methods are drawn in their own looks, other settings in lines of their own.
    """
    table = having(table, "comparisons", "metric", "arm", "reference", "difference", "low", "high")
    table = table[table["reference"] == table["reference"].iloc[0]].dropna(subset="difference")
    metrics = sorted(table["metric"].unique(), key=order_of)
    differences = table.assign(row=_rows(table), series=_series(table), mean=table["difference"])
    lines = differences["row"].nunique()
    across = min(ACROSS, len(metrics))
    down, height = -(-len(metrics) // across), 1.0 + 0.26 * max(lines, 3)
    figure = Figure(figsize=(COLUMN if across == 1 else WIDE, down * height))
    grid = figure.subplots(down, across, sharey=True, squeeze=False).flat
    for axes in grid[len(metrics) :]:
        axes.set_visible(False)
    for axes, metric in zip(grid, metrics, strict=False):
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        along = f"Difference of {label(metric, unit(table))}"
        draw_dots(axes, differences[differences["metric"] == metric], "row", "series", along)
        axes.locator_params(axis="x", nbins=6 if len(metrics) == 1 else 3)
    if varies(table, "model.method"):
        legend_above(figure)
    grid[0].set_title(f"Reference: {table['reference'].iloc[0]}", fontsize=7.5, color=MUTED)
    return figure


def word(value: object) -> str:
    """A setting as a word; "none" where a system has no such setting."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value != value:
            return "none"
        return f"{value:,.0f}" if value >= 1000 and value == int(value) else f"{value:g}"
    return str(value)


def _series(table: pd.DataFrame) -> pd.Series:
    method = text(table, "model.method").map(lambda name: LABELS.get(name, name))
    return method.where(method != "", table["arm"].astype(str))


def _rows(table: pd.DataFrame) -> pd.Series:
    row = table["arm"].astype(str)
    for name in settings_in(table):
        if name != "model.method" and table[name].nunique() > 1:
            row = row + f", {name.split('.')[-1]} " + table[name].map(word)
    return row
