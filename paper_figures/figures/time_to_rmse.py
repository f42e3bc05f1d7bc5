"""Test RMSE against the seconds since ratings were in memory: all that a fit costs, and rivals'.

The table is written by `benchmarks.time_to_rmse`. Within a system, a size and a rank, a sweep's
seconds are the median of the warm fits, or of a rival's.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from paper_figures.figures.runs import having
from paper_figures.figures.style import COLUMN, WIDE, Look, legend_above, looks, marked
from pmf.fitting.registry import LABELS

TITLE = "Time to each RMSE"
CAPTION = (
    "Test RMSE against the seconds since the ratings were in memory: search, layout, compiled "
    "programs read from the cache, and sweeps; a rival's conversion of the arrays and its "
    "iterations. Medians of the fits. Hollow marks: rivals, whose penalties are set by hand and "
    "cost nothing here. Gibbs' steep part is its burn-in, of single draws."
)
REACHED = 1.001  # times an RMSE: who is so near has reached it
RIVALS = {
    "libmf": "LIBMF",
    "cmfrec": "cmfrec",
    "cmfrec_cg": "cmfrec, CG",
    "lenskit": "LensKit",
}
NAMES = LABELS | RIVALS
SIZES = {
    "small": "MovieLens latest-small",
    "small, generated": "100,836 generated",
    "1m": "900,000 generated",
    "25m": "25 million generated",
}
COLUMNS = ("system", "size", "rank", "cache", "step", "seconds", "rmse", "error")


def plot(table: pd.DataFrame) -> Figure:
    """A panel for each size and rank that was raced on, two in a row; a line for each system."""
    lines = trajectories(having(table, "time_to_rmse", *COLUMNS))
    raced = lines[["size", "rank"]].drop_duplicates()
    panels = sorted(raced.itertuples(index=False), key=lambda x: ([*SIZES].index(x.size), x.rank))
    across = min(2, max(1, len(panels)))
    down = -(-len(panels) // across)
    width = COLUMN if across == 1 else WIDE
    figure = Figure(figsize=(width, 2.1 * max(down, 1) + 0.5))
    grid = figure.subplots(max(down, 1), across, squeeze=False)
    all_looks = looks(NAMES[name] for name in NAMES if name in set(lines["system"]))
    for axes, (size, rank) in zip(grid.flat, panels, strict=False):
        _panel(axes, lines[(lines["size"] == size) & (lines["rank"] == rank)], all_looks)
        axes.set_title(f"{SIZES[size]}, rank {rank}")
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("Test RMSE (stars)")
    for axes in grid.flat[max(len(panels) - across, 0) : len(panels)]:  # the last of each column
        axes.set_xlabel("Time (s)")
    legend_above(figure, len(all_looks))
    return figure


def _panel(axes: Axes, lines: pd.DataFrame, all_looks: dict[str, Look]) -> None:
    for system, line in lines.groupby("system", sort=False):
        look = all_looks[NAMES[str(system)]]
        style = marked(look) | {"linestyle": look.dash, "markersize": 4.0}
        best = int(np.argmin(line["rmse"]))
        axes.plot(
            line["seconds"], line["rmse"], label=NAMES[str(system)], markevery=[best], **style
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if len(lines):
        best = lines.groupby("system")["rmse"].min()
        span = max(best.max() - best.min(), 0.01)
        axes.set_ylim(best.min() - 0.15 * span, best.max() + 0.9 * span)


def trajectories(table: pd.DataFrame, cold: bool = False) -> pd.DataFrame:
    """Each system's sweeps (columns system, size, rank, step, rmse, seconds) in our order.

    Of ours those with warm caches, or with `cold` ones.
    """
    rows = table[table["rmse"].notna() & ((table["cache"] == "cold") == cold)]
    rows = rows.assign(system=pd.Categorical(rows["system"], list(NAMES)))
    by = ["system", "size", "rank", "step"]
    lines = rows.groupby(by, observed=True, as_index=False)[["rmse", "seconds"]].median()
    return lines.astype({"system": str})


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """A line a size, a rank and a system: its best RMSE, and the seconds to reach each goal.

    Goals are the best RMSE of any rival, and of any of ours, of that size and rank.
    """
    lines, cold = trajectories(table), trajectories(table, cold=True)
    index, cells = [], []
    for (size, rank), part in table.groupby(["size", "rank"], sort=False):
        here = lines[(lines["size"] == size) & (lines["rank"] == rank)]
        is_ours = here["system"].isin(LABELS)
        goals = [here.loc[~is_ours, "rmse"].min(), here.loc[is_ours, "rmse"].min()]
        for system in (name for name in NAMES if name in set(part["system"])):
            index.append((SIZES[str(size)], str(rank), NAMES[system]))
            line = here[here["system"] == system]
            first = cold[(cold["size"] == size) & (cold["rank"] == rank)]
            cells.append(_cells(line, first[first["system"] == system], part, system, goals))
    names = ["ratings", "rank", "system"]
    columns = ["best RMSE", "to the rivals' best (s)", "to our best (s)", "whole fit (s)"]
    columns += ["of it search (s)", "more when cold (s)", "peak (GB)"]
    return pd.DataFrame(cells, pd.MultiIndex.from_tuples(index, names=names), columns)


def _cells(
    line: pd.DataFrame,
    cold: pd.DataFrame,
    part: pd.DataFrame,
    system: str,
    goals: list[float],
) -> list[str]:
    """A system's cells; of one that broke the first says so."""
    facts = part[(part["system"] == system) & (part["cache"] != "cold")]
    if line.empty:
        return [f"not here: {facts['error'].iloc[0]}", *["–"] * 6]
    searched = _shown(facts["search_seconds"].median()) if system in LABELS else "–"
    later = "–"
    if len(cold):
        later = _shown(cold["seconds"].iloc[0] - line["seconds"].iloc[0])
    return [
        f"{line['rmse'].min():.4f}",
        *[_shown(seconds_to(line, goal)) for goal in goals],
        _shown(line["seconds"].max()),
        searched,
        later,
        f"{facts['peak_gb'].median():.2f}",
    ]


def seconds_to(line: pd.DataFrame, goal: float) -> float:
    """Seconds of the first sweep whose RMSE is a goal to 0.1 %; NaN where none is."""
    reached = line.loc[line["rmse"] <= REACHED * goal, "seconds"]
    return float(reached.min())


def _shown(seconds: float) -> str:
    return "–" if seconds != seconds else f"{seconds:.3g}" if seconds < 1000 else f"{seconds:,.0f}"
