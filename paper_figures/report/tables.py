"""Results as tables for a paper: Markdown, LaTeX and HTML from the same cells."""

from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from paper_figures.figures.ablation import settings as apart
from paper_figures.figures.ablation import word
from paper_figures.figures.estimates import FEWEST, LEVEL, over_folds, units
from paper_figures.figures.runs import METHODS, of_metric, varying, who
from pmf.evaluate.metrics import MORE, heading, metric_named, shown_of
from pmf.io.atomic import replacing

Tables = dict[str, pd.DataFrame]


REPEATED = {
    "split.fold": "folds",
    "split.seed": "random splits",
    "model.seed": "seeds of the fit, on one split",
    "model.repeat": "measurements",
}
MARKS = {"better": "▲", "worse": "▼", "no difference shown": "="}


class Cell(NamedTuple):
    text: str
    best: bool = False


class Grid(NamedTuple):
    """A table: the first `words` columns are words, the others numbers; `note` belongs below."""

    header: list[str]
    rows: list[list[Cell]]
    words: int
    note: str = ""


def scores_grid(tables: Tables) -> Grid:
    """A line a system and setting: means over repetitions, the best in bold.

    With ± and half the width of the interval where that says something; the note says over what.
    The best is among the lines of one split. Where there are comparisons, the last column gives
    those of RMSE to the first reference.
    """
    scores = tables["scores"].assign(who=who(tables["scores"]))
    extra = [name for name in varying(scores) if not name.startswith("tuned")]
    always = [] if "model.rank" in extra or "model.rank" not in scores else ["model.rank"]
    keys = ["who", *always, *extra]
    metrics = shown_of(scores["metric"].dropna())
    lines = scores[keys].drop_duplicates().reset_index(drop=True)
    columns = [_column(of_metric(scores, metric), keys, lines, metric) for metric in metrics]
    against = _against(tables, scores, keys, lines)
    header = ["system", *(_title(key) for key in keys[1:]),
              *map(heading, metrics)]  # fmt: skip
    words = lines.map(lambda value: Cell(word(value))).to_numpy().tolist()
    rows = [[*line, *(column[j] for column in columns)] for j, line in enumerate(words)]
    if against is not None:
        header.append(f"RMSE against {tables['comparisons']['reference'].iloc[0]}")
        rows = [[*row, cell] for row, cell in zip(rows, against, strict=True)]
    return Grid(header, rows, len(keys), _note(rows, scores, keys))


def _note(rows: list[list[Cell]], scores: pd.DataFrame, keys: list[str]) -> str:
    """What ± is over, where there is any."""
    if not any("±" in cell.text for row in rows for cell in row):
        return ""
    over = units(scores)
    count = scores.groupby(keys, dropna=False)[over].apply(lambda part: len(part.drop_duplicates()))
    least, most = max(count.min(), FEWEST), count.max()
    many = f"{most}" if least == most else f"{least} to {most}"
    return (
        f"± is half the width of a {100 * LEVEL:g} % t interval over {many} {REPEATED[over[-1]]}."
    )


def _title(key: str) -> str:
    return key.split(".")[-1].replace("_", " ")


def _column(rows: pd.DataFrame, keys: list[str], lines: pd.DataFrame, metric: str) -> list[Cell]:
    column = metric_named(metric)
    found = lines.merge(over_folds(rows, keys), "left", on=keys)
    split = [key for key in keys if key.startswith(("data", "split."))]
    groups = found[split].astype(str).agg(" ".join, axis=1) if split else pd.Series("", found.index)
    best = set()
    if column.best is not None:
        badness = -found["mean"] if column.best == MORE else found["mean"]
        if np.isfinite(column.best):
            badness = (found["mean"] - column.best).abs()
        for _, part in badness.dropna().groupby(groups):
            best |= set(part.index[part == part.min()]) if part.nunique() > 1 else set()
    return [
        Cell(_value(row.mean, row.high, column.form), j in best)
        for j, row in enumerate(found.itertuples())
    ]


def _value(mean: float, high: float, form: str) -> str:
    if mean != mean:
        return "–"
    half = form.format(high - mean) if high == high else ""
    half = f" ± {half}" if half.strip("0.%") else ""  # none where all repetitions agree
    return (form.format(mean) + half).replace("-", "−")


def _against(
    tables: Tables, scores: pd.DataFrame, keys: list[str], lines: pd.DataFrame
) -> list[Cell] | None:
    """For each line its difference to the first reference, and the verdict's mark."""
    if not len(tables.get("comparisons", ())):
        return None
    rows = of_metric(tables["comparisons"], "rmse")
    rows = rows[rows["reference"] == tables["comparisons"]["reference"].iloc[0]]
    if rows.empty:
        return None
    within = apart(rows)
    named = scores.drop_duplicates([*keys, "arm", *within])[[*keys, "arm", *within]]
    named = named.loc[:, ~named.columns.duplicated()].drop_duplicates(keys)
    columns = ["arm", *within, "difference", "verdict"]
    joined = lines.merge(named, "left", on=keys).merge(rows[columns], "left", on=["arm", *within])
    return [
        Cell(f"{row.difference:+.4f} {MARKS.get(row.verdict, '')}".replace("-", "−"))
        if row.difference == row.difference
        else Cell("")
        for row in joined.itertuples()
    ]


