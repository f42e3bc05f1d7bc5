"""Tables to files: every figure that an experiment's tables support, as vector PDF and PNG."""

from pathlib import Path
from types import ModuleType

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures import (
    ablation,
    calibration,
    coldstart,
    content,
    convergence,
    factor_map,
    histories,
    learning,
    long_tails,
    pit,
    priors,
    rank,
    recovered,
    rivals,
    scaling,
    strata,
    temporal,
    variance,
)
from paper_figures.figures.runs import text, unit, units
from paper_figures.figures.sources import tables_in
from paper_figures.figures.style import style
from pmf.errors import InputError
from pmf.io.atomic import replacing

# Each has TABLE, TITLE, CAPTION, `suits(table)`, which says whether the table is one for it, and
# `plot(table)`; some `why_not(table)`, the reason why a table that seems to be one is none, or
# nothing, or `numbers(table)`, a table of text whose index says of what. In a report's order.
FIGURES: dict[str, ModuleType] = {
    "long_tails": long_tails,
    "rivals": rivals,
    "rank": rank,
    "ablation": ablation,
    "variance": variance,
    "recovered": recovered,
    "histories": histories,
    "learning": learning,
    "coldstart": coldstart,
    "priors": priors,
    "temporal": temporal,
    "content": content,
    "scaling": scaling,
    "convergence": convergence,
    "calibration": calibration,
    "pit": pit,
    "strata": strata,
    "factor_map": factor_map,
}

Tables = dict[str, pd.DataFrame]
AGAIN = "run or collect the experiment again"


def read(folder: Path) -> Tables:
    """The tables of an experiment by name, each merged with `runs` where it has an `id`.

    A run that broke has a line in `scores` without a metric. Each line says in `unit` what ratings
    are counted in. Raises `InputError` where `runs` or `scores` is missing, or a table is not what
    was written beside its `sources.json`.
    """
    for name in ("runs", "scores"):
        if not (folder / f"{name}.csv").is_file():
            raise InputError(
                f"{folder / name}.csv: no such results table; run and collect the experiment first"
            )
    raw = {path.stem: _read(path) for path in tables_in(folder)}
    _check(folder, raw["runs"], raw["scores"])
    runs = raw["runs"] = raw["runs"].assign(unit=lambda runs: units(runs))
    broken = runs.loc[text(runs, "error") != "", ["id"]]
    raw["scores"] = pd.concat([raw["scores"], broken], ignore_index=True)
    return {
        name: table if name == "runs" else _with_runs(table, runs) for name, table in raw.items()
    }


def _check(folder: Path, runs: pd.DataFrame, scores: pd.DataFrame) -> None:
    """Raise `InputError` where runs or scores lack what every figure and table is made of."""
    wanted = {"runs.csv": (runs, ["id"]), "scores.csv": (scores, ["id", "metric", "value"])}
    for name, (table, columns) in wanted.items():
        if missing := [column for column in columns if column not in table]:
            raise InputError(f"{folder / name}: no column {', '.join(missing)}; {AGAIN}")
    faults = [
        ("runs.csv", "it has no rows", runs.empty),
        ("runs.csv", "a run is in it twice", runs["id"].duplicated().any()),
        ("scores.csv", "a value is no number", scores["value"].dtype.kind not in "fiu"),
        ("scores.csv", "it has a run that runs.csv lacks", not scores["id"].isin(runs["id"]).all()),
    ]
    for name, fault, is_there in faults:
        if is_there:
            raise InputError(f"{folder / name}: {fault}; {AGAIN}")


def _with_runs(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    if "id" in table:
        return table.merge(runs, on="id", validate="many_to_one")
    return table.assign(unit=unit(runs))


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"id": str, "stratum": str, "item_id": str})
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}); collect it again") from error


def suiting(tables: Tables) -> dict[str, ModuleType]:
    """The figures that there is something for in the tables."""
    return {
        name: figure
        for name, figure in FIGURES.items()
        if figure.TABLE in tables and figure.suits(tables[figure.TABLE])
    }


def numbers(tables: Tables) -> dict[str, pd.DataFrame]:
    """The small tables that belong to figures, by the figures' names."""
    return {
        name: figure.numbers(tables[figure.TABLE])
        for name, figure in suiting(tables).items()
        if hasattr(figure, "numbers")
    }


def once_each(experiments: dict[str, Tables]) -> dict[str, Tables]:
    """For a page of several experiments: what is of a data set alone, once, where it comes first.

    That are its profile, and the map of its items, which is much the same in all of them.
    """
    seen, by_experiment = set(), {}
    for name, tables in experiments.items():
        data = text(tables["runs"], "data").iloc[0]
        again = {key for key in ("items", "data") if (key, data) in seen}
        by_experiment[name] = {key: x for key, x in tables.items() if key not in again}
        seen |= {(key, data) for key in ("items", "data") if key in tables}
    return by_experiment


def left_out(tables: Tables) -> dict[str, str]:
    """Figures that somebody may expect of the tables and that are not drawn, and why."""
    reasons = {
        name: figure.why_not(tables[figure.TABLE])
        for name, figure in FIGURES.items()
        if figure.TABLE in tables and hasattr(figure, "why_not")
    }
    return {name: reason for name, reason in reasons.items() if reason}


def draw(tables: Tables, figure: ModuleType) -> Figure:
    """One figure in the one style. Raises `InputError` where its table has no rows."""
    with style():
        return figure.plot(tables[figure.TABLE])


def build(folder: Path, out: Path) -> list[Path]:
    """Draw every figure from the tables in one folder into another; the paths of the PNGs."""
    tables = read(folder)
    out.mkdir(parents=True, exist_ok=True)
    return [
        save(draw(tables, figure), out / f"{name}.png", also_pdf=True)
        for name, figure in suiting(tables).items()
    ]


def save(figure: Figure, path: Path, also_pdf: bool = False, dpi: int = 300) -> Path:
    """Write a figure as PNG, and as PDF beside it."""
    with style():
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})
        if also_pdf:
            with replacing(path.with_suffix(".pdf")) as temporary:
                figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})
    return path
