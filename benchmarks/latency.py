"""`python -m benchmarks.latency MODEL`: how long one person waits for a model's answers.

The person has rated twenty films. Each answer is timed once cold (with its compilation) and then
many times, for another person each. `--page` opens the model's page in a headless Chromium too, and
times its first load, a load once it is warm, and a rating: from the click until all is redrawn.
`--sizes 1000` asks for lists of random numbers of users, lengths and candidates, twice each, once
`WARM` of them are done: what the first of two takes longer is compilation.
"""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

import pmf
from benchmarks.memory import resident
from pmf.cli.console import plain_app, run_app
from pmf.errors import InputError
from pmf.estimators.base import Model
from pmf.estimators.new_users import Folded

RATED = 20  # films
WARM = 50  # lists of random sizes before any is counted
MOST_USERS, MOST_LIST, MOST_CANDIDATES = 300, 50, 2000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120  # seconds
STILL = "document.querySelector('.stApp[data-test-script-state=notRunning]')"

app = plain_app(__doc__.split("\n", 1)[1])


def answers(model: Model, repeats: int) -> pd.DataFrame:
    """Milliseconds that each kind of answer takes: the first, the median and the worst."""
    rng = np.random.default_rng(0)
    items = model.require_fitted().items.values
    people = [_person(items, rng) for _ in range(repeats + 1)]
    folded: list[Folded] = []
    other = [rng.choice(items) for _ in people]

    def fold(k: int) -> None:
        folded.append(pmf.fold_in(model, people[k]))

    kinds: dict[str, Callable[[int], object]] = {
        "fold_in": fold,
        "recommend": lambda k: pmf.recommend(folded[k], n=10),
        "explain": lambda k: folded[k].explain("me", other[k]),
        "ask_next": lambda k: folded[k].ask_next("me"),
        "similar_items": lambda k: pmf.similar_items(model, other[k], n=10),
    }
    table = {
        name: [_seconds(answer, k) for k in range(repeats + 1)] for name, answer in kinds.items()
    }
    return _milliseconds(table)


def sizes(model: Model, number: int) -> dict[str, float]:
    """What lists of random sizes cost beyond the work itself: milliseconds, and MB of memory."""
    rng, fitted = np.random.default_rng(0), model.require_fitted()
    extra, before = [], 0.0
    for k in range(WARM + number):
        if k == WARM:
            before = resident()
        users = rng.choice(fitted.users.values, min(rng.integers(1, MOST_USERS), len(fitted.users)))
        some = rng.choice(fitted.items.values, rng.integers(1, MOST_CANDIDATES))
        candidates = some if rng.random() < 0.5 else None
        lists = partial(pmf.recommend, model, users, int(rng.integers(1, MOST_LIST)), True)
        first, again = (_seconds(lambda _, c=candidates, f=lists: f(c), 0) for _ in range(2))
        extra.append(first - again)
    median = statistics.median(extra[WARM:])
    return {"median": 1e3 * median, "most": 1e3 * max(extra[WARM:]), "grown": resident() - before}


def _person(items: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    rated = rng.choice(items, RATED, replace=False)
    stars = rng.integers(1, 6, RATED).astype(float)
    return pd.DataFrame({"user_id": "me", "item_id": rated, "rating": stars})


def _seconds(call: Callable[[int], object], k: int) -> float:
    start = time.perf_counter()
    call(k)
    return time.perf_counter() - start


def _milliseconds(seconds: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        {
            "what": name,
            "first": times[0],
            "median": statistics.median(times[1:]),
            "most": max(times[1:]),
        }
        for name, times in seconds.items()
    ]
    return pd.DataFrame(rows).set_index("what") * 1e3


@contextmanager
def served(model: Path, data: str | None = None) -> Iterator[str]:
    """The address of a model's page, while it is served."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    data_options = ["--data", data] if data else []
    command = [sys.executable, "-m", "pmf", "app", str(model), "--port", str(port), *data_options]
    server = subprocess.Popen(command, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(port):
            if time.monotonic() > deadline or server.poll() is not None:
                raise InputError(f"{model}: its page did not start within {PATIENCE} seconds")
            time.sleep(0.1)
        yield f"http://localhost:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def chromium() -> str | None:
    """Where a Chromium is installed, if one is."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def page(address: str, repeats: int) -> pd.DataFrame:
    """Milliseconds that a browser needs to show the page, and to show what a rating changed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])

        tab = browser.new_page(viewport={"width": 1400, "height": 1600})

        def load(k: int) -> None:
            tab.goto(address)
            tab.get_by_role("heading", name="Your ratings: 0").wait_for(timeout=1e3 * PATIENCE)
            tab.wait_for_function(STILL)

        def rate(k: int) -> None:
            star = tab.locator("[data-testid=stFeedback]").last.get_by_role("radio").last
            star.click(force=True)
            tab.get_by_role("heading", name=f"Your ratings: {k + 1}").wait_for()
            tab.wait_for_function(STILL)

        kinds = {"load": load, "rate": rate}
        table = {
            name: [_seconds(act, k) for k in range(repeats + 1)] for name, act in kinds.items()
        }
        browser.close()
    return _milliseconds(table)


@app.command()
def main(
    model: Annotated[Path, typer.Argument(help="A model file (pmf fit).")],
    repeats: Annotated[int, typer.Option(min=1, help="Repetitions of each answer.")] = 50,
    with_page: Annotated[
        bool, typer.Option("--page", help="Measure the page, in Chromium.")
    ] = False,
    data: Annotated[str | None, typer.Option(help="The data set whose titles it shows.")] = None,
    random: Annotated[int, typer.Option("--sizes", min=0, help="Lists of random sizes.")] = 0,
) -> None:
    """Print a table of milliseconds."""
    start = time.perf_counter()
    loaded = pmf.load(model)
    seconds = time.perf_counter() - start
    typer.echo(f"{model}: loaded in {1e3 * seconds:.0f} ms\n")
    if random:
        typer.echo(f"{random} lists of random sizes: {sizes(loaded, random)}\n")
    tables = [answers(loaded, repeats)]
    if with_page:
        with served(model, data) as address:
            tables.append(page(address, min(repeats, 5)))
    typer.echo(pd.concat(tables).to_string(float_format="{:.1f}".format))


if __name__ == "__main__":
    run_app(app)
