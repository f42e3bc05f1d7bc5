"""One run: a resolved configuration to a run folder.

A run folder holds `config.json`, `manifest.json`, which has the sha256 of every other file, and
`metrics.csv` (step, seconds, split, metric, value); where the system predicts also
`predictions.parquet`, `users.csv` and `strata.csv`, and where it gives a variance `calibration.csv`
and `pit.csv`; of factors, `items.csv`. It is written beside its place and renamed: a folder that is
there is whole. While it runs, checkpoints lie in a hidden folder beside that place.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel

from experiments.config.identity import Point
from experiments.config.inputs import dataset, split_data
from experiments.config.schema import RunConfig
from experiments.runs.folders import (
    PREDICTIONS,
    appearing,
    checkpoints_of,
    make,
    only_one,
    write_manifest,
)
from experiments.runs.manifest import manifest
from experiments.runs.tune import SearchResult
from experiments.systems.base import TRACE, OnStep, Outcome
from experiments.systems.registry import system_named
from pmf.data.splits import Split
from pmf.estimators.notices import UnknownIdWarning
from pmf.evaluate.report import Report, evaluate
from pmf.fitting.checkpoint import Checkpoints, holds_checkpoints, remove_checkpoints


def execute(
    point: Point,
    folder: Path,
    on_step: OnStep,
    resume: bool = False,
    tuned: SearchResult | None = None,
    every_minutes: float = 5.0,
) -> None:
    """Fit, evaluate and write one run folder. A failure leaves none.

    A run that was stopped leaves checkpoints; `resume` goes on from them, if there are any. They
    are removed once the run folder is written. `tuned` is what the search found that the run
    waited for. Nothing is done where another process has written the folder meanwhile; raises
    `Busy` where one is about to.
    """
    make(folder.parent)
    working = checkpoints_of(folder)
    with only_one(folder):
        if folder.exists():
            return
        try:
            checkpoints = Checkpoints(working, every_minutes=every_minutes, resume=resume)
            split, outcome = predict(point, on_step, tuned, checkpoints)
            with appearing(folder) as temporary:
                _write(temporary, point, tuned, split, outcome)
        finally:
            if folder.is_dir() or not holds_checkpoints(working):
                remove_checkpoints(working)


def predict(
    point: Point,
    on_step: OnStep,
    tuned: SearchResult | None,
    checkpoints: Checkpoints | None = None,
) -> tuple[Split | None, Outcome]:
    """A run's split, and what its system did with it; None where it reads no data."""
    config = point.config
    if config.split is None:
        system = system_named(config.system)
        return None, system.fit_and_predict(config.model, None, None, on_step, checkpoints)
    data = dataset(config.data, config.reading)
    split = split_data(data.ratings, config.split)
    settings = settings_of(point, split, tuned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownIdWarning)  # counted among the scores
        outcome = system_named(config.system).fit_and_predict(
            settings, split, data, on_step, checkpoints
        )
    if tuned is not None:
        compiling = outcome.costs.get("compile_seconds", 0.0) + tuned.compile_seconds
        search = {"search_seconds": tuned.seconds, "compile_seconds": compiling}
        outcome = outcome._replace(costs=outcome.costs | search)
    return split, outcome


def settings_of(point: Point, split: Split, tuned: SearchResult | None) -> BaseModel:
    """The run's settings, with what a search found filled in."""
    model = point.config.model
    if tuned is None:
        return model
    rmse = tuned.rmse if np.isfinite(tuned.rmse) else None
    return system_named(point.config.system).tuned(model, tuned.point, split.train, rmse)


def scored(config: RunConfig, split: Split | None, outcome: Outcome) -> Report | None:
    """The one evaluation that every system goes through; None where nothing was predicted."""
    if split is None or outcome.mean is None:
        return None
    users, items = (_training_count(split, side) for side in ("user_id", "item_id"))
    report = evaluate(split.test, outcome.mean, outcome.variance, users, items, outcome.noise)
    if config.ranking is None or outcome.rank is None:
        return report
    ranking = outcome.rank(split.test, split.train, config.ranking.k, config.ranking.relevant)
    return report._replace(
        scores=report.scores | ranking.scores,
        users=report.users.merge(ranking.users.drop(columns="relevant"), "left", "user_id"),
    )


def _training_count(split: Split, side: str) -> np.ndarray:
    """For each test rating, how many training ratings its user or item has."""
    count = split.train[side].value_counts()
    return count.reindex(split.test[side], fill_value=0).to_numpy()


def _write(
    folder: Path, point: Point, tuned: SearchResult | None, split: Split | None, outcome: Outcome
) -> None:
    report = scored(point.config, split, outcome)
    config = json.dumps(point.config.model_dump(mode="json"), indent=2)
    (folder / "config.json").write_text(config)
    metrics(outcome, report).to_csv(folder / "metrics.csv", index=False)
    if report is not None:
        predictions = folder / PREDICTIONS
        report.predictions.to_parquet(predictions, index=False, write_page_checksum=True)
        for name, table in tables_of(report).items():
            table.to_csv(folder / f"{name}.csv", index=False)
    if outcome.items is not None:
        outcome.items.to_csv(folder / "items.csv", index=False)
    facts = {
        "tuned": tuned and tuned._asdict(),
        "noise": outcome.noise,
        "error": outcome.error,
    }
    # The last file: it seals the others.
    write_manifest(folder, outcome.facts | outcome.costs | manifest(point, split) | facts)


def tables_of(report: Report) -> dict[str, pd.DataFrame]:
    """A report's tables by the names of their files; a calibration only where there is one."""
    by = {"user history": report.by_user_history, "item popularity": report.by_item_popularity}
    strata = pd.concat(by, names=["by"]).reset_index("by")
    tables = {"users": report.users, "strata": strata}
    if len(report.calibration):
        tables |= {"calibration": report.calibration, "pit": report.pit}
    return tables


def metrics(outcome: Outcome, report: Report | None) -> pd.DataFrame:
    """What was watched at each step, then the final scores and the costs."""
    trace = outcome.trace
    step, seconds = (trace[x].iloc[-1] if len(trace) else 0 for x in ("step", "seconds"))
    ends = [("final", report.scores if report else {}), ("cost", outcome.costs)]
    rows = [(step, seconds, split, *one) for split, values in ends for one in values.items()]
    parts = [part for part in (trace, pd.DataFrame(rows, columns=TRACE)) if len(part)]
    return pd.concat(parts or [trace], ignore_index=True).astype({"step": int})
