"""Tables to files: every figure of an experiment as vector PDF and PNG."""

from pathlib import Path

import pandas as pd

from paper_figures import calibration, convergence
from paper_figures.style import style
from pmf.atomic import replacing
from pmf.errors import InputError

FIGURES = {"convergence": convergence, "calibration": calibration}


def build(tables: Path, out: Path) -> list[Path]:
    """Draw every figure from the tables in one folder into another; the paths of the PNGs."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in FIGURES.items():
        source = tables / f"{figure.TABLE}.csv"
        if not source.is_file():
            raise InputError(f"{source}: no such results table; run the experiment first")
        with style():
            drawn = figure.plot(pd.read_csv(source))
            for suffix in ("pdf", "png"):
                with replacing(out / f"{name}.{suffix}") as temporary:
                    drawn.savefig(temporary, format=suffix)
        written.append(out / f"{name}.png")
    return written
