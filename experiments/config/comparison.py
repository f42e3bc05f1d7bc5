"""`[comparison]`: which arms are compared, and by what. What is accepted here can be computed."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from experiments.systems.base import System
from pmf.errors import InputError
from pmf.evaluate.metrics import METRICS, compared_metric


class ComparisonConfig(BaseModel):
    """Paired comparisons of arms over users, by `pmf.evaluate.compare`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    references: Annotated[tuple[str, ...], Field(min_length=1)]  # arms that all are held against
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("rmse",)

    @field_validator("references", "metrics")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is there twice")
        return names

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            compared_metric(name)  # its `InputError` is a `ValueError`
        return names


class Compared(NamedTuple):
    """One run of an arm, as far as it matters here."""

    arm: str
    system: System
    settings: BaseModel


def check_lists(config: ComparisonConfig, lengths: Sequence[int], path: Path) -> None:
    """Raise `InputError` where a metric of lists is asked for that no run would have.

    `lengths` are those of `[ranking]`; without that section there are none.
    """
    for name in config.metrics:
        base = name.partition("@")[0]
        metric = METRICS[base]
        if metric.of_list is None:
            continue
        if not lengths:
            raise InputError(f"{path}: comparison.metrics: {name}: it needs the section [ranking]")
        known = [f"{base}@{length}" for length in lengths] if metric.cut else [base]
        if name not in known:
            raise InputError(
                f"{path}: comparison.metrics: {name}: [ranking] gives {', '.join(known)}"
            )


def check_arms(config: ComparisonConfig, runs: Iterable[Compared], path: Path) -> None:
    """Raise `InputError` where there is nothing to compare, or a reference would lack a metric."""
    runs = list(runs)
    if len({run.arm for run in runs}) < 2:
        raise InputError(f"{path}: comparison: there is no arm but {config.references[0]}; add one")
    for run in runs:
        if run.arm not in config.references:
            continue
        for name in config.metrics:
            if lack := _lack(name, run):
                raise InputError(
                    f"{path}: comparison.metrics: {name}: the reference {run.arm} {lack}, so "
                    "nothing can be compared with it; choose another reference, or leave it out"
                )


def _lack(name: str, run: Compared) -> str:
    """What a run has not that a metric needs; nothing where it has all."""
    metric = compared_metric(name)
    if not run.system.tables:
        return "predicts nothing"
    if metric.of_variance and not run.system.has_variance(run.settings):
        return "predicts without a variance"
    if metric.of_list and not run.system.ranks(run.settings):
        return "does not rank items"
    return ""
