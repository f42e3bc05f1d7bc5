"""`python -m tests.robustness.checkpoints`: spoilt folders of checkpoints, fits resumed in them.

Each folder is of a fit that stopped before its end. Up to three of its files are spoilt: bytes are
mutated, files emptied, replaced by other JSON, exchanged, renamed, deleted, or made folders, links
and pipes. The fit that goes on there must end with the bits of one that never stopped, or be
refused in one line; and what in the folder is not a file that a fit wrote must be there afterwards.
Anything else is a failure, reported with its number; `--replay NUMBER` makes it again. Exit code 1
where there is one.
"""

import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Annotated, Any, NamedTuple

import pandas as pd
import typer

from pmf import PMF, Checkpoints
from pmf.cli.console import run_app
from pmf.data.synthetic import movielens_shaped
from pmf.errors import InputError
from pmf.fitting.schedule import Record
from pmf.io import sealed
from tests.robustness.kill import bits_of
from tests.robustness.mutations import ANY, TEXT, spoil

STOP = 5  # the step after which the fit died
WRONG = (
    "null",
    "[]",
    "{}",
    "0",
    '"x"',
    "true",
    "",
    "NaN",
    "[" * 10_000,
    '{"a":' * 5_000,
    '{"fingerprint": null}',
    '[0, 5, ".pmf-state", {}, {}]',
    "9" * 5_000,
)
FOREIGN = "mine.csv"
OUTCOMES = "resumed", "from an older step", "begun again", "refused", "failed"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class Stop(Exception):
    """Stands for a process that dies."""


class Outcome(NamedTuple):
    """What came of a folder: one of `OUTCOMES`, and what there is to say."""

    name: str
    message: str


@cache
def ratings() -> pd.DataFrame:
    """Few: a step takes no time."""
    columns = movielens_shaped(0, n=100, users=20, items=40)
    return pd.DataFrame(dict(zip(("user", "item", "rating"), columns, strict=True)))


def fit(folder: Path | None, die: bool = False, seed: int = 0) -> tuple[PMF, list[int]]:
    """A fit of seven sweeps, four of which are kept, and the steps that it took."""
    steps: list[int] = []

    def on_record(record: Record) -> None:
        if die and record.step == STOP + 1:
            raise Stop
        steps.append(record.step)

    model = PMF(2, "gibbs", tau=1.5, num_steps=4, seed=seed, burn_in=3, thin=1, num_chains=1)
    checkpoints = folder and Checkpoints(folder, every_steps=1, resume=True)
    model.fit(ratings()[:90], ratings()[90:], on_record=on_record, checkpoints=checkpoints)
    return model, steps


@cache
def truth() -> str:
    """The bits of a fit that knew no checkpoints."""
    return bits_of(fit(None)[0])


def stopped(folder: Path, seed: int = 0) -> Path:
    """Make the folder of a fit that died after `STOP` steps, with somebody's file in it."""
    try:
        fit(folder, die=True, seed=seed)
    except Stop:
        (folder / FOREIGN).write_text("mine")
    return folder


def mutate(rng: Random, path: Path, folder: Path) -> None:
    path.write_bytes(spoil(rng, path.read_bytes(), (*ANY, *TEXT)))


def flip_one(rng: Random, path: Path, folder: Path) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def replace(rng: Random, path: Path, folder: Path) -> None:
    """Other JSON, alone or after our mark."""
    path.write_bytes(rng.choice((b"", sealed.MARK)) + rng.choice(WRONG).encode())


def delete(rng: Random, path: Path, folder: Path) -> None:
    path.unlink()


def exchange(rng: Random, path: Path, folder: Path) -> None:
    """Two files' contents."""
    other = rng.choice(files_of(folder))
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def rename(rng: Random, path: Path, folder: Path) -> None:
    """A file as that of another step, or of another kind."""
    step, rest = path.name.split("-", 1)
    swapped = rest.replace("state", "draws") if "state" in rest else rest.replace("draws", "state")
    name = rng.choice((f"{rng.randrange(100):08d}-{rest}", f"{step}-{swapped}"))
    path.rename(folder / name)


