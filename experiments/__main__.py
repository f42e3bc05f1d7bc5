"""`python -m experiments`: configurations to runs, tables and figures; and runs made again."""

from pmf.cli.start import start

if __name__ == "__main__":
    start()  # signals are heard before anything heavy is imported

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmf.cli.console import plain_app, run_app
from pmf.errors import InputError
from pmf.process.limits import check_memory

if TYPE_CHECKING:
    from experiments.config.identity import Point
    from experiments.config.schema import Experiment
    from experiments.sweeps.tasks import Failure, Task

# The heavy modules are imported inside the commands, so that --help answers at once.

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
SHOWN = {".png": "figure", ".tex": "LaTeX"}  # of what is written, beside the CSV

app = plain_app(
    "Reproducible experiments: TOML in; run folders, tables and figures out.\n\n"
    "A run is known by the hash of its configuration and its data. What is finished is skipped, "
    "and what was interrupted (Ctrl-C, kill -9, a power cut) goes on with --resume, with the same "
    "numbers as if it had never stopped."
)

EXAMPLES = """\b
Examples:
  python -m experiments run ablation --dry-run
  python -m experiments run ablation --set data=ml-small-2016 --jobs 2
  python -m experiments run ablation --jobs 2 --resume        after an interruption
  python -m experiments run ablation --cluster slurm --jobs 50 --cluster-set slurm_partition=cpu
"""

Config = Annotated[
    Path, typer.Argument(help="A configuration: configs/ablation.toml, or ablation.")
]
Override = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Another value for a key: model.rank=32, model.rank=[8,16], data=ml-small-2016, "
        "arm.Gibbs.burn_in=50. May be repeated.",
    ),
]
RunsFolder = Annotated[Path, typer.Option(help="Folder of the runs and their tables.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace the tables of another grid.")]


@app.command("list", short_help="The configurations that there are.")
def list_configs() -> None:
    """The configurations in configs/: their runs, trials, time and data, and what they ask.

    Times are those of the fits of like runs in experiments/results/, one after another.
    """
    from experiments.config.files import CONFIGS, load_experiment
    from experiments.sweeps.estimate import Costs
    from experiments.sweeps.plan import listed

    for path in sorted(CONFIGS.glob("*.toml")):
        print(listed(load_experiment(path, []), Costs([RESULTS / path.stem])))


@app.command(short_help="Run a grid; print its table.", epilog=EXAMPLES)
def run(
    config: Config,
    override: Override = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Worker processes, each with its share of the cores.")
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume interrupted runs from their checkpoints.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List finished runs, runs to do, and the estimated time."),
    ] = False,
    replace: Replace = False,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Draw no figures.")] = False,
    runs_dir: RunsFolder = Path("runs"),
    figures_dir: Annotated[
        Path | None, typer.Option(help="Folder of the figures, instead of beside the tables.")
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Minutes between checkpoints of a run.")
    ] = 5.0,
    cluster: Annotated[
        str | None,
        typer.Option(help="Submit cluster jobs, --jobs at a time: slurm or local."),
    ] = None,
    cluster_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="For submitit: slurm_partition=gpu, timeout_min=120. May be repeated.",
        ),
    ] = None,
) -> int:
    """Run every point of the grid that is not there yet; print the table; draw the figures.

    Runs, tables, figures and LaTeX go to runs/CONFIG/. Runs that the tables hold already stay in
    them if they are of the same configuration; other tables are replaced with --replace only.

    A run that fails does not end the others: they are listed at the end, and the exit code is 1.
    Finished runs and finished trials of a search are never done again.
    """
    check_memory()
    from experiments.config.identity import identify
    from experiments.runs.folders import in_turn, make
    from experiments.sweeps import tasks as work
    from experiments.sweeps.estimate import Costs
    from experiments.sweeps.plan import planned

    experiment = _loaded(config, override)
    points = identify(experiment)
    folder = runs_dir / experiment.name
    todo = work.tasks_of(points, folder)
    if dry_run:
        print(planned(experiment, points, todo, folder, Costs([RESULTS / experiment.name, folder])))
    if not replace:
        _members(config, override, points, folder, folder)  # refuses before the work
    if dry_run:
        return 0
    options = work.Options(folder, resume, checkpoint_minutes)
    work.check_resumable(todo, options)
    make(folder)
    finished = len(points) - sum(not task.is_search for task in todo)
    if finished:
        print(f"{experiment.name}: {finished} of {len(points)} runs are there", file=sys.stderr)
    failures = _sweep(experiment.name, todo, options, jobs, cluster, cluster_set or [])
    if failures:
        return _report(failures, len(points))
    figures = figures_dir / experiment.name if figures_dir else folder
    with in_turn(folder):
        members = points if replace else _members(config, override, points, folder, folder)
        if len(members) > len(points):
            others = f"{len(members) - len(points)} runs that they held before"
            print(f"{folder}: its tables keep {others}", file=sys.stderr)
        _show(experiment, members, folder, None if no_figures else figures)
    return 0


def _loaded(config: Path, override: list[str] | None) -> "Experiment":
    from experiments.config.files import find, load_experiment

    return load_experiment(find(config), override or [])


def _members(
    config: Path, override: list[str] | None, points: "list[Point]", out: Path, runs: Path
) -> "list[Point]":
    """The runs that the tables in `out` are to hold."""
    from experiments.config.identity import identify
    from experiments.tables.outputs import members

    whole = partial(identify, _loaded(config, None)) if override else lambda: points
    return members(points, whole, out, runs)


