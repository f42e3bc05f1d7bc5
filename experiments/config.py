"""Configurations: TOML in, a grid of resolved runs out. `pmf` itself never sees one."""

import difflib
import hashlib
import itertools
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pmf.errors import InputError
from pmf.settings import Settings, describe

FROZEN = ConfigDict(frozen=True, extra="forbid")
PAIRS = {("model", "scale")}  # settings whose one value is a list


class SplitConfig(BaseModel):
    """Which split of the data, by the name of its function in `pmf.data.splits`."""

    model_config = FROZEN

    kind: Literal[
        "sample_records",
        "crossfold_records",
        "assigned_folds",
        "sample_n",
        "last_n",
        "split_global_time",
        "sample_users",
    ]
    seed: Annotated[int, Field(ge=0)] = 0
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2  # sample_records, split_global_time
    partitions: Annotated[int, Field(ge=2)] = 5  # crossfold_records
    file: str = ""  # assigned_folds: a CSV of user, item, fold, here or in the data folder
    fold: Annotated[int, Field(ge=1)] = 1  # which one, from 1, in order
    n: Annotated[int, Field(ge=1)] = 1  # sample_n, last_n
    users: Annotated[int, Field(ge=1)] = 100  # sample_users
    given: Annotated[int, Field(ge=0)] = 0  # sample_users


class RunConfig(BaseModel):
    """One run, fully resolved."""

    model_config = FROZEN

    data: str
    split: SplitConfig
    model: Settings

    @property
    def id(self) -> str:
        """The first 12 hex digits of the sha256 of the resolved configuration."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


class Experiment(BaseModel):
    """A named grid of runs."""

    model_config = FROZEN

    name: str
    runs: tuple[RunConfig, ...]


def load(path: Path, overrides: list[str]) -> Experiment:
    """Read a TOML, apply `a.b=value` overrides, and expand every list into a grid.

    Raises `InputError` naming the file and the key: an unknown key, a wrong type, an empty grid.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    for override in overrides:
        _override(tree, override)
    _known_sections(tree, path)
    runs = [_resolve(point, path) for point in _grid(tree, path)]
    if len({run.id for run in runs}) != len(runs):
        raise InputError(f"{path}: a list names the same value twice")
    return Experiment(name=path.stem, runs=tuple(runs))


def _override(tree: dict[str, Any], override: str) -> None:
    key, _, text = override.partition("=")
    *sections, name = key.strip().split(".")
    if not text:
        raise InputError(f"--set {override}: say section.key=value, as in model.rank=32")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise InputError(f"--set {override}: {section} is not a section")
    try:
        tree[name] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        tree[name] = text  # a bare word is a string


def _known_sections(tree: dict[str, Any], path: Path) -> None:
    known = list(RunConfig.model_fields)
    for key in tree:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise InputError(f"{path}: {key}: unknown key; {hint}")


def _grid(tree: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Every combination of the values of list-valued keys, in the file's order."""
    axes: list[tuple[tuple[str, ...], list[Any]]] = []
    for section, content in tree.items():
        leaves = content.items() if isinstance(content, dict) else [(None, content)]
        for name, value in leaves:
            where = (section,) if name is None else (section, name)
            is_axis = isinstance(value, list) and (
                where not in PAIRS or any(isinstance(item, list) for item in value)
            )
            if is_axis and not value:
                raise InputError(f"{path}: {'.'.join(where)}: an empty list leaves no run")
            axes.append((where, value if is_axis else [value]))
    points = []
    for values in itertools.product(*(values for _, values in axes)):
        point: dict[str, Any] = {}
        for (where, _), value in zip(axes, values, strict=True):
            target = point.setdefault(where[0], {}) if len(where) == 2 else point
            target[where[-1]] = value
        points.append(point)
    return points


def _resolve(point: dict[str, Any], path: Path) -> RunConfig:
    try:
        return RunConfig(**point)
    except ValidationError as error:
        models = {"split": SplitConfig, "model": Settings}
        lines = [
            describe(item, models.get(str(item["loc"][0]), RunConfig)) for item in error.errors()
        ]
        raise InputError(f"{path}: {'; '.join(lines)}") from error
