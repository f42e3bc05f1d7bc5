"""An experiment's tables, figures and LaTeX, in one folder, which loses no run unasked."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from experiments.config.identity import Point
from experiments.config.schema import Experiment
from experiments.runs.collect import Tables, collect
from experiments.tables.comparisons import comparisons
from pmf.data.readers.files import write_table
from pmf.errors import InputError

SHOWN = 3  # runs that a message names


def members(
    points: list[Point], whole: Callable[[], list[Point]], out: Path, runs: Path
) -> list[Point]:
    """The runs that the tables in `out` are to hold, once these are made.

    They are those asked for. Where the tables hold others, all of them stay if they are of one
    grid: `whole`, the configuration's own without overrides, in its order. Raises `InputError`
    where they are not, or a run's folder is gone: the tables would lose runs, or mix grids.
    """
    held, asked = _held(out), {point.id for point in points}
    if not held - asked:
        return points
    both = [
        point
        for point in whole()
        if point.id in asked or (point.id in held and (runs / point.id).is_dir())
    ]
    lost = (held | asked) - {point.id for point in both}
    if not lost:
        return both
    gone = sorted(held - asked)
    few = ", ".join(gone[:SHOWN]) + ", ..." * (len(gone) > SHOWN)
    raise InputError(
        f"{out}: its tables hold {len(gone)} runs that are not of this grid ({few}); choose "
        "another --runs-dir, or say --replace, which leaves the runs themselves"
    )


def _held(out: Path) -> set[str]:
    """The runs in the tables of a folder."""
    path = out / "runs.csv"
    if not path.is_file():
        return set()
    try:
        return set(pd.read_csv(path, usecols=["id"], dtype=str)["id"])
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it and run again") from error


def write_tables(experiment: Experiment, points: list[Point], runs: Path, out: Path) -> Tables:
    """The tables of these runs from their folders, as CSV files; and as they are."""
    chosen = experiment.comparison
    compare = partial(comparisons, config=chosen) if chosen else None
    tables = collect(experiment, points, runs, compare)
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, out / f"{name}.csv")
    return tables


def draw(out: Path, figures: Path | None) -> list[Path]:
    """Figures from the tables in `out`, where a place for them is given, and LaTeX and Markdown."""
    from paper_figures.figures.build import build, read
    from paper_figures.report.tables import write

    return [*(build(out, figures) if figures else []), *write(read(out), out)]
