"""What a sweep would do, and what configurations there are, in words."""

from collections.abc import Sequence
from pathlib import Path

from experiments.config.identity import Point, searches_of
from experiments.config.schema import Experiment, RunConfig
from experiments.sweeps.estimate import Costs, Estimate
from experiments.sweeps.tasks import Task
from pmf.fitting.phases import duration

WIDTH = 12  # of a configuration's name


def listed(experiment: Experiment, costs: Costs) -> str:
    """A configuration in two lines: how much work it is, and what it asks."""
    runs = list(experiment.runs)
    needed = [run.split.file for run in runs if run.split and run.split.kind == "assigned_folds"]
    data = ", ".join(dict.fromkeys(filter(None, [*(run.data for run in runs), *needed])))
    searches = searches_of(runs)
    work = in_words(runs, searches, costs.estimate(runs, searches))
    return (
        f"{experiment.name:<{WIDTH}} {work}; {data or 'no data'}\n{'':<{WIDTH}} {experiment.about}"
    ).rstrip()


def planned(
    experiment: Experiment, points: list[Point], todo: list[Task], folder: Path, costs: Costs
) -> str:
    """Each run of a grid with its identity and its state, and what there is to do."""
    undone = {task.key for task in todo}
    lines = [
        f"{point.id}  {'to do' if point.id in undone else 'there'}  {point.title}".rstrip()
        for point in points
    ]
    runs, searches = (
        [task.point.config for task in todo if task.is_search == kind] for kind in (False, True)
    )
    work = f"; to do: {in_words(runs, searches, costs.estimate(runs, searches))}" if todo else ""
    counts = f"{len(points):,} runs, {len(points) - len(runs):,} there in {folder}/"
    return "\n".join(
        [*lines, "", *filter(None, [experiment.about]), f"{experiment.name}: {counts}{work}"]
    )


def in_words(runs: Sequence[RunConfig], searches: Sequence[RunConfig], time: Estimate) -> str:
    """So many runs after so many trials, and about how long."""
    words = f"{len(runs):,} runs"
    if searches:
        trials = sum(run.tuning.trials for run in searches if run.tuning)
        words += f" after {len(searches):,} searches ({trials:,} trials)"
    return f"{words}, {_time(time, {run.data for run in (*runs, *searches)})}"


def _time(time: Estimate, data: set[str]) -> str:
    """The estimate; it leaves out reading, splitting, evaluation and drawing."""
    if not time.known:
        return "no like one has been timed"
    part = "" if time.known == time.total else f" for {time.known:,} of {time.total:,}"
    where = "" if set(time.data) <= data else f", as on {', '.join(time.data)}"
    return f"about {duration(time.seconds)} of fitting{part}{where}"
