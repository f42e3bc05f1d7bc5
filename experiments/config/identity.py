"""What names a run and a search: the hash of everything that fixes their numbers."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from experiments.config.grid import flattened
from experiments.config.inputs import digest
from experiments.config.naming import named
from experiments.config.schema import Experiment, RunConfig
from experiments.systems.registry import code_of, label_of, system_named
from pmf.errors import InputError


class Point(NamedTuple):
    """One run of a grid, and the search that it waits for, if there is something to tune."""

    config: RunConfig
    data: str  # sha256 of the data
    code: str  # sha256 of the file of a system of one's own
    id: str
    study: str | None
    title: str  # what tells it from the others of its grid


def identify(experiment: Experiment) -> list[Point]:
    """The grid's runs with their identities. Reads the data.

    Raises `InputError` where two are one: files of the same name and content in two folders.
    """
    titles = _titles(experiment.runs)
    points = [identified(run, title) for run, title in zip(experiment.runs, titles, strict=True)]
    by_id: dict[str, Point] = {}
    for point in points:
        if (other := by_id.setdefault(point.id, point)) is not point:
            both = f"{other.config.data} and {point.config.data}"
            raise InputError(f"{experiment.name}: {both} are the same data; leave one out")
    return points


def identified(config: RunConfig, title: str = "") -> Point:
    """A run with its identity: the hash of its resolved configuration and of its data."""
    data, code = "", code_of(config.system)
    if config.split is not None:
        folds = config.split.file if config.split.kind == "assigned_folds" else ""
        data = digest(config.data, system_named(config.system).tables, folds, config.reading)
    run = _hash(_named(config), data, code)
    return Point(config, data, code, run, study_of(config, data, code), title)


def study_of(config: RunConfig, data: str, code: str) -> str | None:
    """The identity of a run's search, shared by arms and seeds that would search alike.

    None where there is nothing to search.
    """
    system = system_named(config.system)
    if config.tuning is None or not config.tuning.trials or not system.space(config.model):
        return None
    whole = _named(config) | {"model": named(trial_settings(config))}
    del whole["arm"]
    return _hash(whole, data, code)


def trial_settings(config: RunConfig) -> BaseModel:
    """The settings that a candidate is judged with: without the run's own seed."""
    settings = system_named(config.system).for_trials(config.model)
    if config.tuning is None or "seed" not in type(settings).model_fields:
        return settings
    return settings.model_copy(update={"seed": config.tuning.seed})


def _named(config: RunConfig) -> dict[str, Any]:
    """What an identity names. The content of files counts, and their names; no folder does."""
    names = named(config) | {"system": label_of(config.system), "data": Path(config.data).name}
    if config.split is not None:
        names["split"] |= {"file": Path(config.split.file).name}
    return names


def _hash(content: dict[str, Any], data: str, code: str) -> str:
    """The first 12 hex digits of the sha256 of a canonical JSON."""
    whole = {"config": content, "data": data} | ({"code": code} if code else {})
    canonical = json.dumps(whole, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def searches_of(runs: Sequence[RunConfig]) -> list[RunConfig]:
    """A run of each search that these runs wait for; no data are read."""
    searches: dict[str, RunConfig] = {}
    for run in runs:
        if (study := study_of(run, run.data, code_of(run.system))) is not None:
            searches.setdefault(study, run)
    return list(searches.values())


def named_fields(config: RunConfig) -> dict[str, Any]:
    """By its dotted name every field that the identity names."""
    return flattened(_named(config))


def fields_of(config: RunConfig) -> dict[str, Any]:
    """Every field of a configuration by its dotted name, the arm and the system first."""
    absent = {"reading"} if config.reading is None else None
    content = config.model_dump(mode="json", exclude=absent)
    fields = {"arm": config.arm, "system": ""} | flattened(content)
    return fields | {"system": label_of(config.system)}


def _titles(runs: tuple[RunConfig, ...]) -> list[str]:
    """For each run its arm, and the fields that the runs of this arm do not share."""
    fields = [fields_of(run) for run in runs]
    arms: dict[str, list[dict[str, Any]]] = {}
    for one in fields:
        arms.setdefault(one["arm"], []).append(one)
    varying = {arm: _varying(group) for arm, group in arms.items()}
    parts = [
        [one["arm"], *(f"{name.split('.')[-1]}={one.get(name)}" for name in varying[one["arm"]])]
        for one in fields
    ]
    return [", ".join(filter(None, part)) for part in parts]


def _varying(group: list[dict[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for one in group for name in one)
    return [name for name in names if len({repr(one.get(name)) for one in group}) > 1]
