"""One run: a resolved configuration to a run folder.

A run folder holds `config.json`, `manifest.json` and `metrics.csv` (step, seconds, split, metric,
value); where the system predicts also `predictions.parquet`, `users.csv` and `strata.csv`, and
where it gives a variance `calibration.csv` and `pit.csv`; of factors, `items.csv`. It is written
beside its place and renamed: a folder that is there is whole. While it runs, checkpoints lie in a
hidden folder beside that place.
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from experiments.config.identity import Point
from experiments.config.inputs import dataset, split_data
from experiments.config.schema import RunConfig
from experiments.runs.folders import appearing, checkpoints_of, locked, make
from experiments.runs.manifest import manifest
from experiments.runs.tune import Found
from experiments.systems.base import TRACE, OnStep, Outcome
from experiments.systems.registry import system_named
from pmf.data.splits import Split
from pmf.estimators.base import UnknownIdWarning
from pmf.evaluate.report import Report, evaluate
from pmf.fitting.checkpoint import Checkpoints, holds_checkpoints


def execute(
    point: Point,
    folder: Path,
    on_step: OnStep,
    resume: bool = False,
    tuned: Found | None = None,
    every_minutes: float = 5.0,
) -> None:
    """Fit, evaluate and write one run folder. A failure leaves none.

    A run that was stopped leaves checkpoints; `resume` goes on from them, if there are any. They
    are removed once the run folder is written. `tuned` is what the search found that the run
    waited for.
    """
    make(folder.parent)
    working = checkpoints_of(folder)
    with locked(folder.with_name(f".{folder.name}.lock")):
        try:
            kept = Checkpoints(working, every_minutes=every_minutes, resume=resume)
            split, outcome = predict(point, on_step, tuned, kept)
            with appearing(folder) as temporary:
                _write(temporary, point, tuned, split, outcome)
        finally:
            if folder.is_dir() or not holds_checkpoints(working):
                shutil.rmtree(working, ignore_errors=True)


def predict(
    point: Point, on_step: OnStep, tuned: Found | None, checkpoints: Checkpoints | None = None
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


def settings_of(point: Point, split: Split, tuned: Found | None) -> BaseModel:
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
    folder: Path, point: Point, tuned: Found | None, split: Split | None, outcome: Outcome
) -> None:
    report = scored(point.config, split, outcome)
    _write_json(folder / "config.json", point.config.model_dump(mode="json"))
    metrics(outcome, report).to_csv(folder / "metrics.csv", index=False)
    if report is not None:
        report.predictions.to_parquet(folder / "predictions.parquet", index=False)
        for name, table in tables_of(report).items():
            table.to_csv(folder / f"{name}.csv", index=False)
    if outcome.items is not None:
        outcome.items.to_csv(folder / "items.csv", index=False)
    facts = {
        "tuned": tuned and tuned._asdict(),
        "noise": outcome.noise,
        "error": outcome.error,
    }
    _write_json(
        folder / "manifest.json", manifest(point, split) | facts | outcome.facts | outcome.costs
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2))


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
