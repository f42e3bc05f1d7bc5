"""One run: a resolved configuration to a run folder. And run folders to tidy tables.

A run folder holds `config.json`, `metrics.csv` (step, seconds, split, metric, value),
`predictions.parquet`, `calibration.csv`, `strata.csv` and `manifest.json`. It is written beside
its place and renamed: a folder that is there is whole. While it runs, checkpoints lie in a hidden
folder beside that place.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import pandas as pd

from experiments.config import Experiment, RunConfig, SplitConfig
from pmf import cpu
from pmf.answers import UnknownIdWarning
from pmf.checkpoint import Checkpoints, holds_checkpoints
from pmf.data import splits
from pmf.data.catalogue import load
from pmf.data.files import read_csv
from pmf.data.frames import ALIASES
from pmf.data.movielens import data_dir
from pmf.errors import InputError
from pmf.estimator import PMF
from pmf.evaluate.report import Report, report
from pmf.settings import Settings

FIGURE_FIELDS = ("split.fold", "model.method", "model.rank", "model.burn_in")
PACKAGES = ("pmf", "jax", "jaxlib", "numpy", "scipy", "pandas", "optax", "orbax-checkpoint")


def split_data(frame: pd.DataFrame, config: SplitConfig) -> splits.Split:
    """The split that a configuration names."""
    match config.kind:
        case "sample_records":
            return splits.sample_records(frame, config.fraction, config.seed)
        case "crossfold_records":
            folds = splits.crossfold_records(frame, config.partitions, config.seed)
            return _fold(folds, config.fold)
        case "assigned_folds":
            return _fold(splits.assigned_folds(frame, _read_folds(config.file)), config.fold)
        case "sample_n":
            return splits.sample_n(frame, config.n, config.seed)
        case "last_n":
            return splits.last_n(frame, config.n)
        case "split_global_time":
            return splits.split_global_time(frame, config.fraction)
        case "sample_users":
            return splits.sample_users(frame, config.users, config.given, config.seed)


def _fold(folds: list[splits.Split], fold: int) -> splits.Split:
    if fold > len(folds):
        raise InputError(f"split.fold={fold}: there are {len(folds)} folds")
    return folds[fold - 1]


def _read_folds(file: str) -> pd.DataFrame:
    path = next((p for p in (Path(file), data_dir() / file) if p.is_file()), None)
    if path is None:
        raise InputError(f"split.file={file!r}: no such file, here or in {data_dir()}")
    with path.open("rb") as stream:
        folds = read_csv(stream, str(path))
    names = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
    folds = folds.rename(columns=names)
    missing = {"user_id", "item_id", "fold"} - set(folds.columns)
    if missing:
        raise InputError(f"{path}: no column {', '.join(sorted(missing))}")
    return folds


def execute(
    config: RunConfig,
    folder: Path,
    on_step: Callable[[str, int, int], None],
    resume: bool = False,
) -> None:
    """Fit, evaluate and write one run folder. A failure leaves none.

    A run that was stopped leaves checkpoints; `resume` goes on from them, if there are any. They
    are removed once the run folder is written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder.parent} ({error.strerror})") from error
    dataset = load(config.data)
    split = split_data(dataset.ratings, config.split)
    model = PMF(**config.model.model_dump(exclude={"prior"}), prior=config.model.prior)
    working = folder.with_name(f".{folder.name}.checkpoints")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownIdWarning)  # counted among the scores
            checkpoints = Checkpoints(working, resume=resume)
            model.fit(split.train, split.test, on_step, dataset.source, checkpoints)
            scored = report(model, split.test, heldout=True)
        _write_whole(folder, config, model, scored, split)
    finally:
        if folder.is_dir() or not holds_checkpoints(working):
            shutil.rmtree(working, ignore_errors=True)


def _write_whole(
    folder: Path, config: RunConfig, model: PMF, scored: Report, split: splits.Split
) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write(temporary, config, model, scored, split)
        for written in temporary.iterdir():
            with written.open("rb") as stream:
                os.fsync(stream.fileno())
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(
    folder: Path, config: RunConfig, model: PMF, report: Report, split: splits.Split
) -> None:
    (folder / "config.json").write_text(config.model_dump_json(indent=2))
    _metrics(model, report).to_csv(folder / "metrics.csv", index=False)
    report.predictions.to_parquet(folder / "predictions.parquet", index=False)
    report.calibration.to_csv(folder / "calibration.csv", index=False)
    strata = pd.concat(
        {"user history": report.by_user_history, "item popularity": report.by_item_popularity},
        names=["by"],
    ).reset_index("by")
    strata.to_csv(folder / "strata.csv", index=False)
    (folder / "manifest.json").write_text(json.dumps(_manifest(config, model, split), indent=2))


