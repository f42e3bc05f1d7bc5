"""`python -m tests.robustness.run_folders`: runs that were spoilt, and all that reads them.

Two small experiments are made once: one finished, one stopped within a search. An attack spoils one
thing in a copy: a file is cut, altered, gone, or another run's. Every reader must then give what it
gives of the whole one, or refuse in one line that names what is spoilt. What is other in silence,
and what raises anything else, is counted and shown, and the exit code is 1.
"""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Annotated, Any, NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import typer

from experiments.config.files import load_experiment
from experiments.config.identity import Point, identify
from experiments.config.schema import Experiment
from experiments.runs import tune
from experiments.runs.collect import collect
from experiments.runs.folders import find_run, in_turn
from experiments.runs.folders import make as make_folder
from experiments.runs.reproduce import reproduce, text
from experiments.sweeps.sweep import sweep_here
from experiments.sweeps.tasks import Options, Show, check_resumable, tasks_of
from experiments.systems.base import Outcome
from experiments.systems.registry import SYSTEMS
from experiments.tables.comparisons import comparisons
from experiments.tables.outputs import members, write_tables
from experiments.tables.summary import summary
from paper_figures.figures.build import read
from pmf.cli.console import run_app
from pmf.errors import InputError
from tests.robustness.mutations import cut_out, flip_bits, insert_odd_bytes, repeat, truncate

MEMORY_DISK = "/dev/shm"
SILENT = Show(lambda task: None, lambda *step: None, lambda task, failure: None)
CONFIG = """
data = "{data}"
[split]
kind = "crossfold_records"
partitions = 3
[model]
rank = 0
[tuning]
trials = 2
[comparison]
references = ["one"]
[arm.one]
[arm.two]
num_steps = 7
[arm.three]
method = "gibbs"
tau = "learn"
"""

Spoil = Callable[[Random, bytes], bytes]
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class Made(NamedTuple):
    """The experiments' runs, and where they are: `finished/tiny` and `stopped/tiny`."""

    home: Path
    experiment: Experiment
    points: list[Point]


class Attack(NamedTuple):
    """What was spoilt, and how."""

    path: Path
    how: str


def predict(settings: Any, split: Any, *rest: object) -> Outcome:
    """What no fit is needed for: a constant that depends on the settings."""
    level = 3.0 + (settings.num_steps or 0) / 9 + (settings.method == "gibbs") / 7
    n = len(split.test)
    costs = {"fit_seconds": 1.0, "compile_seconds": 0.5}
    return Outcome(np.full(n, level) + np.arange(n) / n, np.full(n, 2.0), costs=costs)


def predicting() -> Any:
    """While it lasts, nothing is fitted."""
    return mock.patch.dict(SYSTEMS, {"pmf": SYSTEMS["pmf"]._replace(fit_and_predict=predict)})


def make(home: Path) -> Made:
    """The two experiments, in a new folder. Call it, and all else, while `predicting`."""
    made = described(home)
    run(made, home / "finished" / "tiny")
    folder = home / "stopped" / "tiny"
    with mock.patch.object(tune, "propose", side_effect=_once(tune.propose)):
        sweep_here(tasks_of(made.points[:1], folder), Options(folder), SILENT)
    return made


