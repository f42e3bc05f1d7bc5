"""`python -m paper_figures`: draw all figures from the tracked results tables."""

from pathlib import Path
from typing import Annotated

import typer

from paper_figures.build import build
from pmf.cli import run_app
from pmf.errors import InputError

ROOT = Path(__file__).resolve().parent.parent

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    results: Annotated[Path, typer.Option(help="A folder of results tables.")] = ROOT
    / "experiments"
    / "results",
    out: Annotated[Path, typer.Option(help="Where figures go.")] = Path("paper_figures/out"),
) -> None:
    """Draw every figure of every experiment in a results folder, without rerunning anything."""
    folders = sorted(path.parent for path in results.glob("*/scores.csv"))
    if not folders:
        raise InputError(f"{results}: no results tables; run and collect an experiment first")
    for folder in folders:
        for figure in build(folder, out / folder.name):
            print(figure)


if __name__ == "__main__":
    run_app(app)
