"""A finished run made again from what its folder says, and compared with it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.config.identity import identified
from experiments.config.schema import resolve
from experiments.runs.execute import metrics, predict, scored
from experiments.runs.folders import Run, opened
from experiments.runs.manifest import surroundings
from experiments.runs.tune import SearchResult
from experiments.systems.base import OnStep
from experiments.systems.registry import check_code
from pmf.errors import InputError

ELSEWHERE = 1e-5  # on another machine or other versions: float32 sums in another order


class Difference(NamedTuple):
    """The largest difference of one quantity, in its own units."""

    name: str
    recorded: float
    now: float
    difference: float


class Verdict(NamedTuple):
    """What came out, under which tolerance, and what is not as it was."""

    surroundings: list[str]  # "jax was 0.9.2, is 0.9.3"
    tolerance: float
    differences: list[Difference]

    @property
    def failed(self) -> list[Difference]:
        return [x for x in self.differences if not x.difference <= self.tolerance]


def reproduce(run: Path, on_step: OnStep, tolerance: float | None = None) -> Verdict:
    """Make a run again, with the tuned settings that it recorded, and compare.

    Every final score and every prediction is compared, times are not. Without a `tolerance` the
    same bits are expected where machine, versions and code are the same, and differences of up to
    1e-5 elsewhere. Raises `InputError` where the data, or a system's own file, are not the run's,
    or a file of the run is not as it was written.
    """
    made = opened(run, "data_sha256", "tuned", "versions")
    recorded, settings = made.facts, json.loads((run / "config.json").read_text())
    check_code(settings["system"], recorded.get("system_sha256", ""))
    config = resolve(settings, str(run / "config.json"))
    point = identified(config)
    if point.data != recorded["data_sha256"]:
        raise InputError(
            f"{config.data}: its sha256 is {point.data}, and was {recorded['data_sha256']} when "
            f"{run.name} was made; a run can only be reproduced on its data"
        )
    tuned = SearchResult(**recorded["tuned"]) if recorded["tuned"] else None
    split, outcome = predict(point, on_step, tuned)
    report = scored(point.config, split, outcome)
    changes = changed(recorded, surroundings())
    if tolerance is None:
        tolerance = ELSEWHERE if changes else 0.0
    differences = _scores(made, metrics(outcome, report))
    if report is not None:
        differences += _predictions(made, report.predictions)
    return Verdict(changes, tolerance, differences)


def changed(recorded: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is not as it was when the run was made, by name."""
    before, after = ({**facts, **facts["versions"]} for facts in (recorded, now))
    names = [name for name in after if name not in now["versions"] or name in before]
    return [
        f"{name.replace('_', ' ')} was {before.get(name)}, is {after[name]}"
        for name in names
        if name != "versions" and before.get(name) != after[name]
    ]


def _scores(run: Run, now: pd.DataFrame) -> list[Difference]:
    before = run.table("metrics")
    assert before is not None  # every run has it
    ours, theirs = (
        table[table["split"] == "final"].set_index("metric")["value"] for table in (before, now)
    )
    names = list(dict.fromkeys([*ours.index, *theirs.index]))
    pairs = [(name, ours.get(name, np.nan), theirs.get(name, np.nan)) for name in names]
    return [Difference(name, a, b, _distance(a, b)) for name, a, b in pairs]


def _distance(one: Any, two: Any) -> float:
    """The largest absolute difference; infinity where only one of two numbers is missing."""
    a, b = (np.atleast_1d(np.asarray(x, np.float64)) for x in (one, two))
    if a.shape != b.shape or np.any(np.isnan(a) != np.isnan(b)):
        return float("inf")
    return float(np.nanmax(np.abs(a - b), initial=0.0))


def _predictions(run: Run, now: pd.DataFrame) -> list[Difference]:
    before = run.predictions()
    differences = []
    for name in [column for column in ("mean", "variance") if column in before or column in now]:
        if name not in before or name not in now or len(before) != len(now):
            differences.append(Difference(f"predicted {name}", np.nan, np.nan, float("inf")))
            continue
        a, b = (table[name].to_numpy(np.float64) for table in (before, now))
        at = int(np.argmax(np.abs(a - b)))
        differences.append(Difference(f"predicted {name}", a[at], b[at], _distance(a, b)))
    return differences


def text(verdict: Verdict) -> str:
    """The verdict as a person reads it."""
    lines = [
        f"{x.name:<20} {x.recorded:>14.8g} {x.now:>14.8g} {x.difference:>10.2g}"
        for x in verdict.differences
    ]
    head = f"{'':<20} {'recorded':>14} {'now':>14} {'difference':>10}"
    changes = [f"not as it was: {change}" for change in verdict.surroundings]
    allowed = f"{verdict.tolerance:g}" if verdict.tolerance else "none, bit for bit"
    failed = ", ".join(x.name for x in verdict.failed)
    end = f"DIFFERENT: {failed}" if failed else "reproduced"
    return "\n".join([head, *lines, *changes, f"allowed difference: {allowed}", end])
