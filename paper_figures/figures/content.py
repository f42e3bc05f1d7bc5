"""Content against collaboration: RMSE on items with training ratings, and on items without."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures.estimates import above, estimate_text, mean_of, over_folds
from paper_figures.figures.lines import draw_dots
from paper_figures.figures.runs import having, representative, unit, who
from paper_figures.figures.style import COLUMN

TABLE = "strata"
TITLE = "Content, collaboration, and both"
CAPTION = (
    "RMSE on items that have training ratings, and on items that have none, whose predictions rest "
    "on genres, year and tags, or on the mean. Bars: t interval over the folds."
)
WARM, COLD = "Items with training ratings", "Items without"


def suits(table: pd.DataFrame) -> bool:
    return len(table) > 0 and table["system"].isin(["content", "hybrid"]).any()


def plot(table: pd.DataFrame) -> Figure:
    """Draw the strata: columns id, by, stratum, n, rmse and the runs' settings."""
    table = having(table, "strata", "id", "by", "stratum", "n", "rmse")
    means = over_folds(warm_and_cold(representative(table)), ["who", "part"])
    parts = [part for part in (WARM, COLD) if (means["part"] == part).any()]
    names = means["who"].nunique()
    figure = Figure(figsize=(COLUMN, 0.9 + len(parts) * (0.3 + 0.24 * names)))
    grid = figure.subplots(len(parts), 1, squeeze=False)[:, 0]
    for axes, part in zip(grid, parts, strict=True):
        draw_dots(axes, means[means["part"] == part].assign(row=means["who"]), "row", "who", "")
        axes.set_title(part)
        axes.locator_params(axis="x", nbins=6)
    grid[-1].set_xlabel(f"Held-out RMSE ({unit(table)})")
    return figure


def warm_and_cold(table: pd.DataFrame) -> pd.DataFrame:
    """A line for each run and part, `value` its RMSE: strata of items put together by their n."""
    items = table[table["by"] == "item popularity"]
    part = pd.Series(np.where(items["stratum"].astype(str) == "0", COLD, WARM), items.index)
    rows = items.assign(who=who(items), part=part, squares=items["n"] * items["rmse"] ** 2)
    settings = [name for name in ("split.fold", "split.seed", "model.seed") if name in rows]
    sums = rows.groupby(["id", "who", "part", *settings], dropna=False, sort=False)
    sums = sums[["n", "squares"]].sum().reset_index()
    return sums.assign(value=np.sqrt(sums["squares"] / sums["n"]))


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """RMSE on each kind of items, and how far above the least."""
    rows = warm_and_cold(representative(table))
    frame = pd.DataFrame(index=pd.Index(rows["who"].unique(), name="system"))
    for part in (WARM, COLD):
        of_part = rows[rows["part"] == part]
        systems = {name: x for name, x in of_part.groupby("who", sort=False)}
        if systems:
            best = min(systems, key=lambda name: mean_of(systems[name]).mean)
            frame[part] = pd.Series(
                {name: estimate_text(mean_of(x)) for name, x in systems.items()}
            )
            frame["above the least" + " there" * (part == COLD and WARM in frame)] = pd.Series(
                {name: above(x, systems[best]) for name, x in systems.items() if name != best}
            )
    return frame.fillna("")
