"""How much the strength of the prior matters: scores along its grid, one line a convention."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.figures.estimates import estimate_text, mean_of, over_folds
from paper_figures.figures.lines import draw_lines, log_ticks, metric_label, metrics_in, panels
from paper_figures.figures.runs import having, is_sweep, of_metric, text, varies, who
from paper_figures.figures.style import legend_above, looks

TABLE = "scores"
TITLE = "Prior sensitivity"
CAPTION = (
    "Scores along a grid of the prior precision of the users' factors, each convention's in units "
    "of the middle of its own grid. Horizontal: systems that learn their prior. Shaded: t interval "
    "over the folds."
)
STRENGTH = "model.prior.user_factor"


def suits(table: pd.DataFrame) -> bool:
    return STRENGTH in table and _most_strengths(table) > 1 and not is_sweep(table)


def why_not(table: pd.DataFrame) -> str:
    """Why strengths that differ between arms alone make no figure; nothing where they do."""
    if is_sweep(table) or not varies(table, STRENGTH) or suits(table):
        return ""
    return (
        f"each arm has one {STRENGTH}, which is a point and no curve; give an arm several, as "
        "user_factor = [1.0, 2.0, 4.0]"
    )


def _most_strengths(table: pd.DataFrame) -> int:
    """The most strengths that one arm has."""
    return int(table[STRENGTH].groupby(text(table, "arm")).nunique().max())


def plot(table: pd.DataFrame) -> Figure:
    """Draw the scores: columns id, metric, value, model.prior.user_factor and other settings."""
    table = relative(having(table, "scores", "id", "metric", "value", STRENGTH))
    metrics = metrics_in(table, ["rmse", "log_density"])
    figure, all_axes = panels(len(metrics), 2.9)
    ridges, learnt = table[table["x"].notna()], table[table["x"].isna()]
    named = learnt.assign(arm=learnt_names(learnt))
    names = [*who(ridges), *who(named)]
    for axes, metric in zip(all_axes, metrics, strict=True):
        draw_lines(axes, ridges, metric, "x", names)
        ticks = 2.0 ** np.arange(
            np.ceil(np.log2(ridges["x"].min()) - 1e-9),
            np.floor(np.log2(ridges["x"].max()) + 1e-9) + 1,
        )
        _level_lines(axes, of_metric(named, metric), names)
        log_ticks(axes, list(ticks), "Prior precision over the middle of its grid")
        axes.set_ylabel(metric_label(metric, table))
    legend_above(figure, 3)
    return figure


def relative(table: pd.DataFrame) -> pd.DataFrame:
    """With `x`: each arm's strengths over their geometric mean; NaN without such a setting."""
    strength = np.log(table[STRENGTH].astype(float))
    middle = strength.groupby(text(table, "arm")).transform(lambda x: x.drop_duplicates().mean())
    return table.assign(x=np.exp(strength - middle))


def learnt_names(table: pd.DataFrame) -> pd.Series:
    """The names of systems without the setting, with what else varies among them."""
    name = who(table)
    for column in ("model.hyperprior", "model.tau"):
        if varies(table, column):
            name = name + ", " + column.split(".")[-1] + " " + text(table, column)
    return name


def _level_lines(axes: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    if rows.empty:
        return
    levels = over_folds(rows.assign(who=who(rows)), ["who"])
    for row in levels.itertuples():
        look = looks(names)[str(row.who)]
        axes.axhline(row.mean, color=look.colour, linestyle=look.dash, linewidth=1.2, label=row.who)
        if row.low == row.low:
            axes.axhspan(row.low, row.high, color=look.colour, alpha=0.1, linewidth=0)


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Where along its grid each convention has its least and its greatest RMSE; and the RMSE of
    systems that learn their prior.
    """
    rows = of_metric(table, "rmse")
    lines = {}
    for name, part in rows.dropna(subset=[STRENGTH]).groupby(who(rows), sort=False):
        means = over_folds(part, [STRENGTH])
        best, worst = means.loc[means["mean"].idxmin()], means.loc[means["mean"].idxmax()]
        edges = (means[STRENGTH].min(), means[STRENGTH].max())
        lines[name] = [
            f"{best['mean']:.4f}",
            f"{best[STRENGTH]:g}",
            "edge" if best[STRENGTH] in edges else "inside",
            f"{worst['mean']:.4f}",
            f"{worst[STRENGTH]:g}",
            f"{worst['mean'] - best['mean']:.4f}",
        ]
    learnt = rows[rows[STRENGTH].isna()]
    for name, part in learnt.groupby(learnt_names(learnt), sort=False):
        lines[name] = [estimate_text(mean_of(part)), *["–"] * 5]
    columns = ["least RMSE", "at", "of the grid", "greatest RMSE", "at that", "spread"]
    return pd.DataFrame.from_dict(lines, orient="index", columns=columns).rename_axis("prior")