def _sweep(
    name: str, todo: "list[Task]", options, jobs: int, kind: str | None, parameters: list[str]
) -> "list[Failure]":
    from experiments.config import inputs
    from experiments.sweeps.display import display
    from experiments.sweeps.sweep import sweep_here, sweep_in

    if parameters and kind is None:
        raise InputError("--cluster-set needs --cluster")
    with display(name, todo, jobs) as show:
        if kind is not None:
            from experiments.sweeps.cluster import cluster

            slots = cluster(kind, parameters, options)
        elif jobs > 1 and todo:  # a worker even for one: a run goes on with as many cores only
            from experiments.sweeps.pool import pool

            slots = pool(jobs, options, show)
        else:
            return sweep_here(todo, options, show)
        inputs.dataset.cache_clear()  # the workers have their own
        return sweep_in(slots, jobs, todo, show)


def _report(failures: "list[Failure]", total: int) -> int:
    """Say what failed; the exit code."""
    for failure in failures:
        if failure.details:
            print(failure.details, file=sys.stderr)
    print(f"\n{len(failures)} failed of a grid of {total} runs:", file=sys.stderr)
    for failure in failures:
        print(f"  {failure.title}: {failure.message}", file=sys.stderr)
    print("What is finished is kept: fix the cause and repeat the command.", file=sys.stderr)
    return 1


def _show(
    experiment: "Experiment", points: "list[Point]", folder: Path, figures: Path | None
) -> None:
    from experiments.tables.outputs import draw, write_tables
    from experiments.tables.summary import summary, verdicts

    tables = write_tables(experiment, points, folder, folder)
    print(summary(tables["runs"], tables["scores"]))
    if experiment.comparison is not None:
        chosen = experiment.comparison
        print(f"\n{verdicts(tables['comparisons'], chosen.references, chosen.metrics)}")
    print(f"\nruns      {folder}/\nresults   {folder}/scores.csv")
    for path in draw(folder, figures):
        if path.suffix in SHOWN:
            print(f"{SHOWN[path.suffix]:<9} {path}")
    if figures is not None:
        from paper_figures.figures.build import left_out, read

        for name, reason in left_out(read(folder)).items():
            print(f"no figure {name}: {reason}")


@app.command(short_help="Write the tracked tables.")
def collect(
    config: Config,
    override: Override = None,
    runs_dir: RunsFolder = Path("runs"),
    replace: Replace = False,
) -> None:
    """Write an experiment's tables to experiments/results/, where they are tracked."""
    from experiments.config.identity import identify
    from experiments.runs.folders import in_turn, make
    from experiments.tables.outputs import write_tables

    experiment = _loaded(config, override)
    points, folder = identify(experiment), RESULTS / experiment.name
    runs = runs_dir / experiment.name
    make(folder)
    with in_turn(folder):
        members = points if replace else _members(config, override, points, folder, runs)
        write_tables(experiment, members, runs, folder)
    print(f"{len(members)} runs collected in {folder}")


@app.command(short_help="Make a run again and compare.")
def reproduce(
    run_id: Annotated[str, typer.Argument(help="A run's identity, or the beginning of it.")],
    runs_dir: RunsFolder = Path("runs"),
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Allowed difference, instead of 0 here and 1e-5 elsewhere."),
    ] = None,
) -> int:
    """Make a finished run again from its folder alone, and compare every score and prediction.

    On the machine, versions and code that made it the same bits are expected; otherwise what has
    changed is named, and differences of up to 1e-5 are allowed. The exit code is 1 for more.
    """
    check_memory()
    from experiments.runs import cores, folders

    folder = folders.find_run(runs_dir, run_id)
    recorded = folders.opened(folder, "cores").facts
    with cores.narrowed(cores.available()[: recorded["cores"]]):  # before they are counted
        from experiments.runs import reproduce as again
        from pmf.fitting.progress import progress_bar

        with progress_bar(folder.name) as on_step:
            verdict = again.reproduce(folder, on_step, tolerance)
    print(again.text(verdict))
    return int(bool(verdict.failed))


@app.command(short_help="Remove what was left behind.")
def clean(
    runs_dir: RunsFolder = Path("runs"),
    runs: Annotated[
        str | None, typer.Option(metavar="NAME", help="Remove this whole experiment, runs and all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove what interrupted sweeps left: checkpoints, unfinished runs and searches, locks.

    Nothing that a process works on is touched, nor any finished run, except with --runs. What has
    a name of this program but holds anything else is left, and said.
    """
    from experiments.runs import leftovers

    if runs is not None:
        things = leftovers.whole_experiment(runs_dir, runs)
        if not yes and not typer.confirm(f"Remove {runs_dir / runs}/ with all its runs?"):
            raise typer.Abort
    else:
        things = leftovers.leftovers(runs_dir)
    leftovers.remove(things.ours)
    removed = [thing.path for thing in things.ours if not thing.path.exists()]
    for path in removed:
        print(f"removed {path}")
    for path in things.left:
        print(f"left {path}: it is not, or not all, of this program")
    print(f"{len(removed)} removed" if removed else f"nothing to remove in {runs_dir}/")


if __name__ == "__main__":
    run_app(app)
