"""Searches by Optuna for what a system's settings leave open, on a part of the training ratings.

What is proposed is a pure function of the trials so far: the first is the package's own start, and
each later one comes from a TPE sampler (Bergstra et al., "Algorithms for hyper-parameter
optimization", NIPS 2011) that is seeded by its number and fed the finished trials. A sampler that
lives through a whole search would go on otherwise after a restart. A trial enters the journal when
it is finished, so a search that was killed goes on after its last one, with the same trials as if
it had never stopped.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.config.identity import Point, trial_settings
from experiments.config.inputs import dataset, split_data
from experiments.config.schema import RunConfig
from experiments.runs import folders
from experiments.systems.base import Axis, OnStep
from experiments.systems.registry import system_named
from pmf.data.splits import Split, sample_records
from pmf.errors import InputError, NotFiniteError
from pmf.io.atomic import replacing

STARTUP = 5  # trials at random before TPE has something to go by


class Found(NamedTuple):
    """What a search chose: the point, its RMSE on the validation part, and what it cost."""

    point: dict[str, float]
    rmse: float
    trials: int
    seconds: float  # of the trials' fits
    compile_seconds: float


def result_file(folder: Path, study: str) -> Path:
    """Where a finished search of an experiment's folder is."""
    return folder / folders.STUDIES / f"{study}.json"


def found(folder: Path, study: str) -> Found:
    """The result of a finished search."""
    return Found(**json.loads(result_file(folder, study).read_text()))


def search(point: Point, folder: Path, on_step: OnStep) -> None:
    """Run or finish the search that a run waits for; its result is written when it is whole.

    Where no trial could be evaluated it is the first, with an infinite RMSE: the run then says what
    is wrong.
    """
    assert point.study is not None and point.config.tuning is not None
    target = result_file(folder, point.study)
    folders.make(target.parent)
    with folders.locked(target.with_name(f".{point.study}.lock")):
        best = _run_trials(point.config, target.with_suffix(".journal"), on_step)
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(best._asdict(), indent=2))


def _run_trials(config: RunConfig, journal: Path, on_step: OnStep) -> Found:
    tuning = config.tuning
    assert tuning is not None and config.split is not None
    system = system_named(config.system)
    space = system.space(config.model)
    train = split_data(dataset(config.data, config.reading).ratings, config.split).train
    parts = sample_records(train, tuning.fraction, tuning.seed)
    study = _opened(journal)
    while (done := len(study.trials)) < tuning.trials:
        proposed = propose(study.trials, space, tuning.seed)
        rmse, costs = _try(config, proposed, parts, train)
        study.add_trial(_trial(proposed, space, rmse, costs))
        on_step("tuning", done + 1, tuning.trials)
    best = study.best_trial
    spent = {
        name: sum(trial.user_attrs.get(name, 0.0) for trial in study.trials)
        for name in ("fit_seconds", "compile_seconds")
    }
    return Found(best.params, best.values[0], len(study.trials), *spent.values())


def _try(
    config: RunConfig, point: dict[str, float], parts: Split, train: Any
) -> tuple[float, dict[str, float]]:
    """The validation RMSE of a candidate; infinity where its fit is not finite, or broke."""
    system = system_named(config.system)
    settings = system.tuned(trial_settings(config), point, train, None)
    data = dataset(config.data, config.reading)
    try:
        outcome = system.fit_and_predict(
            settings, parts, data, lambda phase, step, total: None, None
        )
    except NotFiniteError:
        return float("inf"), {}
    if outcome.mean is None:
        return float("inf"), {}
    error = parts.test["rating"].to_numpy(np.float64) - outcome.mean
    rmse = float(np.sqrt(np.mean(error**2)))
    return rmse if np.isfinite(rmse) else float("inf"), outcome.costs


def propose(trials: list[Any], space: dict[str, Axis], seed: int) -> dict[str, float]:
    """The next candidate after these finished trials."""
    optuna = _optuna()
    if not trials:
        return {name: axis.start for name, axis in space.items()}
    number = len(trials)
    sampler = optuna.samplers.TPESampler(
        seed=int(np.random.default_rng([seed, number]).integers(2**32)),
        n_startup_trials=STARTUP,
        multivariate=True,
    )
    study = optuna.create_study(sampler=sampler)
    study.add_trials(trials)
    return study.ask(_distributions(space)).params


def _distributions(space: dict[str, Axis]) -> dict[str, Any]:
    uniform = _optuna().distributions.FloatDistribution
    return {name: uniform(axis.low, axis.high, log=axis.log) for name, axis in space.items()}


def _trial(
    point: dict[str, float], space: dict[str, Axis], rmse: float, costs: dict[str, float]
) -> Any:
    return _optuna().trial.create_trial(
        params=point, distributions=_distributions(space), value=rmse, user_attrs=costs
    )


def _opened(journal: Path) -> Any:
    """The study in a journal, mended after a kill. The caller holds the search's lock."""
    optuna = _optuna()
    mend(journal)
    # A killed process leaves Optuna's own lock, which it would wait for.
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.create_study(storage=storage, study_name=journal.stem, load_if_exists=True)


def mend(journal: Path) -> None:
    """Cut a journal off after its last whole line: a write may have been killed in its middle."""
    if not journal.exists():
        return
    whole = 0
    for line in journal.read_bytes().splitlines(keepends=True):
        try:
            json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        whole += len(line)
    if whole < journal.stat().st_size:
        with journal.open("rb+") as stream:
            stream.truncate(whole)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise InputError("[tuning] needs Optuna: pip install 'pmf[experiments]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
