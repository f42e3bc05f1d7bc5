"""`python -m tests.robustness.pairs`: two processes on one folder at the same moment, many times.

Of two fits one finishes, with the bits of a fit that was alone, and the other is told in one line
which process on which host holds the folder. Both finish only where the first was done before the
second began, which is counted apart. Two sweeps share their runs: both finish, with the tables of a
sweep that was alone. Anything else is a failure; exit code 1 where there is one. `KINDS` has what
the two do.
"""

import multiprocessing
import os
import re
import socket
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from pmf.cli.console import run_app
from pmf.errors import InputError

SECONDS = 300.0  # after which a process that waits for ever is ended
OUTCOMES = "one told", "one after the other", "shared", "failed"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class Kind(NamedTuple):
    """What two processes do in a folder, and what is left there.

    `work(folder)` raises `InputError` where it is told. `are_right(folder, pids)` says whether the
    processes that finished left what they should.
    """

    work: Callable[[Path], None]
    are_right: Callable[[Path, list[int]], bool]
    is_shared: bool = False  # whether both are to finish


class End(NamedTuple):
    """How a process ended: "finished", "told" or "failed", and what it said."""

    pid: int
    how: str
    message: str


def fit(folder: Path) -> None:
    """A fit with checkpoints in the folder, and its bits beside it, named by the process."""
    from tests.robustness.checkpoints import fit
    from tests.robustness.kill import bits_of

    model, _ = fit(folder / "kept")
    (folder / f"{os.getpid()}.txt").write_text(bits_of(model))


def are_same_fits(folder: Path, pids: list[int]) -> bool:
    """Whether each that finished has the bits of a fit that knew no checkpoints."""
    from tests.robustness.checkpoints import truth

    return all((folder / f"{pid}.txt").read_text() == truth() for pid in pids)


def sweep(folder: Path) -> None:
    """All runs of a small experiment in one folder for both; what is in their tables, beside it."""
    from tests.robustness.run_folders import described, predicting, run

    home = folder / str(os.getpid())
    home.mkdir()
    with predicting():
        text = run(described(home), folder / "runs" / "tiny")
    (folder / f"{os.getpid()}.txt").write_text(text)


@cache
def swept() -> str:
    """The tables of a sweep that was alone."""
    with tempfile.TemporaryDirectory() as name:
        sweep(Path(name))
        return (Path(name) / f"{os.getpid()}.txt").read_text().replace(name, "")


def are_same_sweeps(folder: Path, pids: list[int]) -> bool:
    """Whether each has the tables of a sweep that was alone, and nothing else is left."""
    texts = [(folder / f"{pid}.txt").read_text().replace(str(folder), "") for pid in pids]
    left = list((folder / "runs").rglob(".*"))
    return not left and all(_placeless(text) == _placeless(swept()) for text in texts)


def _placeless(text: str) -> str:
    """A text without the folders, named by processes, that their data lie in."""
    return re.sub(r"/\d+/ratings.csv", "ratings.csv", text)


KINDS = {"fit": Kind(fit, are_same_fits), "sweep": Kind(sweep, are_same_sweeps, is_shared=True)}


def _live(kind: str, home: Path, count: int, together: Any, ends: Any) -> None:
    """What a process does, so many times: wait for the other, work, and say how that ended."""
    for number in range(count):
        together.wait(SECONDS)
        ends.put((number, _end(kind, home / f"{number}")))


def _end(kind: str, folder: Path) -> End:
    try:
        KINDS[kind].work(folder)
        return End(os.getpid(), "finished", "")
    except InputError as error:
        return End(os.getpid(), "told", str(error))
    except Exception:
        return End(os.getpid(), "failed", traceback.format_exc())


def races(kind: str, home: Path, count: int) -> list[list[End]]:
    """How two processes ended in each of so many new folders, where they began at once."""
    context = multiprocessing.get_context("spawn")
    together, ends = context.Barrier(2), context.Queue()
    for number in range(count):
        (home / f"{number}").mkdir()
    arguments = kind, home, count, together, ends
    processes = [context.Process(target=_live, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    by_folder: list[list[End]] = [[] for _ in range(count)]
    try:
        for _ in range(2 * count):
            number, end = ends.get(timeout=SECONDS)
            by_folder[number].append(end)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return by_folder


def verdict(kind: str, folder: Path, ends: list[End]) -> tuple[str, str]:
    """One of `OUTCOMES`, and what is wrong where it is "failed"."""
    finished = [end.pid for end in ends if end.how == "finished"]
    refused = [end for end in ends if end.how == "told"]
    if len(finished) + len(refused) < 2 or not finished:
        return "failed", "; ".join(f"{end.how}: {end.message}" for end in ends)
    if not KINDS[kind].are_right(folder, finished):
        return "failed", "other bits"
    if KINDS[kind].is_shared:
        return ("failed", refused[0].message) if refused else ("shared", "")
    if not refused:
        return "one after the other", ""
    holder = f"process {finished[0]} on {socket.gethostname()} ("
    if not re.fullmatch(rf".*{re.escape(holder)}.*", refused[0].message):  # one line
        return "failed", f"told otherwise: {refused[0].message}"
    return "one told", ""


def run(kind: str, count: int) -> tuple[Counter[str], list[str]]:
    """How often each outcome came of so many pairs, and what failed."""
    total: Counter[str] = Counter()
    failures = []
    with tempfile.TemporaryDirectory() as name:
        for number, ends in enumerate(races(kind, Path(name), count)):
            outcome, wrong = verdict(kind, Path(name) / f"{number}", ends)
            total[outcome] += 1
            if outcome == "failed":
                failures.append(f"{kind} {number}: {wrong}")
    return total, failures


@app.command()
def main(
    count: Annotated[int, typer.Option(help="How many pairs of each kind.")] = 100,
) -> int:
    """Start pairs of processes, and count what comes of them."""
    bad = False
    for kind in KINDS:
        total, failures = run(kind, count)
        for failure in failures:
            print(failure, file=sys.stderr)
        print(f"{kind}: " + ", ".join(f"{total[name]} {name}" for name in OUTCOMES))
        bad = bad or bool(failures)
    return int(bad)


if __name__ == "__main__":
    run_app(app)
