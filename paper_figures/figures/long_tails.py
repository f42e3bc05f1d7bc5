"""The data: how unequally ratings fall on users and on items, and which values they have."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from paper_figures.figures.runs import having, unit
from paper_figures.figures.style import BLUE, GREY, MUTED, VERMILLION, WIDE

TABLE = "data"
TITLE = "The data"
CAPTION = (
    "Left: the ratings of each user and of each item, from the most rated down; both axes are "
    "logarithmic, so a long straight fall is a long tail. Middle: the share of all ratings that "
    "the most rated rows have; on the dashed line all would have equally many. Right: the values "
    "of the ratings."
)
COLUMNS = ["data", "of", "at", "count", "share"]
SIDES = {"user": ("Users", BLUE, "-"), "item": ("Items", VERMILLION, (0, (4, 2)))}
DECILE = 0.1  # the most rated tenth of the rows


def suits(table: pd.DataFrame) -> bool:
    return set(COLUMNS) <= set(table) and table["data"].nunique() == 1


def plot(table: pd.DataFrame) -> Figure:
    """Draw the profile of one data set: columns data, of, at, count, share."""
    table = having(table, "data", *COLUMNS)
    figure = Figure(figsize=(WIDE, 2.1))
    tails, shares, values = figure.subplots(1, 3)
    shares.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for side, (name, colour, dash) in SIDES.items():
        rows = table[table["of"] == side]
        tails.plot(rows["at"], rows["count"], color=colour, linestyle=dash, label=name)
        part = np.r_[0, rows["at"] / rows["at"].max()]
        shares.plot(part, np.r_[0, rows["share"]], color=colour, linestyle=dash, label=name)
    tails.set(xscale="log", yscale="log", xlabel="Place by ratings", ylabel="Ratings of a row")
    shares.set(xlabel="Most rated rows", ylabel="Share of the ratings", xlim=(0, 1), ylim=(0, 1.02))
    of_value = table[table["of"] == "rating"]
    width = 0.8 * np.diff(of_value["at"]).min(initial=np.inf)
    values.bar(of_value["at"], of_value["share"], width if np.isfinite(width) else 0.8, color=GREY)
    values.set(xlabel=f"Rating ({unit(table)})", ylabel="Share of the ratings")
    values.grid(axis="x", visible=False)
    for axis in (shares.xaxis, shares.yaxis, values.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for axes in (tails, shares):
        axes.legend(loc="best")
    return figure


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Counts, the filled share of all pairs, and what the most rated tenth of a side has."""
    rows, ratings = counts(table), int(table.loc[table["of"] == "rating", "count"].sum())
    lines = {"users": f"{rows['user']:,}", "items": f"{rows['item']:,}", "ratings": f"{ratings:,}"}
    lines["rated pairs"] = f"{ratings / rows['user'] / rows['item']:.2%}"
    for side, name in (("user", "users"), ("item", "items")):
        lines[f"ratings of the most rated tenth of the {name}"] = f"{top_share(table, side):.1%}"
    frame = pd.DataFrame.from_dict(lines, orient="index", columns=["number"])
    return frame.rename_axis("of the data")


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many users and items there are."""
    return {side: int(table.loc[table["of"] == side, "at"].max()) for side in SIDES}


def top_share(table: pd.DataFrame, side: str) -> float:
    """The share of all ratings that the most rated tenth of a side's rows have."""
    rows = table[table["of"] == side]
    places, shares = np.r_[0, rows["at"]], np.r_[0, rows["share"]]
    return float(np.interp(DECILE * places[-1], places, shares))
