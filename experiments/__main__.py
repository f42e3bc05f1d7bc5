"""`python -m experiments`: run a configuration, collect its tables, list what there is."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments import runs
from experiments.config import Experiment, load
from experiments.table import summary
from paper_figures.build import build
from pmf.cli import plain_app, run_app
from pmf.progress import progress_bar

ROOT = Path(__file__).resolve().parent.parent
FIGURES = Path("paper_figures/out")
RESULTS = ROOT / "experiments" / "results"

app = plain_app("Reproducible experiments: TOML in; run folders, tables and figures out.")

Config = Annotated[Path, typer.Argument(help="A configuration, as configs/quickstart.toml.")]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", help="Another value for a key, as model.rank=32; may be repeated."),
]
RunsFolder = Annotated[Path, typer.Option(help="Where run folders go.")]


@app.command("list")
def list_configs() -> None:
    """The configurations in configs/, and how many runs each has."""
    for path in sorted((ROOT / "configs").glob("*.toml")):
        print(f"configs/{path.name:<24} {len(load(path, []).runs)} runs")


@app.command()
def run(
    config: Config,
    override: Override = None,
    runs_dir: RunsFolder = Path("runs"),
    figures_dir: Annotated[Path, typer.Option(help="Where figures go.")] = FIGURES,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in the middle of a run that was stopped.")
    ] = False,
) -> None:
    """Run every point of the grid that is not there yet; print the table; draw the figures."""
    experiment = load(config, override or [])
    folder = runs_dir / experiment.name
    for number, point in enumerate(experiment.runs, start=1):
        title = f"{experiment.name} {number}/{len(experiment.runs)}:"
        if (folder / point.id).is_dir():
            print(f"{title} {point.id} is there, skipped", file=sys.stderr)
            continue
        with progress_bar(title) as on_step:
            runs.execute(point, folder / point.id, on_step, resume)
    tables = _write_tables(experiment, folder, folder)
    print(summary(tables["scores"]))
    print(f"\nruns      {folder}/\nresults   {folder}/scores.csv")
    for figure in build(folder, figures_dir / experiment.name):
        print(f"figure    {figure}")


@app.command()
def collect(config: Config, override: Override = None, runs_dir: RunsFolder = Path("runs")) -> None:
    """Write an experiment's tables to experiments/results/, where they are tracked."""
    experiment = load(config, override or [])
    folder = RESULTS / experiment.name
    _write_tables(experiment, runs_dir / experiment.name, folder)
    print(f"{len(experiment.runs)} runs collected in {folder}")


def _write_tables(experiment: Experiment, folder: Path, out: Path) -> dict:
    from pmf.data.files import write_table

    tables = runs.collect(experiment, folder)
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, out / f"{name}.csv")
    return tables


if __name__ == "__main__":
    run_app(app)
