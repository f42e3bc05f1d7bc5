"""An experiment's tables, figures and LaTeX, in one folder, which loses no run unasked."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from experiments.config.identity import Point
from experiments.config.schema import Experiment
from experiments.runs.collect import Tables, collect
from experiments.runs.folders import facts_of
from experiments.tables.comparisons import comparisons
from experiments.tables.profile import profiles
from paper_figures.figures.sources import SOURCES, read_sources, write_sources
from pmf.data.readers.files import write_tables as write_files
from pmf.errors import InputError
from pmf.io.sealed_json import SEAL, Facts

WRITTEN = (".csv", ".png", ".pdf", ".tex", ".md")
SURROUNDINGS = ("git_commit", "python", "versions", "machine", "cores")  # of a manifest's facts
SHOWN = 3  # runs that a message names


def members(
    points: list[Point], whole: Callable[[], list[Point]], out: Path, runs: Path
) -> list[Point]:
    """The runs that the tables in `out` are to hold, once these are made.

    They are those asked for. Where the tables hold others, all of them stay if they are of one
    grid: `whole`, the configuration's own without overrides, in its order. Raises `InputError`
    where they are not, or a run's folder is gone: the tables would lose runs, or mix grids.
    """
    collected, wanted = _held(out), {point.id for point in points}
    if not collected - wanted:
        return points
    both = [
        point
        for point in whole()
        if point.id in wanted or (point.id in collected and (runs / point.id).is_dir())
    ]
    lost = (collected | wanted) - {point.id for point in both}
    if not lost:
        return both
    gone = sorted(collected - wanted)
    few = ", ".join(gone[:SHOWN]) + ", ..." * (len(gone) > SHOWN)
    raise InputError(
        f"{out}: its tables hold {len(gone)} runs that are not of this grid ({few}); choose "
        "another --runs-dir, or say --replace, which leaves the runs themselves"
    )


def _held(out: Path) -> set[str]:
    """The runs in the tables of a folder."""
    if (sources := read_sources(out)) is not None:
        return set(sources["runs"])
    path = out / "runs.csv"
    if not path.exists():
        _check_empty(out)
        return set()
    try:
        return set(pd.read_csv(path, usecols=["id"], dtype=str)["id"])
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it and run again") from error


def _check_empty(out: Path) -> None:
    """Raise `InputError` where a folder without tables of runs has what they could replace."""
    for path in sorted(out.glob("[!.]*.*")):
        if path.suffix in WRITTEN:
            raise InputError(
                f"{path}: not of this experiment, whose tables and figures go there; move it away, "
                "or choose another --runs-dir"
            )


def write_tables(experiment: Experiment, points: list[Point], runs: Path, out: Path) -> Tables:
    """The tables of these runs from their folders, as CSV files; and as they are.

    The folder `out` is there, and no other process writes to it.
    """
    chosen = experiment.comparison
    compare = partial(comparisons, config=chosen) if chosen else None
    tables = collect(experiment, points, runs, compare)
    if len(data := profiles(point.config for point in points)):
        tables["data"] = data
    files = {out / f"{name}.csv": table for name, table in tables.items()}
    (out / SOURCES).unlink(missing_ok=True)  # a kill leaves tables that nothing is said of
    write_files(files)
    facts = {point.id: facts_of(runs / point.id) for point in points}
    seals = {run: one[SEAL] for run, one in facts.items()}
    write_sources(out, seals, [*files], made(facts.values()))
    return tables


def made(runs: Iterable[Facts]) -> list[Facts]:
    """For each surroundings of runs how many there are, and when the first and the last ended."""
    groups: dict[str, list[Facts]] = {}
    for run in runs:
        same = {name: run[name] for name in SURROUNDINGS if name in run}
        groups.setdefault(json.dumps(same, sort_keys=True), []).append(run)
    lines = []
    for key, part in groups.items():
        days = sorted(run["finished"] for run in part if "finished" in run)
        lines.append(json.loads(key) | {"runs": len(part), "finished": [*days[:1], *days[-1:]]})
    return lines


def draw(out: Path, figures: Path | None) -> list[Path]:
    """Figures from the tables in `out`, where a place for them is given, and LaTeX and Markdown."""
    from paper_figures.figures.build import build, read
    from paper_figures.report.tables import write

    return [*(build(out, figures) if figures else []), *write(read(out), out)]
