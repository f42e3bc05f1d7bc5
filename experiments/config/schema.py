"""What a run of an experiment is: its data, split, system and settings, each checked."""

from dataclasses import fields
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from experiments.config.comparison import ComparisonConfig
from experiments.config.document import Tree
from experiments.systems.base import System
from experiments.systems.registry import system_named
from pmf.data.choices import SplitKind
from pmf.data.readers.reading import Reading
from pmf.data.times import moment
from pmf.errors import InputError, hint
from pmf.fitting.settings_base import describe

FROZEN = ConfigDict(frozen=True, extra="forbid")


class SplitConfig(BaseModel):
    """Which split of the data, by the name of its function in `pmf.data.splits`."""

    model_config = FROZEN

    kind: SplitKind
    seed: Annotated[int, Field(ge=0)] = 0
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2  # of the ratings, each user's, or the items
    partitions: Annotated[int, Field(ge=2)] = 5  # crossfold_records
    file: str = ""  # assigned_folds: a CSV of user, item, fold, here or in the data folder
    fold: Annotated[int, Field(ge=1)] = 1  # which one, from 1, in order
    n: Annotated[int, Field(ge=1)] = 1  # sample_n, last_n
    users: Annotated[int, Field(ge=1)] = 100  # sample_users
    given: Annotated[int, Field(ge=0)] = 0  # sample_users
    keep: Annotated[float, Field(gt=0, le=1)] = 1.0  # share of the training ratings kept
    at: str = ""  # split_at_time: a date, ISO text or seconds since 1970

    @field_validator("at", mode="before")
    @classmethod
    def _as_text(cls, at: object) -> str:
        return str(at)

    @model_validator(mode="after")
    def _a_moment(self) -> "SplitConfig":
        if self.kind == "split_at_time":
            moment(self.at)  # its `InputError` is a `ValueError`
        return self


class TuningConfig(BaseModel):
    """A search for what a system's settings leave open: equally many trials for every arm."""

    model_config = FROZEN

    trials: Annotated[int, Field(ge=0)]  # 0: none, each system as it comes
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1  # of the training ratings, which judges
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # of that part, the fits and the proposals


class RankingConfig(BaseModel):
    """How lists of items are judged, by `pmf.evaluate.ranking`."""

    model_config = FROZEN

    k: Annotated[int, Field(ge=1)] = 10  # the length of a list
    relevant: float = 4.0  # a test item is relevant from this rating on


class RunConfig(BaseModel):
    """One run, fully resolved."""

    model_config = FROZEN

    data: str = ""  # empty, as the split, of a system that reads none
    reading: Reading | None = None  # of a file
    system: str = "pmf"
    arm: str = ""
    split: SplitConfig | None = None
    model: SerializeAsAny[BaseModel]  # the system's settings
    tuning: TuningConfig | None = None
    ranking: RankingConfig | None = None

    def __reduce__(self):
        """Pickled by its content: a worker finds the class of the settings by the system."""
        return resolve, (self.model_dump(mode="json"), "a pickled run")


class Experiment(BaseModel):
    """A named grid of runs."""

    model_config = FROZEN

    name: str
    about: str = ""  # what it asks
    runs: tuple[RunConfig, ...]
    comparison: ComparisonConfig | None = None
    unit: str = ""  # of the ratings, in words; empty: the data set's


def _reading(content: Any, source: str) -> Reading | None:
    """How a file is read. Raises `InputError` naming `source` and the key."""
    if content is None:
        return None
    known = [field.name for field in fields(Reading)]
    for key in content:
        if key not in known:
            raise InputError(f"{source}: reading.{key}: unknown setting; {hint(key, known)}")
    try:
        return Reading(**content)
    except InputError as error:
        raise InputError(f"{source}: reading: {error}") from error


def resolve(tree: Tree, source: str, arm_settings: tuple[str, ...] = ()) -> RunConfig:
    """One point of a grid, or the content of a `config.json`, checked by its system's settings.

    `arm_settings` are the settings that its arm names itself. Raises `InputError` naming `source`
    and the key.
    """
    system = system_of(tree.get("system", "pmf"), source)
    places = dict.fromkeys(arm_settings, f"arm.{tree.get('arm')}.")
    parts = dict(tree)
    if system.tables and not tree.get("data"):
        raise InputError(f"{source}: data: which? A data set's name, or a file of ratings")
    if not system.tables and (tree.get("data") or tree.get("split") or tree.get("reading")):
        raise InputError(
            f"{source}: system={tree['system']} reads no data: leave out data, reading and split"
        )
    parts["reading"] = _reading(tree.get("reading"), source)
    parts["split"] = None
    if system.tables:
        parts["split"] = checked(SplitConfig, tree.get("split") or {}, "split.", source)
    parts["model"] = checked(system.settings, tree.get("model", {}), "model.", source, places)
    if tree.get("tuning") is not None:
        parts["tuning"] = checked(TuningConfig, tree["tuning"], "tuning.", source)
    if tree.get("ranking") is not None:
        parts["ranking"] = checked(RankingConfig, tree["ranking"], "ranking.", source)
    return checked(RunConfig, parts, "", source)


def checked(
    model: type[BaseModel],
    values: Any,
    where: str,
    source: str,
    places: dict[str, str] | None = None,
) -> Any:
    """The values as a model; mistakes are said to be in `where`, or in a key's own place."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = describe(error, model).items()
        lines = [(places or {}).get(key, where) + sentence for key, sentence in faults]
        raise InputError(f"{source}: {'; '.join(lines)}") from error


def system_of(name: Any, source: str) -> System:
    if not isinstance(name, str):
        raise InputError(f"{source}: system={str(name)[:40]}: a name in quotes is needed")
    try:
        return system_named(name)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