def comparisons_grid(tables: Tables) -> Grid | None:
    """Every comparison with its interval, p and verdict; None where there are none."""
    rows = tables.get("comparisons")
    if rows is None or rows.empty:
        return None
    within = apart(rows)
    header = ["metric", "arm", "reference", *(_title(name) for name in within), "difference",
              "interval", "adjusted p", "effect", "users", "verdict"]  # fmt: skip
    grid = []
    for row in rows.to_dict("records"):
        words = [row["metric"], row["arm"], row["reference"]]
        words += [METHODS.get(row[name], word(row[name])) for name in within]
        p = row["p_adjusted"]
        values = [f"{row['difference']:+.4f}", f"{row['low']:+.4f} to {row['high']:+.4f}",
                  "< 0.001" if p < 0.001 else f"{p:.3f}", f"{row['effect']:.2f}", f"{row['n']:.0f}",
                  f"{MARKS.get(row['verdict'], '')} {row['verdict']}"]  # fmt: skip
        bold = row["verdict"] == "better"
        cells = [Cell(str(one)) for one in words]
        cells += [Cell(value.replace("-", "−") if j < 4 else value) for j, value in
                  enumerate(values[:-1])]  # fmt: skip
        grid.append([*cells, Cell(values[-1], bold)])
    return Grid(header, grid, 3 + len(within))


def run_ids(tables: Tables) -> Grid:
    """A line a system and setting: the identities of its runs."""
    runs = tables["runs"].assign(who=who(tables["runs"]))
    keys = ["who", *varying(runs)]
    rows = []
    for values, part in runs.groupby(keys, sort=False, dropna=False):
        words = [Cell(word(value)) for value in values]
        rows.append([*words, Cell(", ".join(part["id"]))])
    return Grid(["system", *map(_title, keys[1:]), "runs"], rows, len(keys) + 1)


def markdown(grid: Grid) -> str:
    """A pipe table, and its note below."""
    rule = ["---" if j < grid.words else "---:" for j in range(len(grid.header))]
    lines = [grid.header, rule]
    for row in grid.rows:
        lines.append([f"**{cell.text}**" if cell.best else cell.text for cell in row])
    note = f"\n{grid.note}\n" if grid.note else ""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + note


TEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$",
       "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
       "−": "$-$", "±": r"$\pm$", "–": "--", "▲": r"$\blacktriangle$",
       "▼": r"$\blacktriangledown$", "<": "$<$", ">": "$>$"}  # fmt: skip


PACKAGES = {"booktabs": r"\toprule", "amssymb": r"\blacktriangle"}  # and a command of each


def latex(grid: Grid) -> str:
    """A `tabular`, with comments on top that say which packages it needs, and the note."""

    def line(cells: list[Cell]) -> str:
        texts = ["".join(TEX.get(letter, letter) for letter in cell.text) for cell in cells]
        bold = [rf"\textbf{{{x}}}" if c.best else x for x, c in zip(texts, cells, strict=True)]
        return " & ".join(bold) + r" \\"

    kinds = "l" * grid.words + "r" * (len(grid.header) - grid.words)
    head = line([Cell(title) for title in grid.header])
    rows = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", head, r"\midrule"]
    rows += [*map(line, grid.rows), r"\bottomrule", r"\end{tabular}"]
    table = "\n".join(rows) + "\n"
    needed = [package for package, command in PACKAGES.items() if command in table]
    comments = [f"needs \\usepackage{{{', '.join(needed)}}}", *filter(None, [grid.note])]
    return "".join(f"% {comment}\n" for comment in comments) + table


def html(grid: Grid) -> str:
    """A `table`, escaped, and its note below."""

    def line(cells: list[Cell], tag: str) -> str:
        parts = []
        for j, cell in enumerate(cells):
            kind = "" if j < grid.words else ' class="number"'
            value, _, half = escape(cell.text).partition(" ± ")
            inside = f"<b>{value}</b>" if cell.best else value
            inside += f" <small>± {half}</small>" if half else ""
            parts.append(f"<{tag}{kind}>{inside}</{tag}>")
        return f"<tr>{''.join(parts)}</tr>"

    head = line([Cell(title) for title in grid.header], "th")
    body = "\n".join(line(row, "td") for row in grid.rows)
    note = f'\n<p class="note">{escape(grid.note)}</p>' if grid.note else ""
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>{note}"


def write(tables: Tables, out: Path) -> list[Path]:
    """`scores` and, where there are any, `comparisons` as LaTeX and Markdown files."""
    grids = {"scores": scores_grid(tables), "comparisons": comparisons_grid(tables)}
    written = []
    for name, grid in grids.items():
        for suffix, form in (("tex", latex), ("md", markdown)):
            if grid is not None:
                with replacing(out / f"{name}.{suffix}") as temporary:
                    temporary.write_text(form(grid), encoding="utf8")
                written.append(out / f"{name}.{suffix}")
    return written