def described(home: Path) -> Made:
    """The experiment and its data in a new folder; none of its runs."""
    rng = np.random.default_rng(0)
    pair = rng.permutation(30 * 40)[:600]
    columns = {"user": pair // 40, "item": pair % 40, "rating": rng.integers(1, 6, 600)}
    pd.DataFrame(columns).to_csv(home / "ratings.csv", index=False)
    config = home / "tiny.toml"
    config.write_text(CONFIG.format(data=home / "ratings.csv"))
    experiment = load_experiment(config, [])
    return Made(home, experiment, identify(experiment))


def _once(propose: Callable[..., Any]) -> Callable[..., Any]:
    """The first trial is proposed, and then the search is stopped."""

    def proposed(trials: list[Any], *rest: Any) -> Any:
        if trials:
            raise InputError("stopped")
        return propose(trials, *rest)

    return proposed


# --- who reads: each gives something that can be compared ----------------------------------------


def run(made: Made, folder: Path, resume: bool = False) -> str:
    """What `run` does: the runs that are left, then tables of all, in files and as a text."""
    options = Options(folder, resume)
    todo = tasks_of(made.points, folder)
    members(made.points, lambda: made.points, folder, folder)
    check_resumable(todo, options)
    for failure in sweep_here(todo, options, SILENT):
        if failure.details:
            raise RuntimeError(failure.details)
        raise InputError(failure.message)
    make_folder(folder)
    with in_turn(folder):
        tables = write_tables(made.experiment, made.points, folder, folder)
    return summary(tables["runs"], tables["scores"]) + _as_text(tables)


def _resume(made: Made, folder: Path) -> str:
    return run(made, folder, resume=True)


def _collect(made: Made, folder: Path) -> str:
    return _as_text(collect(made.experiment, made.points, folder))


def _compare(made: Made, folder: Path) -> str:
    chosen = made.experiment.comparison
    assert chosen is not None

    def compare(users: pd.DataFrame) -> pd.DataFrame:
        return comparisons(users, chosen)

    tables = collect(made.experiment, made.points, folder, compare)
    return tables["comparisons"].to_csv()


def _reproduce(made: Made, folder: Path) -> str:
    runs = (find_run(folder.parent, point.id) for point in made.points)
    return "\n".join(text(reproduce(one, lambda phase, step, total: None)) for one in runs)


def _figures(made: Made, folder: Path) -> str:
    return _as_text(read(folder))


def _as_text(tables: dict[str, pd.DataFrame]) -> str:
    return "".join(f"{name}\n{tables[name].to_csv()}" for name in sorted(tables))


READERS = {
    "run": run,
    "resume": _resume,
    "collect": _collect,
    "compare": _compare,
    "reproduce": _reproduce,
    "figures": _figures,
}

# --- what is done to a file -----------------------------------------------------------------------


def _another_digit(rng: Random, data: bytes) -> bytes:
    at = [j for j, byte in enumerate(data) if chr(byte).isdigit()]
    spoilt = bytearray(data)
    for j in at and [rng.choice(at)]:
        spoilt[j] = ord(rng.choice("0123456789".replace(chr(spoilt[j]), "")))
    return bytes(spoilt)


CONTENTS: dict[str, Spoil] = {
    "cut short": truncate,
    "another digit": _another_digit,
    "bits flipped": flip_bits,
    "odd bytes": insert_odd_bytes,
    "a part gone": cut_out,
    "a part twice": repeat,
    "null": lambda rng, data: b"null",
    "empty": lambda rng, data: b"",
    "nested deep": lambda rng, data: b"[" * 50_000,
    "long number": lambda rng, data: b"9" * 5_000,
}
OTHERS = (
    "gone",
    "a folder",
    "a link to itself",
    "another's",
    "its folder gone",
    "its folder a file",
)


def attack(rng: Random, folder: Path) -> Attack:
    """Spoil one thing below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path, how = rng.choice(files), rng.choice([*CONTENTS, *OTHERS])
    match how:
        case "gone" | "a folder" | "a link to itself":
            path.unlink()
            if how == "a folder":
                path.mkdir()
            if how == "a link to itself":
                path.symlink_to(path.name)
        case "another's":
            alike = [one for one in files if one.suffix == path.suffix and one != path]
            path.write_bytes(rng.choice(alike or files).read_bytes())
        case "its folder gone" | "its folder a file":
            shutil.rmtree(path.parent)
            if how == "its folder a file":
                path.parent.write_text("")
        case _:
            path.write_bytes(CONTENTS[how](rng, path.read_bytes()))
    return Attack(path, how)


def judge(reader: Callable[[Made, Path], str], made: Made, folder: Path, truth: str) -> str:
    """What came of reading: "same", "refused", or what is wrong with it."""
    try:
        result = reader(made, folder)
    except InputError as error:
        message = str(error)
        is_named = str(folder.parent) in message or any(
            point.id in message for point in made.points
        )
        return "refused" if is_named and "\n" not in message else f"unclear: {message}"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {error}"
    return "same" if result == truth else "other in silence"


def torment(
    made: Made, count: int, seed: int, place: Path, each: bool = True
) -> tuple[Counter[str], list[str]]:
    """Attacks, given to `each` reader or to one in turn: what came of them, and what is wrong."""
    counts, wrong = Counter[str](), []
    for name, known in (("finished", list(READERS)), ("stopped", ["run", "resume"])):
        whole = made.home / name / "tiny"
        copy = place / name / "tiny"
        truth = {reader: _truth(made, reader, whole, copy) for reader in known}
        for number in range(count if name == "finished" else max(1, count // 5)):
            for reader in known if each else [known[number % len(known)]]:
                _copy(whole, copy)
                done = attack(Random(f"{seed} {name} {number}"), copy)
                verdict = judge(READERS[reader], made, copy, truth[reader])
                counts[verdict.split(":")[0]] += 1
                if verdict not in ("same", "refused"):
                    where = done.path.relative_to(copy)
                    wrong.append(f"{name} {number}: {where} {done.how}: {reader}: {verdict}")
    return counts, wrong


def _truth(made: Made, reader: str, whole: Path, copy: Path) -> str:
    _copy(whole, copy)
    return READERS[reader](made, copy)


def _copy(whole: Path, copy: Path) -> None:
    if copy.is_dir():
        shutil.rmtree(copy)
    copy.unlink(missing_ok=True)
    shutil.copytree(whole, copy)


@app.command()
def main(
    attacks: Annotated[int, typer.Option(help="Attacks on a finished experiment.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the damage.")] = 0,
) -> int:
    """Spoil run folders, read them in every way, and count what comes of it."""
    place = MEMORY_DISK if os.path.isdir(MEMORY_DISK) else None
    with tempfile.TemporaryDirectory("-runs", dir=place) as name, predicting():
        home = Path(name)
        counts, wrong = torment(make(home), attacks, seed, home / "copy")
    for line in wrong[:50]:
        print(line)
    numbers = ", ".join(f"{what}: {counts[what]:,}" for what in sorted(counts))
    print(f"{attacks:,} spoilt experiments and {max(1, attacks // 5):,} stopped ones; {numbers}")
    return int(bool(wrong))


if __name__ == "__main__":
    run_app(app)
