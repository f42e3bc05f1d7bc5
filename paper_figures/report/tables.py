"""Results as tables for a paper: which cells they have, with verdicts and marks."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from paper_figures.figures.ablation import word
from paper_figures.figures.build import numbers
from paper_figures.figures.estimates import (
    FEWEST,
    LEVEL,
    Interval,
    above,
    estimate_text,
    mean_of,
    over_folds,
    units,
)
from paper_figures.figures.runs import (
    REPLICATES,
    of_metric,
    settings_in,
    varies,
    varying,
    who,
)
from paper_figures.report.grid import Cell, Grid, latex, markdown
from pmf.evaluate.metrics import MORE, heading, metric_named, shown_of
from pmf.fitting.registry import LABELS
from pmf.io.atomic import replacing

Tables = dict[str, pd.DataFrame]


REPEATED = {
    "split.fold": "folds",
    "split.seed": "random splits",
    "model.seed": "seeds of the fit, on one split",
    "model.repeat": "measurements",
}
MARKS = {"better": "▲", "worse": "▼", "no difference shown": "="}


def scores_grid(tables: Tables) -> Grid:
    """A line per system and setting: means over repetitions, the best of each split in bold.

    With ± and half the width of the interval where that says something; the note says over what.
    The last column says how far the RMSE is above the least, where there are several lines.
    """
    scores = tables["scores"].assign(who=who(tables["scores"]))
    extra = [name for name in varying(scores) if not name.startswith("tuned")]
    always = [] if "model.rank" in extra or "model.rank" not in scores else ["model.rank"]
    keys = ["who", *always, *extra]
    metrics = shown_of(scores["metric"].dropna())
    lines = scores[keys].drop_duplicates().reset_index(drop=True)
    columns = [_column(scores, keys, lines, metric) for metric in metrics]
    header = ["system", *map(_title, keys[1:]), *map(heading, metrics)]
    if "rmse" in metrics and len(lines) > 1:
        columns.append(_above(of_metric(scores, "rmse"), keys, lines))
        header.append("RMSE above the least")
    words = lines.map(lambda value: Cell(word(value))).to_numpy().tolist()
    rows = [[*line, *(column[j] for column in columns)] for j, line in enumerate(words)]
    return Grid(header, rows, len(keys), _note(rows, scores, keys))


def _note(rows: list[list[Cell]], scores: pd.DataFrame, keys: list[str]) -> str:
    """What ± is over, and what the marks say, as far as there are any."""
    text = "\n".join(cell.text for row in rows for cell in row)
    parts = []
    if "±" in text:
        over = units(scores)
        groups = scores.groupby(keys, dropna=False)[over]
        count = groups.apply(lambda part: len(part.drop_duplicates()))
        low, high = max(count.min(), FEWEST), count.max()
        many = f"{high}" if low == high else f"{low} to {high}"
        parts.append(
            f"± is half the width of a {100 * LEVEL:g} % t interval over {many} "
            f"{REPEATED[over[-1]]}."
        )
    if "▼" in text or re.search(r"^[+−].* =", text, re.MULTILINE):
        parts.append("RMSE above the least: paired; ▼ is shown, = is not.")
    if re.search("[↑↓]|% =", text):
        parts.append("Coverage: ↓ too little, ↑ too much, = as stated.")
    return " ".join(parts)


def _title(key: str) -> str:
    return key.split(".")[-1].replace("_", " ")


def _column(scores: pd.DataFrame, keys: list[str], lines: pd.DataFrame, name: str) -> list[Cell]:
    metric = metric_named(name)
    estimates = lines.merge(over_folds(of_metric(scores, name), keys), "left", on=keys)
    means = [Interval(*row) for row in estimates[list(Interval._fields)].to_numpy()]
    texts = [estimate_text(one, metric.form) for one in means]
    if metric.best is not None and np.isfinite(metric.best):
        counts = of_metric(scores, "n").groupby(keys, dropna=False)["value"].sum().reset_index()
        number = lines.merge(counts, "left", on=keys)["value"]
        marks = [_stated(one, metric.best, n) for one, n in zip(means, number, strict=True)]
        texts = [text + mark for text, mark in zip(texts, marks, strict=True)]
    best = _best(estimates["mean"], metric.best, _splits(keys, lines))
    return [Cell(text, j in best) for j, text in enumerate(texts)]


def _best(mean: pd.Series, wanted: float | None, splits: pd.Series) -> set[int]:
    """The lines of each split that are nearest to what is best, where they differ."""
    if wanted is None:
        return set()
    badness = (mean - wanted).abs() if np.isfinite(wanted) else -mean if wanted == MORE else mean
    groups = [part for _, part in badness.dropna().groupby(splits) if part.nunique() > 1]
    return {line for part in groups for line in part.index[part == part.min()]}


def _stated(estimate: Interval, best: float, count: float) -> str:
    """Whether a share is what it should be: by its interval, or of one split by the count alone."""
    if estimate.mean != estimate.mean:
        return ""
    low, high = estimate.low, estimate.high
    if not estimate.known:
        half = 1.96 * np.sqrt(best * (1 - best) / count)
        low, high = estimate.mean - half, estimate.mean + half
    return " =" if low <= best <= high else " ↓" if estimate.mean < best else " ↑"


def _above(rows: pd.DataFrame, keys: list[str], lines: pd.DataFrame) -> list[Cell]:
    """For each line by how much its RMSE is above the least of its split."""
    number = rows.merge(lines.reset_index(names="line"), on=keys)
    parts = {line: part for line, part in number.groupby("line")}
    groups = _splits(keys, lines)
    mean = pd.Series({line: mean_of(part).mean for line, part in parts.items()})
    best = {split: part.idxmin() for split, part in mean.groupby(groups)}
    return [
        Cell(above(parts[line], parts[best[split]]))
        if line in parts and line != best[split]
        else Cell("")
        for line, split in groups.items()
    ]


def _splits(keys: list[str], lines: pd.DataFrame) -> pd.Series:
    """Which lines are of one split, and so have a best among them."""
    split = [key for key in keys if key.startswith(("data", "split."))]
    return lines[split].astype(str).agg(" ".join, axis=1) if split else pd.Series("", lines.index)


def least(tables: Tables) -> tuple[str, str]:
    """The system of least RMSE and that RMSE; of nothing where there is none."""
    rows = of_metric(tables["scores"], "rmse")
    if rows.empty:
        return "", ""
    rows = rows.assign(who=who(tables["scores"]).loc[rows.index])
    estimates = over_folds(rows, ["who", *varying(rows)])
    first = estimates.loc[estimates["mean"].idxmin()]
    settings = [f"{_title(name)} {word(first[name])}" for name in varying(rows)]
    return ", ".join([str(first["who"]), *settings]), estimate_text(
        Interval(*first[list(Interval._fields)])
    )


def comparisons_grid(tables: Tables, every: bool = True) -> Grid | None:
    """Every comparison with its interval, p and verdict, or those to the first reference; None
    where there are none.
    """
    rows = tables.get("comparisons")
    if rows is None or rows.empty:
        return None
    rows = rows if every else rows[rows["reference"] == rows["reference"].iloc[0]]
    within = settings_in(rows)
    header = [
        "metric",
        "arm",
        "reference",
        *(_title(name) for name in within),
        "difference",
        "interval",
        "adjusted p",
        "effect",
        "users",
        "verdict",
    ]
    grid = []
    for row in rows.to_dict("records"):
        words = [heading(row["metric"]), row["arm"], row["reference"]]
        words += [LABELS.get(row[name], word(row[name])) for name in within]
        if row["difference"] != row["difference"]:  # could not be compared
            grid.append([*(Cell(str(one)) for one in [*words, *"–––––"]), Cell(row["verdict"])])
            continue
        p = row["p_adjusted"]
        values = [
            f"{row['difference']:+.4f}",
            f"{row['low']:+.4f} to {row['high']:+.4f}",
            "< 0.001" if p < 0.001 else f"{p:.3f}",
            f"{row['effect']:.2f}",
            f"{row['n']:.0f}",
            f"{MARKS.get(row['verdict'], '')} {row['verdict']}",
        ]
        bold = row["verdict"] == "better"
        cells = [Cell(str(one)) for one in words]
        cells += [
            Cell(value.replace("-", "−") if j < 4 else value) for j, value in enumerate(values[:-1])
        ]
        grid.append([*cells, Cell(values[-1], bold)])
    return Grid(header, grid, 3 + len(within))


def frame_grid(frame: pd.DataFrame) -> Grid:
    """A table of text; its index is words."""
    index = frame.index.to_frame().to_numpy(str)
    rows = [
        [*map(Cell, words), *map(Cell, cells)]
        for words, cells in zip(index, frame.to_numpy(str), strict=True)
    ]
    return Grid([*frame.index.names, *frame.columns], rows, frame.index.nlevels)


def run_ids(tables: Tables) -> Grid:
    """A line per system and setting: the identities of its runs, and which repetition each is."""
    runs = tables["runs"].assign(who=who(tables["runs"]))
    keys = ["who", *varying(runs)]
    over = [name for name in REPLICATES if varies(runs, name)]
    of_run = runs[over].map(word).agg("/".join, axis=1) if over else pd.Series("", runs.index)
    runs["named"] = runs["id"] + (" (" + of_run + ")" if over else "")
    rows = []
    for values, part in runs.groupby(keys, sort=False, dropna=False):
        words = [Cell(word(value)) for value in values]
        rows.append([*words, Cell(", ".join(part["named"]))])
    ids = " ".join(["runs", *([f"({'/'.join(over)})"] if over else [])])
    return Grid(["system", *map(_title, keys[1:]), ids], rows, len(keys) + 1)


def write(tables: Tables, out: Path) -> list[Path]:
    """`scores`, `comparisons` and the figures' numbers as LaTeX and Markdown files."""
    grids = {"scores": scores_grid(tables), "comparisons": comparisons_grid(tables)}
    grids |= {name: frame_grid(frame) for name, frame in numbers(tables).items()}
    written = []
    for name, grid in grids.items():
        for suffix, form in (("tex", latex), ("md", markdown)):
            if grid is not None:
                with replacing(out / f"{name}.{suffix}") as temporary:
                    temporary.write_text(form(grid), encoding="utf8")
                written.append(out / f"{name}.{suffix}")
    return written
