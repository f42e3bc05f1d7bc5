"""How long runs will take, by what like runs took whose tables are there."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments.config.identity import named_fields
from experiments.config.schema import RunConfig
from paper_figures.figures.sources import tables_in

# Runs that differ in these alone take as long.
ALIKE = ("split.fold", "split.seed", "model.seed", "model.repeat", "tuning.seed")
COSTS = ["fit_seconds", "search_seconds", "compile_seconds"]

NOTHING = (float("nan"),) * len(COSTS)

Words = dict[str, str]


class Cost(NamedTuple):
    """Seconds of a run, and of the search that it waits for."""

    run: float
    search: float


class Estimate(NamedTuple):
    """Seconds of the runs and searches that `known` says, and of which data they were measured."""

    seconds: float
    known: int
    total: int
    data: tuple[str, ...]


class Costs:
    """What the runs in the tables of some folders took."""

    def __init__(self, folders: list[Path]):
        self.lines = [line for folder in folders for line in _lines(folder)]
        self.found: dict[tuple, tuple[Cost, str] | None] = {}

    def of(self, config: RunConfig) -> tuple[Cost, str] | None:
        """The mean of the runs that are like this one, and their data: its own if there are any."""
        wanted = _words(named_fields(config))
        key = tuple(wanted.items())
        if key not in self.found:
            self.found[key] = self._mean(wanted, config.data)
        return self.found[key]

    def _mean(self, wanted: Words, data: str) -> tuple[Cost, str] | None:
        without = {name: word for name, word in wanted.items() if name != "data"}.items()
        alike = [
            (words["data"], cost)
            for words, cost in self.lines
            if all(words.get(name, "") == word for name, word in without)
        ]
        if not alike:
            return None
        chosen = data if any(name == data for name, _ in alike) else alike[0][0]
        costs = pd.DataFrame([cost for name, cost in alike if name == chosen]).mean()
        return Cost(costs["run"], costs["search"]), chosen

    def estimate(self, runs: list[RunConfig], searches: list[RunConfig]) -> Estimate:
        """The seconds of these runs, and of the searches of those."""
        seconds, known, data = 0.0, 0, dict[str, None]()
        for configs, part in ((runs, "run"), (searches, "search")):
            for config in configs:
                if (cost_and_data := self.of(config)) is not None:
                    seconds, known = seconds + getattr(cost_and_data[0], part), known + 1
                    data[cost_and_data[1]] = None
        return Estimate(seconds, known, len(runs) + len(searches), tuple(data))


def _lines(folder: Path) -> list[tuple[Words, Cost]]:
    """The settings of each run in a folder's tables, and what it took."""
    paths = [folder / f"{name}.csv" for name in ("runs", "scores")]
    if not {*paths} <= {*tables_in(folder)}:
        return []
    runs = pd.read_csv(paths[0], dtype=str, keep_default_na=False)
    scores = pd.read_csv(paths[1], dtype={"id": str})
    wide = scores.pivot_table("value", "id", "metric").reindex(columns=COSTS)
    wide[COSTS[1:]] = wide[COSTS[1:]].fillna(0.0)
    seconds = {str(line[0]): line[1:] for line in wide.itertuples()}
    lines = []
    for line in runs.to_dict("records"):
        fit, search, compiling = seconds.get(line["id"], NOTHING)
        if fit != fit:
            continue
        is_tuned = bool(line.get("tuned.trials"))
        search_of_run = 0.0 if is_tuned else search + compiling  # a tuned run's are its search's
        lines.append((_words(line), Cost(fit + search_of_run, search + compiling)))
    return lines


def _words(fields: dict[str, Any]) -> Words:
    """Settings as a table's words, numbers alike however they are written; nothing for none."""
    words = {name: _word(value) for name, value in fields.items() if name not in ALIKE}
    return {name: word for name, word in words.items() if word or name == "data"}


def _word(value: Any) -> str:
    text = "" if value is None else str(value)
    try:
        return repr(float(text))
    except ValueError:
        return text
