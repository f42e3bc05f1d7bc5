"""Searches by Optuna for what a system's settings leave open, on a part of the training ratings.

What is proposed is a pure function of the trials so far: the first is the package's own start, and
each later one comes from a TPE sampler (Bergstra et al., "Algorithms for hyper-parameter
optimization", NIPS 2011) that is seeded by its number and fed the finished trials. A sampler that
lives through a whole search would go on otherwise after a restart. A trial enters the journal, as a
sealed line, when it is finished, so a search that was killed goes on after its last one, with the
same trials as if it had never stopped.
"""

import os
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
from pmf.io.sealed_json import read_json, sealed, unsealed, write_json

AGAIN = "remove it, and the search starts again"
STARTUP = 5  # trials at random before TPE has something to go by


class SearchResult(NamedTuple):
    """What a search chose: the point, its RMSE on the validation part, and what it cost."""

    point: dict[str, float]
    rmse: float
    trials: int
    seconds: float  # of the trials' fits
    compile_seconds: float


class FinishedTrial(NamedTuple):
    """A finished trial: the candidate, its RMSE on the validation part, and its costs."""

    point: dict[str, float]
    rmse: float
    costs: dict[str, float]


def result_file(folder: Path, study: str) -> Path:
    """Where a finished search of an experiment's folder is."""
    return folder / folders.STUDIES / f"{study}.json"


def search_result(folder: Path, study: str) -> SearchResult:
    """The result of a finished search. Raises `InputError` where it is not what was written."""
    path = result_file(folder, study)
    remedy = f"remove it, and {folder.name} searches again"
    facts = read_json(path, remedy)
    if facts.get("study") != study:
        raise InputError(f"{path}: it is of search {facts.get('study')}; {remedy}")
    return SearchResult(**{name: facts[name] for name in SearchResult._fields})


def search(point: Point, folder: Path, on_step: OnStep) -> None:
    """Run or finish the search that a run waits for; its result is written when it is whole.

    Where no trial could be evaluated it is the first, with an infinite RMSE: the run then says what
    is wrong. Nothing is done where another process has finished it meanwhile; raises `Busy` where
    one works on it.
    """
    assert point.study is not None and point.config.tuning is not None
    target = result_file(folder, point.study)
    folders.make(target.parent)
    with folders.only_one(target):
        if target.exists():
            return
        best = _run_trials(point.config, target.with_suffix(".journal"), on_step)
        with replacing(target) as temporary:
            write_json(temporary, {"study": point.study, **best._asdict()})


def _run_trials(config: RunConfig, journal: Path, on_step: OnStep) -> SearchResult:
    tuning = config.tuning
    assert tuning is not None and config.split is not None
    system = system_named(config.system)
    space = system.space(config.model)
    train = split_data(dataset(config.data, config.reading).ratings, config.split).train
    parts = sample_records(train, tuning.fraction, tuning.seed)
    trials = [_trial(trial.point, space, *trial[1:]) for trial in read_journal(journal)]
    while (done := len(trials)) < tuning.trials:
        proposed = propose(trials, space, tuning.seed)
        rmse, costs = _try(config, proposed, parts, train)
        write_trial(journal, done, FinishedTrial(proposed, rmse, costs))
        trials.append(_trial(proposed, space, rmse, costs))
        on_step("tuning", done + 1, tuning.trials)
    best = min(trials, key=lambda trial: trial.value)
    spent = {
        name: sum(trial.user_attrs.get(name, 0.0) for trial in trials)
        for name in ("fit_seconds", "compile_seconds")
    }
    return SearchResult(best.params, best.value, len(trials), *spent.values())


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


def write_trial(journal: Path, number: int, trial: FinishedTrial) -> None:
    """Add a finished trial as the journal's last line. The caller holds the search's lock."""
    facts = {"study": journal.stem, "number": number, **trial._asdict()}
    try:
        with journal.open("a", encoding="ascii") as stream:
            stream.write(f"{sealed(facts)}\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InputError(f"cannot write {journal}: {error.strerror}") from error


def read_journal(journal: Path) -> list[FinishedTrial]:
    """The finished trials of a search. The caller holds its lock.

    A last line without its end, whose writing was killed, is cut off. Raises `InputError` naming
    another that is not what was written.
    """
    if not journal.exists():
        return []
    *lines, rest = _bytes_of(journal).split(b"\n")
    trials = [_read_trial(journal, number, line) for number, line in enumerate(lines)]
    if rest:
        with journal.open("rb+") as stream:
            stream.truncate(journal.stat().st_size - len(rest))
    return trials


def _bytes_of(journal: Path) -> bytes:
    try:
        return journal.read_bytes()
    except OSError as error:
        raise InputError(f"{journal}: cannot be read ({error.strerror}); {AGAIN}") from error


def _read_trial(journal: Path, number: int, line: bytes) -> FinishedTrial:
    try:
        facts = unsealed(line)
    except ValueError as error:
        raise InputError(f"{journal}: line {number + 1}: {error}; {AGAIN}") from error
    if (facts["study"], facts["number"]) != (journal.stem, number):
        raise InputError(
            f"{journal}: line {number + 1}: it is trial {facts['number']} of search "
            f"{facts['study']}; {AGAIN}"
        )
    return FinishedTrial(**{name: facts[name] for name in FinishedTrial._fields})


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise InputError("[tuning] needs Optuna: pip install 'pmf[experiments]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
