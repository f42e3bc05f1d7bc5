"""Tables to files: every figure of an experiment as vector PDF and PNG."""

from pathlib import Path

import pandas as pd

from paper_figures import calibration, convergence
from paper_figures.style import style
from pmf.atomic import replacing
from pmf.errors import InputError

FIGURES = {"convergence": convergence, "calibration": calibration}


def build(tables: Path, out: Path) -> list[Path]:
    """Draw every figure from the tables in one folder into another; the paths of the PNGs.

    A figure whose table has no rows, as the calibration of systems without a variance, is left out.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in FIGURES.items():
        table = merged(tables, figure.TABLE)
        if table.empty:
            continue
        with style():
            drawn = figure.plot(table)
            for suffix in ("pdf", "png"):
                with replacing(out / f"{name}.{suffix}") as temporary:
                    drawn.savefig(temporary, format=suffix)
        written.append(out / f"{name}.png")
    return written


def merged(folder: Path, name: str) -> pd.DataFrame:
    """A results table with the configuration of each run: `runs.csv` merged by `id`.

    Raises `InputError` where one of the two is missing.
    """
    for file in ("runs", name):
        if not (folder / f"{file}.csv").is_file():
            raise InputError(
                f"{folder / file}.csv: no such results table; run the experiment first"
            )
    table, runs = (
        pd.read_csv(folder / f"{file}.csv", dtype={"id": str}) for file in (name, "runs")
    )
    return table.merge(runs, on="id", validate="many_to_one")