def as_folder(rng: Random, path: Path, folder: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside.txt").write_text("mine")


def as_link(rng: Random, path: Path, folder: Path) -> None:
    """To another checkpoint, to nothing, or to itself."""
    target = rng.choice((rng.choice(files_of(folder)).name, "nothing", path.name))
    path.unlink()
    path.symlink_to(target)


def as_pipe(rng: Random, path: Path, folder: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def add(rng: Random, path: Path, folder: Path) -> None:
    """A file that says that it is of a later step."""
    name = f"{rng.randrange(1, 10**9):08d}-{rng.randbytes(8).hex()}{path.suffix}"
    (folder / name).write_bytes(rng.choice((b"null", b"", path.read_bytes())))


def seal(rng: Random, path: Path, folder: Path) -> None:
    """Other facts in a right seal."""
    facts: Any = rng.choice((None, [], {}, 7, {"fingerprint": 1}, {"fingerprint": {}}))
    sealed.write(folder, rng.choice((0, 3, 9)), path.suffix, facts, {})


SPOILERS: tuple[Callable[[Random, Path, Path], None], ...] = (
    mutate,
    mutate,
    flip_one,
    flip_one,
    replace,
    replace,
    delete,
    exchange,
    rename,
    as_folder,
    as_link,
    as_pipe,
    add,
    seal,
)


def files_of(folder: Path) -> list[Path]:
    """The files that the fit wrote and nobody has made something else of."""
    return sorted(path for path in sealed.named(folder) if sealed.is_ours(path))


def spoil_folder(rng: Random, folder: Path) -> list[str]:
    """Spoil up to three files of a folder; what was done."""
    done = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        if files := files_of(folder):
            path, spoiler = rng.choice(files), rng.choice(SPOILERS)
            spoiler(rng, path, folder)
            done.append(f"{spoiler.__name__} {path.name}")
    return done


def foreign_in(folder: Path) -> dict[str, str]:
    """What is not ours, by name and by what it is."""
    others = [path for path in folder.iterdir() if not sealed.is_ours(path)]
    return {path.name: _what(path) for path in others}


def _what(path: Path) -> str:
    if path.is_symlink():
        return f"a link to {path.readlink()}"
    if path.is_dir():
        return f"a folder of {sorted(one.name for one in path.iterdir())}"
    return path.read_bytes().hex() if path.is_file() else "a pipe"


def judge(folder: Path) -> Outcome:
    """Resume in a spoilt folder, and say what came of it."""
    before = foreign_in(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model, steps = fit(folder)
        except InputError as error:
            outcome = Outcome("refused", str(error))
        except Exception:
            return Outcome("failed", traceback.format_exc())
        else:
            if bits_of(model) != truth():
                return Outcome("failed", f"other bits, from step {steps[0]}")
            name = OUTCOMES[0 if steps[0] == STOP + 1 else 2 if steps[0] == 1 else 1]
            outcome = Outcome(name, f"from step {steps[0]}")
    lines = [outcome.message, *(str(warning.message) for warning in caught)]
    if many := [line for line in lines if "\n" in line or len(line) > 1000]:
        return Outcome("failed", f"more than one line: {many[0]!r:.500}")
    after = foreign_in(folder)
    if lost := [name for name, what in before.items() if after.get(name) != what]:
        return Outcome("failed", f"lost or altered: {', '.join(lost)}")
    if outcome.name == "from an older step" and not caught:
        outcome = outcome._replace(message=outcome.message + ", without a word")
    return outcome


def attack(number: int, seed: int, good: Path, home: Path) -> tuple[list[str], Outcome]:
    """Folder `number`: the same from the same seed."""
    folder = home / f"{number}"
    shutil.copytree(good, folder)
    done = spoil_folder(Random(f"{seed} {number}"), folder)
    outcome = judge(folder)
    shutil.rmtree(folder)
    return done, outcome


def run(numbers: range, seed: int) -> tuple[Counter[str], list[str]]:
    """How often each outcome came, and what failed."""
    total: Counter[str] = Counter()
    failures = []
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        good = stopped(home / "good")
        for number in numbers:
            done, outcome = attack(number, seed, good, home)
            total[outcome.name] += 1
            if outcome.name == "failed":
                failures.append(f"{number}: {'; '.join(done)}: {outcome.message}")
    return total, failures


@app.command()
def main(
    count: Annotated[int, typer.Option(help="How many folders.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the damage.")] = 0,
    replay: Annotated[int | None, typer.Option(help="Repeat this folder only.")] = None,
) -> int:
    """Spoil folders of checkpoints, resume in them, and count what comes of it."""
    begin = time.process_time()
    numbers = range(count) if replay is None else range(replay, replay + 1)
    total, failures = run(numbers, seed)
    for failure in failures:
        print(failure, file=sys.stderr)
    print(", ".join(f"{total[name]} {name}" for name in OUTCOMES))
    print(f"{time.process_time() - begin:.0f} s of CPU time")
    return int(bool(failures))


if __name__ == "__main__":
    run_app(app)