def _metrics(model: PMF, report: Report) -> pd.DataFrame:
    trace = pd.DataFrame(model.records)
    steps = trace.melt(["step", "seconds"], var_name="metric")
    steps = steps.replace({"metric": {"heldout_rmse": "rmse"}})
    steps.insert(2, "split", steps["metric"].map({"rmse": "test", "log_posterior": "train"}))
    last = trace.iloc[-1]
    fit = model.require_fitted().fit
    spent = {
        "fit_seconds": last["seconds"],
        "search_seconds": fit.search.seconds,
        "compile_seconds": fit.compile_seconds,
    }
    final = pd.DataFrame(
        [
            (last["step"], last["seconds"], split, metric, value)
            for split, values in (("final", report.scores), ("cost", spent))
            for metric, value in values.items()
        ],
        columns=["step", "seconds", "split", "metric", "value"],
    )
    return pd.concat([steps, final], ignore_index=True).astype({"step": int})


def _manifest(config: RunConfig, model: PMF, split: splits.Split) -> dict[str, Any]:
    fit = model.require_fitted().fit
    ratings = pd.concat([split.train, split.test])[["user_id", "item_id", "rating"]]
    ratings = ratings.sort_values(["user_id", "item_id"])
    hashed = pd.util.hash_pandas_object(ratings, index=False).to_numpy().tobytes()
    return {
        "id": config.id,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "versions": {package: metadata.version(package) for package in PACKAGES},
        "devices": [str(device) for device in jax.devices()],
        "fused_kernel": _is_fused(config.model),
        "seeds": {"model": config.model.seed, "split": config.split.seed},
        "data_sha256": hashlib.sha256(hashed).hexdigest(),
        "split_hash": split.hash,
        "chosen_prior": fit.search.chosen,
        "noise": model.noise,
        "stopped": fit.stopped,
        "run_seconds": model.records[-1].seconds,
        "search_seconds": fit.search.seconds,
        "compile_seconds": fit.compile_seconds,
    }


def _is_fused(model: Settings) -> bool:
    """Whether the CPU kernel ran: ALS and Gibbs, on one device, where it is not declined."""
    fits = model.method != "map" and model.devices == 1 and model.fused is not False
    return fits and cpu.available()


def git_commit() -> str:
    """The commit of the working tree, with `+` where files differ from it; "" outside git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return commit + "+" * bool(commit and git("status", "--porcelain", "-uno"))
    except OSError:
        return ""


def collect(experiment: Experiment, folder: Path) -> dict[str, pd.DataFrame]:
    """The tidy tables of an experiment: `scores`, `trace` and `calibration`.

    Every configuration field is a column of `scores`; the longer tables have `id` and the fields
    that figures need. Raises `InputError` where a run of the grid is missing.
    """
    parts: dict[str, list[pd.DataFrame]] = {"scores": [], "trace": [], "calibration": []}
    for config in experiment.runs:
        run = folder / config.id
        if not run.is_dir():
            raise InputError(f"{run}: a run of {experiment.name} is missing; run it first")
        fields = pd.json_normalize(config.model_dump(mode="json")).iloc[0].to_dict()
        metrics = pd.read_csv(run / "metrics.csv")
        ends = metrics["split"].isin(["final", "cost"])
        tables = {
            "scores": metrics[ends][["metric", "value"]],
            "trace": metrics[~ends],
            "calibration": pd.read_csv(run / "calibration.csv"),
        }
        for name, table in tables.items():
            kept = fields if name == "scores" else {key: fields[key] for key in FIGURE_FIELDS}
            parts[name].append(table.assign(id=config.id, **{k: str(v) for k, v in kept.items()}))
    tables = {name: pd.concat(part, ignore_index=True) for name, part in parts.items()}
    for name, table in tables.items():
        runs = {config.id for config in experiment.runs}
        if set(table["id"]) != runs:
            raise InputError(f"{name}: {table['id'].nunique()} runs instead of {len(runs)}")
    return tables
