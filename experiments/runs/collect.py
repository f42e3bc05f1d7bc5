"""Run folders to tidy tables, small enough to track.

    runs         id, arm, system, each field of the configuration, tuned.*, error: a line per run;
                 with `unit`, what ratings are counted in, where the configuration says so
    scores       id, metric, value
    trace        id, step, seconds, metric, value: at most 30 steps per run
    calibration  id, nominal, actual, width
    pit          id, low, high, share
    strata       id, by, stratum, n, rmse, ...
    items        id, item_id, title, genres, x, y, popularity: of the first run that has any
    comparisons  what `compare` makes of the errors of each user, where it is given

`experiments.tables.outputs` adds `data`, the lines of `experiments.tables.profile`.

Times are in the column `seconds` of `trace` and in the metrics `*_seconds` of `scores`; everything
else is the same whenever the same runs are made on the same machine.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.config.identity import Point, fields_of
from experiments.config.schema import Experiment
from experiments.runs.folders import IDS, Run, opened
from experiments.runs.tune import SearchResult
from pmf.data.canonical import canonical
from pmf.errors import InputError
from pmf.evaluate.metrics import summed, user_sums
from pmf.evaluate.scores import LEVELS
from pmf.model.stars import stars_of

MOST_STEPS = 30
EACH_RUN = {"calibration": len(LEVELS), "pit": 20}  # rows of a run that has any

Tables = dict[str, pd.DataFrame]
Read = Callable[[Path], pd.DataFrame]
Compare = Callable[[pd.DataFrame], pd.DataFrame]  # `user_errors` to a table of comparisons


def collect(
    experiment: Experiment, points: list[Point], folder: Path, compare: Compare | None = None
) -> Tables:
    """The tables of an experiment from the folder of its runs.

    Raises `InputError` where a run of the grid is missing or not as it was written, or a table does
    not fit the grid.
    """
    missing = [point.id for point in points if not (folder / point.id).exists()]
    if missing:
        raise InputError(
            f"{folder / missing[0]}: {len(missing)} of {len(points)} runs of {experiment.name} are "
            "missing; run it first"
        )
    made = [opened(folder / point.id, "tuned", "error") for point in points]
    runs = pd.DataFrame([_line(*pair) for pair in zip(points, made, strict=True)])
    if experiment.unit:
        runs["unit"] = experiment.unit
    metrics = _stacked(made, "metrics")
    is_end = metrics["split"].isin(["final", "cost"])
    tables = {
        "runs": runs,
        "scores": metrics[is_end][["id", "metric", "value"]],
        "trace": thinned(metrics[~is_end][["id", "step", "seconds", "metric", "value"]]),
        **{name: _stacked(made, name) for name in ("calibration", "pit", "strata")},
    }
    having = [run for run in made if "items.csv" in run.facts["files"]]
    if having:
        tables["items"] = _stacked(having[:1], "items")
    if compare is not None:
        tables["comparisons"] = compare(user_errors(points, made))
    _check(tables, points)
    return {name: table.reset_index(drop=True) for name, table in tables.items()}


def user_errors(points: list[Point], runs: list[Run]) -> pd.DataFrame:
    """Each user's sums of errors in each run, with the run's fields: what pairs of arms share.

    Columns `id`, those of `runs`, `user_id, n` and the sums of `pmf.evaluate.metrics.user_sums`. A
    run that predicted nothing has one line, without a user.
    """
    fields = pd.DataFrame([{"id": point.id, **fields_of(point.config)} for point in points])
    users = _stacked(runs, "users", _user_lines)
    if set(fields["id"]) - set(users["id"]):
        users = users.astype({"user_id": object})  # whole numbers stay whole beside nothing
    return fields.merge(users, "left", "id", validate="one_to_many")


def _user_lines(run: Run, name: str) -> pd.DataFrame | None:
    """A run's users. Sums of metrics that the run is older than are made from its predictions."""
    table = run.table(name)
    if table is None:
        return None
    lacking = set(summed("variance" in run.predicted_columns(), True)) - set(table)
    if not lacking:
        return table
    predicted = run.predictions()
    numbers = (predicted.get(x) for x in ("rating", "mean", "variance"))
    arrays = [None if x is None else x.to_numpy(np.float64) for x in numbers]
    stars = stars_of(arrays[0])
    sums = user_sums(predicted["user_id"].to_numpy(), *arrays, stars)
    known = sorted(lacking & set(sums))
    return table.assign(**{column: sums[column].to_numpy() for column in known})


def _line(point: Point, run: Run) -> dict:
    """A run's line in `runs`."""
    tuned, search = {}, run.facts["tuned"] and SearchResult(**run.facts["tuned"])
    if search:
        tuned = {f"tuned.{name}": value for name, value in search.point.items()}
        tuned |= {"tuned.rmse": search.rmse, "tuned.trials": search.trials}
    return {"id": point.id, **fields_of(point.config), **tuned, "error": run.facts["error"]}


def _stacked(runs: list[Run], name: str, read: Read = Run.table) -> pd.DataFrame:
    """One file of all runs that have it, under one another, `id` first."""
    tables = {run.folder.name: read(run, name) for run in runs}
    parts = {run: table for run, table in tables.items() if table is not None}
    if not parts:
        return pd.DataFrame(columns=["id"])
    table = pd.concat(parts, names=["id"]).reset_index("id")
    for name in IDS & set(table.columns):  # numbers in one run, words in another
        table[name] = canonical(table[name])[0]
    return table


def thinned(trace: pd.DataFrame, most: int = MOST_STEPS) -> pd.DataFrame:
    """Each run's and metric's first and last step, and some between: half of them evenly spaced in
    the logarithm, where a fit moves, and half evenly, where a sampler's mean settles.
    """

    def few(steps: pd.DataFrame) -> pd.DataFrame:
        n, half = len(steps), most // 2
        wanted = np.r_[np.geomspace(1, n, most - half), np.linspace(1, n, half)]
        return steps.iloc[np.unique(np.round(wanted).astype(int)) - 1]

    parts = [few(part) for _, part in trace.groupby(["id", "metric"], sort=False)]
    return pd.concat(parts) if parts else trace


def _check(tables: Tables, points: list[Point]) -> None:
    """Every run in every table that it belongs to, as often as it should be."""
    runs, scores = tables["runs"], tables["scores"]
    if len(runs) != len(points):
        raise InputError(f"runs: {len(runs)} lines instead of {len(points)}")
    whole = set(runs.loc[runs["error"] == "", "id"])
    odd = whole - set(scores["id"]) | set(scores.loc[scores.duplicated(["id", "metric"]), "id"])
    if odd:
        raise InputError(
            f"scores: none, or one twice, of {', '.join(sorted(odd))}; remove it and run again"
        )
    with_density = set(tables["scores"].query("metric == 'log_density'")["id"])
    for name, rows in EACH_RUN.items():
        count = tables[name].groupby("id").size()
        if set(count.index) != with_density or not (count == rows).all():
            raise InputError(f"{name}: not {rows} rows for each of {len(with_density)} runs")
